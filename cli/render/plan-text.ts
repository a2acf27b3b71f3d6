/** A plan as it is printed: what it comes to, the alternatives, and who does what to which files. Pure. */

import type { MappedShard, MappedStage } from '../../coordinator/core/shard-map.ts';
import type { PreviewedPlacement, PreviewedWorker } from '../../coordinator/effects/preview-plan.ts';
import { showBytes, showCount, showDuration } from '../../shared/units.ts';
import { type PlanView, showRange } from '../plan-view.ts';
import { type Column, renderFields, renderTable } from './table.ts';

/** Of a table; the rest is counted. `-o json` has all. */
const ROWS_MAX = 12;
const ALTERNATIVES_SHOWN_MAX = 8;

export function renderPlan(view: PlanView): string {
  const fields: (readonly [string, string])[] = [
    ['source', view.source],
    ['destination', view.destination],
    ['model', `${view.architecture}, ${view.layers} layers, hidden size ${view.hiddenSize}`],
    ['calibration', showCalibration(view)],
    ['placement', showPlacement(view)],
    ...showPrediction(view),
    ['output', showOutput(view)],
    ['disk', `at most ${showBytes(view.diskNeededBytes)} at the destination; ${showBytes(view.diskFreeBytes)} free`],
    ...view.warnings.map((warning) => ['warning', warning] as const),
  ];
  const hasWaves = view.alternatives.some((alternative) => alternative.wave !== null);
  const alternativeColumns = ALTERNATIVE_COLUMNS.filter((column) => hasWaves || column.title !== 'WAVE');
  const hasDevices = view.workers.some((worker) => worker.capabilities.provider === 'cuda');
  const workerColumns = WORKER_COLUMNS.filter(({ title }) => hasDevices || !title.startsWith('DEVICE'));
  const tables = [
    renderTable(CHOICE_COLUMNS, view.pruned),
    view.alternatives.length > 0 ? table(alternativeColumns, view.alternatives, ALTERNATIVES_SHOWN_MAX) : '',
    view.workers.length > 0 ? table(workerColumns, view.workers) : '',
    view.shardMap === null ? '' : table(STAGE_COLUMNS, stageRows(view.shardMap.stages)),
    view.shardMap === null ? '' : table(SHARD_COLUMNS, view.shardMap.outputShards),
  ];
  return [renderFields(fields), ...tables.filter((text) => text !== '')].join('\n\n');
}

function showCalibration({ samples, sequenceLength, microbatch, microbatches }: PlanView): string {
  if (samples === null || sequenceLength === null || microbatches === null)
    return 'known once the token ids are read (memory and disk are without hidden states)';
  return `${samples} samples of ${sequenceLength} tokens, in ${count(microbatches, 'microbatch', 'microbatches')} of ${microbatch}`;
}

function showOutput({ outputBytes, outputShards }: PlanView): string {
  if (outputShards.length === 0) return 'no checkpoint, only the record of the job, as spec.output asks';
  return `${showBytes(outputBytes)} in ${count(outputShards.length, 'shard')}`;
}

function showPlacement({ stages, replicas, wave, layers, propagate, snapshotInterval }: PlanView): string {
  const layout = `${count(stages.length, 'stage')} x ${count(replicas, 'replica')}, propagate: ${propagate}`;
  const waves = wave === null ? '' : `, waves of ${count(wave, 'microbatch', 'microbatches')}`;
  const snapshots =
    snapshotInterval >= layers
      ? stages.length > 1
        ? 'snapshots between stages only'
        : 'no snapshots'
      : `a snapshot every ${snapshotInterval === 1 ? 'layer' : `${snapshotInterval} layers`}`;
  return `${layout}${waves}; ${snapshots}`;
}

/** Parts that round to nothing are left out. */
function showPrediction(view: PlanView): [string, string][] {
  const [chosen] = view.alternatives;
  if (chosen === undefined) return [];
  const { totalMs, elapsed, bytesRead, bytesWritten, bytesOverNetwork, workerMemoryBytes, deviceMemoryBytes } = chosen;
  const { compute, load, prune, snapshot } = elapsed;
  const rest = totalMs - compute - load - prune - snapshot;
  const parts = [
    ['compute', compute],
    ['load', load],
    ['prune', prune],
    ['snapshots', snapshot],
    ['overhead', rest],
  ] as const;
  const shown = parts.filter(([, ms]) => ms >= 0.5).map(([name, ms]) => `${name} ${showDuration(ms)}`);
  const device = deviceMemoryBytes > 0 ? `, and ${showBytes(deviceMemoryBytes)} of its device` : '';
  return [
    ['time', `about ${showDuration(totalMs)}: ${shown.join(', ')}`],
    ['figures', view.figures],
    [
      'bytes',
      `${showBytes(bytesRead)} read, ${showBytes(bytesWritten)} written, ${showBytes(bytesOverNetwork)} of statistics sent`,
    ],
    ['memory', `about ${showBytes(workerMemoryBytes)} a worker${device}`],
  ];
}

const CHOICE_COLUMNS: readonly Column<PlanView['pruned'][number]>[] = [
  { title: 'SPARSITY', value: (row) => row.choice },
  { title: 'TENSORS', value: (row) => String(row.tensors), align: 'right' },
  { title: 'WEIGHTS', value: (row) => showCount(row.weights), align: 'right' },
];

const ALTERNATIVE_COLUMNS: readonly Column<PreviewedPlacement>[] = [
  { title: 'PLACEMENT', value: ({ stages, replicas }) => `${stages} x ${replicas}` },
  { title: 'WAVE', value: ({ wave }) => (wave === null ? '-' : String(wave)), align: 'right' },
  { title: 'TIME', value: (row) => showDuration(row.totalMs), align: 'right' },
  {
    title: 'MOVED',
    value: (row) => showBytes(row.bytesRead + row.bytesWritten + row.bytesOverNetwork),
    align: 'right',
  },
  { title: 'MEMORY/WORKER', value: (row) => showBytes(row.workerMemoryBytes), align: 'right' },
  { title: 'DISK/WORKER', value: (row) => showBytes(row.workerDiskBytes), align: 'right' },
  { title: 'NOTE', value: (row) => row.note },
];

const WORKER_COLUMNS: readonly Column<PreviewedWorker>[] = [
  { title: 'WORKER', value: (row) => row.name },
  { title: 'HOST', value: (row) => row.capabilities.host },
  { title: 'PROVIDER', value: (row) => row.capabilities.provider },
  { title: 'THREADS', value: (row) => String(row.capabilities.threads), align: 'right' },
  { title: 'COMPUTE', value: (row) => showFlops(row.capabilities.computeFlops), align: 'right' },
  { title: 'DISK READ', value: (row) => showRate(row.capabilities.storageReadBytesPerSecond), align: 'right' },
  { title: 'DISK WRITE', value: (row) => showRate(row.capabilities.storageWriteBytesPerSecond), align: 'right' },
  { title: 'MEMORY', value: (row) => showBytes(row.capabilities.memoryBytes), align: 'right' },
  { title: 'NEEDS', value: (row) => showBytes(row.memoryBytes), align: 'right' },
  { title: 'DEVICE', value: (row) => showKnown(row.capabilities.deviceMemoryBytes), align: 'right' },
  { title: 'DEVICE NEEDS', value: (row) => showBytes(row.deviceMemoryBytes), align: 'right' },
  { title: 'READS', value: (row) => showBytes(row.bytesRead), align: 'right' },
  { title: 'WRITES', value: (row) => showBytes(row.bytesWritten), align: 'right' },
];

interface StageRow {
  readonly stage: number;
  readonly layers: MappedStage['layers'];
  readonly worker: string;
  readonly microbatches: string;
  readonly sourceShards: string;
}

function stageRows(stages: readonly MappedStage[]): StageRow[] {
  return stages.flatMap(({ layers, sourceShards, replicas }, stage) =>
    replicas.map(({ worker, microbatches }) => ({
      stage,
      layers,
      worker,
      microbatches: listOf(microbatches.map(showRange)),
      sourceShards: listOf(sourceShards),
    })),
  );
}

const STAGE_COLUMNS: readonly Column<StageRow>[] = [
  { title: 'STAGE', value: (row) => String(row.stage), align: 'right' },
  { title: 'LAYERS', value: (row) => showRange(row.layers) },
  { title: 'WORKER', value: (row) => row.worker },
  { title: 'MICROBATCHES', value: (row) => row.microbatches },
  { title: 'READS', value: (row) => row.sourceShards },
];

const SHARD_COLUMNS: readonly Column<MappedShard>[] = [
  { title: 'OUTPUT SHARD', value: (row) => row.file },
  { title: 'SIZE', value: (row) => showBytes(row.sizeBytes), align: 'right' },
  { title: 'LAYERS', value: (row) => (row.layers === null ? '-' : showRange(row.layers)) },
  { title: 'OTHER TENSORS', value: (row) => String(row.otherTensors), align: 'right' },
];

function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[], shownMax = ROWS_MAX): string {
  const text = renderTable(columns, rows.slice(0, shownMax));
  const more = rows.length - shownMax;
  return more > 0 ? `${text}\n(${more} more: -o json has them)` : text;
}

/** `a`, `a, b`, `a … z (81)`. */
function listOf(names: readonly string[]): string {
  return names.length <= 2 ? names.join(', ') : `${names[0]} … ${names.at(-1)} (${names.length})`;
}

function showFlops(flops: number): string {
  return flops > 0 ? `${(flops / 1e9).toFixed(0)} GFLOP/s` : 'assumed';
}

function showKnown(sizeBytes: number): string {
  return sizeBytes > 0 ? showBytes(sizeBytes) : 'not known';
}

function showRate(bytesPerSecond: number): string {
  return bytesPerSecond > 0 ? `${showBytes(bytesPerSecond)}/s` : 'assumed';
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
