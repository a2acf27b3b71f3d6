/** `secateur verify DIR`: proves a pruned checkpoint against its record and, if asked, against its source. */
import type { Command } from 'commander';
import { EXIT, SecateurError } from '../../shared/errors/secateur-error.ts';
import { showBytes, showCount, showShare } from '../../shared/units.ts';
import { type EndVerb, type OutputOptions, withOutput } from '../options.ts';
import { note, printData } from '../render/output.ts';
import { type Column, renderFields, renderTable } from '../render/table.ts';
import { errorLine } from '../report-error.ts';
import { type LinearSummary, type VerifyReport, verifyCheckpoint } from '../verify/verify-checkpoint.ts';

interface VerifyOptions extends OutputOptions {
  readonly source?: string;
}

export function addVerify(program: Command, end: EndVerb): void {
  const command = program
    .command('verify')
    .summary('prove that a pruned checkpoint is what it says')
    .description(
      'Compares every file with secateur.json, and counts the zeros of every row. Lists every deviation; exit code 6 if there is one.',
    )
    .argument('<dir>', 'the output of a job')
    .option('--source <dir>', 'also prove that nothing but pruned weights differs from this checkpoint');
  withOutput(command).action(async (directory: string, options: VerifyOptions) => {
    const report = await verifyCheckpoint(directory, options.source ?? null);
    printData(options.output, report, () => renderReport(report));
    for (const deviation of report.deviations) note(deviation);
    if (!report.ok) note(errorLine(notVerified(report)));
    end(report.ok ? EXIT.ok : EXIT.corrupt);
  });
}

function renderReport(report: VerifyReport): string {
  const fields = renderFields([
    ['checkpoint', report.directory],
    ['job', report.job],
    ['files', `${report.files}, ${showBytes(report.sizeBytes)}`],
    ['tensors', `${report.tensors}, of them ${report.prunedTensors} pruned`],
    ['zeros', `${showCount(report.zeros)} of ${showCount(report.weights)} pruned weights`],
    ['source', report.source === null ? 'not compared (--source DIR)' : `${report.source}: compared bit for bit`],
  ]);
  const linears = renderTable(COLUMNS, report.linears);
  return `${fields}\n\n${linears}\n\n${report.ok ? 'ok' : `NOT OK: ${countDeviations(report)}`}`;
}

const COLUMNS: readonly Column<LinearSummary>[] = [
  { title: 'LINEAR', value: (row) => row.linear },
  { title: 'TENSORS', value: (row) => String(row.tensors), align: 'right' },
  { title: 'WEIGHTS', value: (row) => showCount(row.weights), align: 'right' },
  { title: 'ROW MIN', value: (row) => showShare(row.minRowSparsity), align: 'right' },
  { title: 'ROW MEAN', value: (row) => showShare(row.meanRowSparsity), align: 'right' },
  { title: 'ROW MAX', value: (row) => showShare(row.maxRowSparsity), align: 'right' },
];

function notVerified(report: VerifyReport): SecateurError {
  return new SecateurError(
    'VerificationFailed',
    `${report.directory}: ${countDeviations(report)} from what secateur.json says; they are listed above. Do not use it: run the job again, or copy it again.`,
  );
}

function countDeviations({ deviations }: VerifyReport): string {
  return `${deviations.length} ${deviations.length === 1 ? 'deviation' : 'deviations'}`;
}
