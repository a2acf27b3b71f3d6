/**
 * What one placement (stages x replicas) of a job would cost: time, bytes, memory, disk. Pure; choose-placement.ts
 * compares the placements, layer-times.ts says what one layer costs one worker. Times are milliseconds.
 *
 * M microbatches, R replicas, S stages, L layers, K snapshot interval; t is one microbatch through one layer.
 *
 * One layer on one worker costs `load + n x t` for its n microbatches: a session is created for every pass, which reads
 * the layer and packs it. Microbatches are split so that all replicas end at the same time (split-microbatches.ts).
 *
 * propagate: pruned. Layers follow one another, and so do the stages: L x (calibrate + reduce + prune + forward), each
 * pass at `load + M / R x t`. More stages do not make it faster; they hand over through files and, with fewer
 * than all workers each, say who reads what.
 *
 * propagate: dense. Stages work side by side on waves of G microbatches, a pipeline of S steps (Huang et al., GPipe,
 * NeurIPS 2019, section 2.3: of M + S - 1 steps, S - 1 are its filling):
 *     (ceil(M / G) + S - 1) x layersPerStage x (load + G / R x t)
 * A small G fills the pipeline early but loads every layer more often; choose-placement.ts takes the G of the least time.
 *
 * Methods that need Hessians. Layers follow one another whatever propagate is. Each is measured twice; with dense the
 * second time is its forward pass, and that pruning is beside it is left out.
 *
 * Snapshots. Young, A first order approximation to the optimum checkpoint interval, CACM 17(9), 1974: sqrt(2 C T) between
 * two, where C is what one costs and T the time between two failures. Here what is lost is computed again without
 * calibrating and pruning: a layer that took t takes only f. Writing costs C / K a layer; a failure, every T / t layers,
 * costs f x K / 2. The sum is least at K = sqrt(2 C T / (t f)), which is Young's interval where f = t.
 *
 * Left out: tokenizing text, workers that reach their files through the coordinator, and storage that is slower for
 * several hosts at once than it was for each when it measured.
 */
import {
  type CostInputs,
  DIGEST_BYTES_PER_SECOND,
  hessianBytesOf,
  hiddenBytesOf,
  inMs,
  isHessianNeeded,
  isPipelined,
  type LayerTimes,
  layerTimes,
  microbatchCount,
} from './layer-times.ts';
import { memoryProblem, type StagePart, type WorkerCost, workerCosts } from './placement-resources.ts';
import { splitMicrobatches } from './split-microbatches.ts';
import type { StagePlan } from './state.ts';
import type { WorkerRates } from './worker-rates.ts';

// Measured: docs/performance.md, "What plans are made with".
/** From a result to the next one, with nothing to compute: journal, stream, session. */
const TASK_MS = 10;
/** Adding up a layer's statistics before it can be pruned. */
const REDUCE_MS = 5;
/** Threads, memory and code of the kernels, when a worker prunes for the first time. */
const KERNEL_START_MS = 60;
/** Reading the inputs, choosing the windows, publishing: of a job of no size. */
const JOB_MS = 150;

/**
 * Between two losses of one worker. A day is what a preemptible machine lives at most on Google Cloud. Machines of one's
 * own live for months; that they write snapshots too often costs them C / K a layer, well below a hundredth.
 */
const WORKER_MTBF_MS = 24 * 3600 * 1000;

export interface Placement {
  readonly stages: readonly StagePlan[];
  readonly replicas: number;
  readonly snapshotInterval: 'auto' | number;
  /** Microbatches in one wave of a dense pipeline; all of them where there is no pipeline. */
  readonly wave: number;
}

/** Milliseconds. */
export interface CostParts {
  compute: number;
  /** Reading layers and creating sessions. */
  load: number;
  /** Pruning and committing. */
  prune: number;
  snapshot: number;
}

/** The microbatches of one wave that a worker has in one stage. */
interface ReplicaShare {
  readonly worker: number;
  readonly microbatches: number;
}

export interface PlacementCost {
  readonly snapshotInterval: number;
  readonly totalMs: number;
  /** Where totalMs goes; the rest is overhead: tasks, digests, assembly. */
  readonly elapsed: Readonly<CostParts>;
  /** The same, added up over the workers, as a report measures it. */
  readonly work: Readonly<CostParts>;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Statistics: to the coordinator, and back as sums. */
  readonly bytesOverNetwork: number;
  /** The most that is there at one time, at the destination. */
  readonly destinationBytes: number;
  /** Of each stage. */
  readonly shares: readonly (readonly ReplicaShare[])[];
  readonly workers: readonly WorkerCost[];
  /** Why these workers cannot have it; null where they can. */
  readonly problem: string | null;
}

interface Pass {
  /** Of the worker that ends last. */
  readonly elapsed: { readonly load: number; readonly compute: number };
  /** Of all. */
  readonly work: { readonly load: number; readonly compute: number };
}

/** One layer of a stage. */
interface GroupCost {
  readonly workers: readonly number[];
  readonly times: readonly LayerTimes[];
  readonly shares: readonly number[];
  /** propagate: pruned, the pass that gives statistics; dense, the only one. */
  readonly calibrate: Pass;
  readonly forward: Pass;
  readonly prune: number;
}

interface StageCost extends StagePlan, GroupCost {
  /** How often its hidden states go to files. */
  readonly snapshots: number;
}

interface Timing {
  readonly elapsed: CostParts;
  readonly work: CostParts;
  /** Of tasks that follow one another. */
  readonly tasksMs: number;
  /** One layer, and what it takes to compute its hidden states again. */
  readonly layerMs: number;
  readonly repeatMs: number;
}

export function costOf(inputs: CostInputs, workers: readonly WorkerRates[], placement: Placement): PlacementCost {
  const { layerCount, copiedBytes } = inputs;
  const waves = Math.ceil(microbatchCount(inputs) / placement.wave);
  const bare = stageCosts(inputs, workers, placement);
  const { elapsed, work, tasksMs, ...timing } = isPipelined(inputs)
    ? timeDense(bare, workers.length, waves)
    : timePruned(bare, layerCount);
  addSurvey(inputs, bare, workers.length, elapsed, work);
  const snapshotInterval = intervalFor(placement, layerCount, bare[0] as StageCost, timing);
  const stages = bare.map((stage) => ({ ...stage, snapshots: snapshotsOf(stage, snapshotInterval, layerCount) }));
  addSnapshots(stages, waves, elapsed, work);
  const overheadMs = JOB_MS + tasksMs + digestMs(inputs, workers) + assemblyMs(inputs, workers);
  const parts = stages.flatMap((stage, index) => partsOf(inputs, stage, index, waves));
  const costs = workerCosts(inputs, workers, parts);
  const snapshots = stages.reduce((sum, stage) => sum + stage.snapshots, 0);
  return {
    snapshotInterval,
    totalMs: overheadMs + elapsed.compute + elapsed.load + elapsed.prune + elapsed.snapshot,
    elapsed,
    work,
    bytesRead: costs.reduce((sum, cost) => sum + cost.bytesRead, inputs.sourceBytes + copiedBytes),
    bytesWritten: costs.reduce((sum, cost) => sum + cost.bytesWritten, copiedBytes),
    bytesOverNetwork:
      layerCount *
      inputs.statisticsWidth *
      (inputs.samples * Float32Array.BYTES_PER_ELEMENT + Float64Array.BYTES_PER_ELEMENT),
    // Committed layers stay until the shards made of them are in place, discarded ones until the next snapshot is complete;
    // of the snapshots, the two newest at most.
    destinationBytes:
      copiedBytes +
      (inputs.isDiscarded === true ? Math.min(layerCount, snapshotInterval + 1) : layerCount) * inputs.bytesPerLayer +
      Math.min(2, snapshots) * hiddenBytesOf(inputs, inputs.samples) +
      // Of the layer that is being measured, one file from each worker.
      placement.replicas * hessianBytesOf(inputs),
    shares: stages.map((stage) =>
      stage.workers.map((worker, at) => ({ worker, microbatches: stage.shares[at] as number })),
    ),
    workers: costs,
    problem: memoryProblem(workers, costs),
  };
}

/** The fastest workers first, stage after stage, and over again where they are fewer than stages x replicas. */
function stageCosts(inputs: CostInputs, workers: readonly WorkerRates[], placement: Placement): StageCost[] {
  const flopsOf = (index: number): number => (workers[index] as WorkerRates).flops;
  const order = workers.map((_, index) => index).sort((a, b) => flopsOf(b) - flopsOf(a) || a - b);
  const isOneHost = new Set(workers.map((worker) => worker.host)).size <= 1;
  const timesOf = workers.map((worker) => layerTimes(inputs, worker, isOneHost));
  const replicas = Math.min(placement.replicas, workers.length);
  // Stages of the same workers cost the same.
  const groups = new Map<number, GroupCost>();
  return placement.stages.map((stage, index) => {
    const begin = (index * replicas) % order.length;
    const members = Array.from({ length: replicas }, (_, at) => order[(begin + at) % order.length] as number);
    const group = groups.get(begin) ?? groupCost(inputs, members, timesOf, placement.wave);
    groups.set(begin, group);
    return { ...stage, ...group, snapshots: 0 };
  });
}

function groupCost(
  inputs: CostInputs,
  workers: readonly number[],
  timesOf: readonly LayerTimes[],
  wave: number,
): GroupCost {
  const times = workers.map((worker) => timesOf[worker] as LayerTimes);
  const loadSource = times.map((time) => time.loadSource);
  const loadCommitted = times.map((time) => time.loadCommitted);
  const forward = times.map((time) => time.forward);
  const isPipeline = isPipelined(inputs);
  // With Hessians a layer is measured twice; with propagate: dense the second time is its forward pass.
  const measured = isHessianNeeded(inputs) && inputs.propagate === 'pruned' ? 2 : 1;
  const loadMeasured = loadSource.map((load) => measured * load);
  const calibrate = isPipeline ? forward : times.map((time) => measured * time.calibrate + time.correlate);
  // A replica has the same microbatches in all passes.
  const shares = isPipeline
    ? splitMicrobatches(wave, loadSource, forward)
    : splitMicrobatches(
        wave,
        times.map((time) => measured * time.loadSource + time.loadCommitted),
        times.map((time, at) => (calibrate[at] as number) + time.forward),
      );
  return {
    workers,
    times,
    shares,
    calibrate: passCost(shares, loadMeasured, calibrate),
    forward: passCost(shares, loadCommitted, forward),
    prune: Math.min(...times.map((time) => time.prune)),
  };
}

function passCost(shares: readonly number[], loads: readonly number[], each: readonly number[]): Pass {
  let elapsed = { load: 0, compute: 0 };
  const work = { load: 0, compute: 0 };
  for (const [at, share] of shares.entries()) {
    if (share === 0) continue;
    const mine = { load: loads[at] as number, compute: share * (each[at] as number) };
    work.load += mine.load;
    work.compute += mine.compute;
    if (mine.load + mine.compute > elapsed.load + elapsed.compute) elapsed = mine;
  }
  return { elapsed, work };
}

function timePruned(stages: readonly StageCost[], layerCount: number): Timing {
  const elapsed = { compute: 0, load: 0, prune: 0, snapshot: 0 };
  const work = { compute: 0, load: 0, prune: 0, snapshot: 0 };
  for (const { firstLayer, layerCount: layers, calibrate, forward, prune } of stages) {
    // The hidden states behind the last layer are of no use.
    const forwards = layers - (firstLayer + layers === layerCount ? 1 : 0);
    for (const part of ['load', 'compute'] as const) {
      elapsed[part] += layers * calibrate.elapsed[part] + forwards * forward.elapsed[part];
      work[part] += layers * calibrate.work[part] + forwards * forward.work[part];
    }
    elapsed.prune += layers * prune;
  }
  elapsed.prune += KERNEL_START_MS;
  work.prune = elapsed.prune;
  const { calibrate, forward, prune } = stages[0] as StageCost;
  const repeatMs = forward.elapsed.load + forward.elapsed.compute;
  const layerMs = repeatMs + calibrate.elapsed.load + calibrate.elapsed.compute + prune;
  return { elapsed, work, tasksMs: layerCount * (3 * TASK_MS + REDUCE_MS), layerMs, repeatMs };
}

function timeDense(stages: readonly StageCost[], workerCount: number, waves: number): Timing {
  const replicas = stages[0]?.workers.length ?? 1;
  // Stages that find no workers of their own wait until others have ended.
  const sideBySide = Math.max(1, Math.min(stages.length, Math.floor(workerCount / replicas)));
  const steps = (waves + sideBySide - 1) * Math.ceil(stages.length / sideBySide);
  const stepMs = ({ layerCount, calibrate }: StageCost): number =>
    layerCount * (calibrate.elapsed.load + calibrate.elapsed.compute + TASK_MS);
  const slowest = stages.reduce((a, b) => (stepMs(b) > stepMs(a) ? b : a));
  const elapsed = { compute: 0, load: 0, prune: 0, snapshot: 0 };
  const work = { compute: 0, load: 0, prune: 0, snapshot: 0 };
  for (const part of ['load', 'compute'] as const) {
    elapsed[part] = steps * slowest.layerCount * slowest.calibrate.elapsed[part];
    work[part] = waves * stages.reduce((sum, stage) => sum + stage.layerCount * stage.calibrate.work[part], 0);
  }
  work.prune = stages.reduce((sum, stage) => sum + stage.layerCount * stage.prune, 0);
  const layerCount = stages.reduce((sum, stage) => sum + stage.layerCount, 0);
  // Every worker prunes, between its passes and behind the last one.
  const pruners = Math.min(workerCount, layerCount);
  elapsed.prune = work.prune / pruners + KERNEL_START_MS;
  work.prune += pruners * KERNEL_START_MS;
  // A worker holds, and loses, one wave.
  const layerMs = slowest.calibrate.elapsed.load + slowest.calibrate.elapsed.compute;
  const tasksMs = steps * slowest.layerCount * TASK_MS + (layerCount * (TASK_MS + REDUCE_MS)) / pruners;
  return { elapsed, work, tasksMs, layerMs, repeatMs: layerMs };
}

/**
 * Before layers are pruned one after the other, a dense sweep over all of them; where they are calibrated in a dense sweep
 * anyway, it is that one. Outliers are counted beside it, by whoever is idle.
 */
function addSurvey(
  inputs: CostInputs,
  stages: readonly StageCost[],
  workerCount: number,
  elapsed: CostParts,
  work: CostParts,
): void {
  if (!inputs.survey) return;
  for (const { layerCount, times, shares } of stages) {
    if (inputs.propagate === 'pruned') {
      const sweep = passCost(
        shares,
        times.map((time) => time.loadSource),
        times.map((time) => time.forward),
      );
      for (const part of ['load', 'compute'] as const) {
        elapsed[part] += layerCount * sweep.elapsed[part];
        work[part] += layerCount * sweep.work[part];
      }
    }
    const counted = layerCount * Math.min(...times.map((time) => time.survey));
    elapsed.prune += counted / Math.min(workerCount, layerCount);
    work.prune += counted;
  }
}

/** In layers, at least one; the whole model where no snapshot inside it is worth its writing. */
function intervalFor(
  { snapshotInterval }: Placement,
  layerCount: number,
  stage: StageCost,
  { layerMs, repeatMs }: Pick<Timing, 'layerMs' | 'repeatMs'>,
): number {
  if (snapshotInterval !== 'auto') return snapshotInterval;
  const writeMs = Math.max(...stage.times.map((time, at) => time.writeHidden * (stage.shares[at] as number)));
  const betweenLossesMs = WORKER_MTBF_MS / stage.workers.length;
  const best = Math.round(Math.sqrt((2 * writeMs * betweenLossesMs) / (layerMs * repeatMs)));
  return Math.min(layerCount, Math.max(1, best));
}

/** Written at every boundary that is a multiple of the interval, and at the stage's end; never behind the last layer. */
function snapshotsOf({ firstLayer, layerCount: layers }: StagePlan, interval: number, layerCount: number): number {
  const end = firstLayer + layers;
  const multiples = Math.floor(Math.min(end, layerCount - 1) / interval) - Math.floor(firstLayer / interval);
  return multiples + (end < layerCount && end % interval !== 0 ? 1 : 0);
}

/** Files are written while the other replicas write theirs; the next stage reads those that it begins from. */
function addSnapshots(stages: readonly StageCost[], waves: number, elapsed: CostParts, work: CostParts): void {
  for (const [index, { times, shares, snapshots }] of stages.entries()) {
    const reads = index === 0 ? 0 : 1;
    const each = times.map(
      (time, at) => (snapshots * time.writeHidden + reads * time.readHidden) * (shares[at] as number) * waves,
    );
    elapsed.snapshot += Math.max(...each);
    work.snapshot += each.reduce((sum, ms) => sum + ms, 0);
  }
}

function partsOf(inputs: CostInputs, stage: StageCost, index: number, waves: number): StagePart[] {
  const { firstLayer, layerCount: layers, workers, shares, snapshots } = stage;
  const isLast = firstLayer + layers === inputs.layerCount;
  const forwards = 1 - (isLast ? 1 / layers : 0);
  const isPruned = inputs.propagate === 'pruned';
  const again = (isHessianNeeded(inputs) && isPruned ? 1 : 0) + (inputs.survey && isPruned ? 1 : 0);
  const passes = isPipelined(inputs) ? waves : 1 + again + forwards;
  return workers.map((worker, at) => ({
    worker,
    layers,
    passes: shares[at] === 0 ? 0 : passes,
    pruned: 1 / workers.length,
    samples: (shares[at] as number) * inputs.microbatch,
    snapshotsWritten: snapshots * waves,
    snapshotsRead: index === 0 ? 0 : waves,
  }));
}

/** Workers that have nothing else to do digest the source's shards: what it takes is shared by all of them. */
function digestMs({ sourceBytes }: CostInputs, workers: readonly WorkerRates[]): number {
  const rates = workers.map((worker) => 1 / (1 / worker.readBytesPerSecond + 1 / DIGEST_BYTES_PER_SECOND));
  return inMs(
    sourceBytes,
    rates.reduce((sum, rate) => sum + rate, 0),
  );
}

/** By the coordinator, whose storage is taken to be as fast as the best worker's. */
function assemblyMs({ copiedBytes }: CostInputs, workers: readonly WorkerRates[]): number {
  const read = Math.max(...workers.map((worker) => worker.readBytesPerSecond));
  const write = Math.max(...workers.map((worker) => worker.writeBytesPerSecond));
  return inMs(copiedBytes, read) + inMs(copiedBytes, write) + inMs(copiedBytes, DIGEST_BYTES_PER_SECOND);
}
