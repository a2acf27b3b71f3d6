/** Data goes to standard output in the format that was asked for; everything that is said about it to standard error. */
import { stringify } from 'yaml';

export const OUTPUT_FORMATS = ['table', 'json', 'yaml'] as const;

export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** @param table is called only where a person reads */
export function printData(format: OutputFormat, data: unknown, table: () => string): void {
  process.stdout.write(`${renderData(format, data, table).trimEnd()}\n`);
}

function renderData(format: OutputFormat, data: unknown, table: () => string): string {
  switch (format) {
    case 'table':
      return table();
    case 'json':
      return JSON.stringify(data, null, 2);
    case 'yaml':
      return stringify(data);
  }
}

/** A remark for the person at the terminal. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}
