/** Plain-text tables: columns two spaces apart, no frames, so that they are easy to read and to cut. Pure. */

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  /** Numbers stand right. */
  readonly align?: 'left' | 'right';
}

const GAP = '  ';

/** One line a row under a line of titles; only the titles where there are no rows. */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => clean(column.value(row)))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => textWidth(line[index] ?? ''))));
  return cells
    .map((line) =>
      columns
        .map((column, index) => pad(line[index] ?? '', widths[index] ?? 0, column.align ?? 'left'))
        .join(GAP)
        .trimEnd(),
    )
    .join('\n');
}

/** Names on the left, values on the right; a value of several lines goes on under its first one. */
export function renderFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(0, ...fields.map(([name]) => textWidth(name)));
  return fields
    .flatMap(([name, value]) =>
      value
        .split('\n')
        .map((line, index) => `${pad(index === 0 ? name : '', width, 'left')}${GAP}${clean(line)}`.trimEnd()),
    )
    .join('\n');
}

/** Control characters in a name or a message of somebody else's must not steer the terminal. */
export function clean(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => (character === '\t' || character === '\n' ? ' ' : '\uFFFD'));
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const space = ' '.repeat(Math.max(0, width - textWidth(text)));
  return align === 'left' ? text + space : space + text;
}

/** Code points: names here are ASCII, and a wide character only shifts what stands behind it. */
function textWidth(text: string): number {
  return [...text].length;
}
