/** `secateur workers`: who is attached, what it runs, what it uses. */
import type { Command } from 'commander';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import type { WorkerStatus__Output } from '../../shared/rpc/generated/secateur/v1/WorkerStatus.ts';
import { showBytes, showDuration } from '../../shared/units.ts';
import { connect } from '../connection.ts';
import { type CoordinatorOptions, type EndVerb, type OutputOptions, withCoordinator, withOutput } from '../options.ts';
import { note, printData } from '../render/output.ts';
import { type Column, renderTable } from '../render/table.ts';

export function addWorkers(program: Command, end: EndVerb): void {
  const command = program
    .command('workers')
    .summary('list the workers')
    .description('Lists the workers that the coordinator knows, attached or not.');
  withOutput(withCoordinator(command)).action(async (options: CoordinatorOptions & OutputOptions) => {
    using connection = connect(options);
    const workers = await connection.workers();
    printData(options.output, workers, () => renderTable(columns(Date.now()), workers));
    if (workers.length === 0) note('no workers: start one with "secateur worker --coordinator HOST:PORT"');
    end(EXIT.ok);
  });
}

function columns(nowMs: number): Column<WorkerStatus__Output>[] {
  return [
    { title: 'WORKER', value: (worker) => worker.worker },
    { title: 'STATE', value: stateOf },
    { title: 'SINCE', value: (worker) => showDuration(nowMs - worker.sinceMs), align: 'right' },
    { title: 'PROVIDER', value: (worker) => worker.provider },
    { title: 'THREADS', value: (worker) => String(worker.threads), align: 'right' },
    { title: 'MEMORY', value: (worker) => showBytes(worker.memoryBytes), align: 'right' },
    { title: 'USED', value: (worker) => showBytes(worker.residentBytes + worker.engineResidentBytes), align: 'right' },
    { title: 'HOST', value: (worker) => worker.host },
    { title: 'VERSION', value: (worker) => worker.version },
    { title: 'ENGINE', value: (worker) => worker.engineVersion },
    { title: 'DOES', value: (worker) => worker.message },
  ];
}

function stateOf({ attached, draining }: WorkerStatus__Output): string {
  if (!attached) return 'away';
  return draining ? 'draining' : 'attached';
}
