/** Everything that is wrong with what a disturbed job left behind, against a quiet run of the same job. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import { digestTree } from './secateur-process.ts';
import type { JobRun } from './supervised-cluster.ts';

const COMMITTED = 'secateur.layer.committed.v1';
const CALIBRATED = 'secateur.layer.calibrated.v1';

/** In words; empty where nothing is wrong. */
export function flawsOf(run: JobRun, quiet: Readonly<Record<string, string>>): string[] {
  const { job, told, retold, published, output } = run;
  const flaws: string[] = [];
  if (job.phase !== 'Succeeded') return [`the job ended ${job.phase}: ${job.message}`];
  const digests = digestTree(output);
  for (const file of new Set([...Object.keys(quiet), ...Object.keys(digests)])) {
    if (quiet[file] !== digests[file]) flaws.push(`${file}: ${digests[file] ?? 'absent'} instead of ${quiet[file]}`);
  }
  if (existsSync(join(output, '.secateur'))) flaws.push('the staging folder is still there');
  flaws.push(...sequenceFlaws('told', told), ...epochFlaws(told), ...layerFlaws(told));
  if (!isSame(told, retold)) flaws.push('what a later watcher hears is not what was told');
  if (published !== null) {
    flaws.push(...sequenceFlaws('NATS', published));
    if (!isSame(told, published)) flaws.push(`NATS has ${published.length} events, told were ${told.length}`);
  }
  return flaws;
}

export function sequenceFlaws(where: string, events: readonly CloudEvent[]): string[] {
  return events.flatMap((event, index) =>
    Number(event.sequence) === index + 1 ? [] : [`${where}: event ${index + 1} has sequence ${Number(event.sequence)}`],
  );
}

/** Every event says in which epoch it was told; a later one never in an earlier. */
export function epochFlaws(events: readonly Pick<CloudEvent, 'data'>[]): string[] {
  const epochs = events.map(({ data }) => Number(data.epoch));
  return epochs.flatMap((epoch, index) =>
    Number.isSafeInteger(epoch) && epoch >= Math.max(1, epochs[index - 1] ?? 1)
      ? []
      : [`event ${index + 1} is of epoch ${epoch}, the one before of ${epochs[index - 1]}`],
  );
}

/** Every layer is committed once, and not calibrated after that. */
export function layerFlaws(events: readonly CloudEvent[]): string[] {
  const flaws: string[] = [];
  const committed = new Set<unknown>();
  for (const { type, data } of events) {
    if (type === CALIBRATED && committed.has(data.layer)) flaws.push(`layer ${data.layer} was calibrated again`);
    if (type !== COMMITTED) continue;
    if (committed.has(data.layer)) flaws.push(`layer ${data.layer} was committed twice`);
    committed.add(data.layer);
  }
  const layers = events.findLast((event) => event.type === COMMITTED)?.data.layers;
  if (committed.size !== layers) flaws.push(`${committed.size} of ${layers} layers were committed`);
  return flaws;
}

function isSame(a: readonly CloudEvent[], b: readonly CloudEvent[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
