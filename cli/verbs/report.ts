/** `secateur report DIR`: the report of a pruned checkpoint, made again from its record. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Command } from 'commander';
import { parseReportRecord } from '../../coordinator/report/record.ts';
import { renderReport } from '../../coordinator/report/render-report.ts';
import { PROVENANCE_FILE, REPORT_FILE } from '../../shared/checkpoint/provenance-name.ts';
import { EXIT, SecateurError } from '../../shared/errors/secateur-error.ts';
import { writeFileAtomic } from '../../shared/storage/atomic-file.ts';
import { VERSION } from '../../shared/version.ts';
import type { EndVerb } from '../options.ts';
import { note } from '../render/output.ts';
import { readRecord } from '../verify/provenance-file.ts';

interface ReportOptions {
  readonly to?: string;
}

export function addReport(program: Command, end: EndVerb): void {
  program
    .command('report')
    .summary('write the report of a pruned checkpoint again')
    .description(
      `Makes ${REPORT_FILE} of ${PROVENANCE_FILE} alone: a page with plots that loads nothing. It is written with every checkpoint.`,
    )
    .argument('<dir>', 'the output of a job')
    .option('--to <file>', `where to (default: ${REPORT_FILE} in the directory, where it is the one that was there)`)
    .action(async (directory: string, options: ReportOptions) => {
      const source = join(directory, PROVENANCE_FILE);
      const record: unknown = await readRecord(directory);
      const bytes = Buffer.from(renderReport(parseReportRecord(record, source)));
      const target = options.to ?? join(directory, REPORT_FILE);
      if (options.to === undefined) checkIsTheRecorded(record, bytes, target);
      await writeFileAtomic(target, [bytes]);
      note(`wrote ${target}`);
      end(EXIT.ok);
    });
}

/** In its place stands what the record lists and `verify` finds: another version's page would be a deviation. */
function checkIsTheRecorded(record: unknown, bytes: Uint8Array, target: string): void {
  const { outputs = [] } = record as { outputs?: readonly { file: string; sha256: string }[] };
  const listed = outputs.find(({ file }) => file === REPORT_FILE);
  if (listed?.sha256 === createHash('sha256').update(bytes).digest('hex')) return;
  const why =
    listed === undefined
      ? `the record lists no ${REPORT_FILE}`
      : `the record lists another ${REPORT_FILE} than secateur ${VERSION} makes of it`;
  throw new SecateurError(
    'ArgumentInvalid',
    `${target}: ${why}, so that "secateur verify" would fault the directory. Name a file outside it with --to.`,
    { details: { file: target } },
  );
}
