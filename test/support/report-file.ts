/** Figures as JSON, where SECATEUR_REPORT_FOLDER asks for them: docs/reliability.md quotes these files. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';

export function writeReport(name: string, rows: readonly object[]): void {
  const folder = process.env.SECATEUR_REPORT_FOLDER;
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  const machine = `${process.platform} ${process.arch}, ${cpus().length} cores, Node ${process.version}`;
  const content = { date: new Date().toISOString(), machine, rows };
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(content, null, 2)}\n`);
}
