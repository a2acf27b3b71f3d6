/**
 * Which placement a job gets: those that could be are costed (cost-model.ts); of those that the manifest allows and the
 * workers have the memory for, the one with the least predicted time is taken. Pure.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { costOf, type Placement, type PlacementCost } from './cost-model.ts';
import { type CostInputs, isPipelined, microbatchCount } from './layer-times.ts';
import type { StagePlan } from './state.ts';
import { type PlannedWorker, ratesOf, UNKNOWN_WORKER } from './worker-rates.ts';

/** Up to here every number of replicas is tried, above it powers of two. */
const REPLICAS_TRIED_MAX = 64;
/** A wave is tried at this many for each stage, at most: by then the filling of the pipeline is an eighth of its time. */
const WAVES_PER_STAGE_MAX = 8;

export interface AskedPlacement {
  readonly stages: 'auto' | number;
  readonly replicas: 'auto' | number;
  readonly snapshotInterval: 'auto' | number;
}

export interface Alternative {
  readonly stages: readonly StagePlan[];
  /** With the workers that are there now. */
  readonly replicas: number;
  /** Microbatches in one wave; null where there is no pipeline. */
  readonly wave: number | null;
  readonly cost: PlacementCost;
  /** By the manifest. */
  readonly isAllowed: boolean;
  readonly isChosen: boolean;
  /** Why it is chosen, or is not. */
  readonly note: string;
}

export interface PlacementChoice {
  readonly chosen: Alternative;
  /** The chosen one first, then those that could be had, by their time, then the others. */
  readonly alternatives: readonly Alternative[];
}

interface Candidate {
  readonly placement: Placement;
  readonly cost: PlacementCost;
  readonly isAllowed: boolean;
}

/** @throws ManifestInvalid: more stages than layers */
export function choosePlacement(
  inputs: CostInputs,
  attached: readonly PlannedWorker[],
  asked: AskedPlacement,
): PlacementChoice {
  checkStages(asked.stages, inputs.layerCount);
  const workers = ratesOf(attached.length === 0 ? [UNKNOWN_WORKER] : attached);
  const replicasOf = (replicas: number): number => Math.min(replicas, workers.length);
  const candidates: Candidate[] = [];
  for (const stageCount of stageCounts(inputs, workers.length, asked.stages)) {
    for (const replicas of replicaCounts(inputs, workers.length, stageCount, asked.replicas)) {
      const isAllowed =
        (asked.stages === 'auto' || asked.stages === stageCount) &&
        (asked.replicas === 'auto'
          ? stageCount === 1 || replicas === autoReplicas(inputs, workers.length, stageCount)
          : replicas === replicasOf(asked.replicas));
      const common = { stages: planStages(stageCount, inputs.layerCount), replicas };
      const placement = { ...common, snapshotInterval: asked.snapshotInterval };
      candidates.push({ ...bestWave(inputs, workers, placement), isAllowed });
    }
  }
  const allowed = candidates.filter((candidate) => candidate.isAllowed);
  const fitting = allowed.filter(({ cost }) => cost.problem === null);
  // Estimates are upper bounds: a job that may not fit is begun with what comes nearest, and says so.
  const best = fitting.length > 0 ? least(fitting, timeOrder) : least(allowed, memoryOrder);
  const alternatives = candidates
    .sort((a, b) => Number(b === best) - Number(a === best) || Number(isOut(a)) - Number(isOut(b)) || timeOrder(a, b))
    .map((candidate) => describe(inputs, candidate, best, asked));
  return { chosen: alternatives[0] as Alternative, alternatives };
}

function checkStages(asked: number | 'auto', layerCount: number): void {
  if (asked === 'auto' || asked <= layerCount) return;
  const error = `spec.placement.stages: expected at most ${layerCount}, the number of decoder layers; found ${asked}. Ask for fewer stages, or "auto".`;
  throw new SecateurError('ManifestInvalid', error, { details: { asked, layerCount, errors: [error] } });
}

/** Contiguous stages whose sizes differ by at most one layer, the longer ones first. */
export function planStages(count: number, layerCount: number): StagePlan[] {
  const stages: StagePlan[] = [];
  let firstLayer = 0;
  for (let index = 0; index < count; index++) {
    const size = Math.floor(layerCount / count) + (index < layerCount % count ? 1 : 0);
    stages.push({ firstLayer, layerCount: size });
    firstLayer += size;
  }
  return stages;
}

/** One, powers of two, one a worker, and what is asked for. */
function stageCounts({ layerCount }: CostInputs, workerCount: number, asked: 'auto' | number): number[] {
  const most = Math.min(layerCount, workerCount);
  return ladder(most, 1, asked === 'auto' ? [] : [asked]);
}

/** Of several stages: one each, what `auto` gives them, and all for each. Others lie between. */
function replicaCounts(inputs: CostInputs, workerCount: number, stageCount: number, asked: 'auto' | number): number[] {
  // A replica without a microbatch has nothing to do.
  const most = Math.min(workerCount, microbatchCount(inputs));
  const more = asked === 'auto' ? [] : [Math.min(asked, workerCount)];
  if (stageCount === 1) return ladder(most, REPLICAS_TRIED_MAX, more);
  return [...new Set([1, autoReplicas(inputs, workerCount, stageCount), most, ...more])];
}

/**
 * What `replicas: auto` gives each of several stages (shares.ts). Where layers follow one another one stage runs at a time: all
 * workers, since none of them makes it slower. The stages of a pipeline run at once: the workers are spread over them;
 * some stages may get one more, but it is as fast as its slowest.
 */
function autoReplicas(inputs: CostInputs, workerCount: number, stageCount: number): number {
  const each = isPipelined(inputs) ? Math.floor(workerCount / stageCount) : workerCount;
  return Math.max(1, Math.min(each, microbatchCount(inputs)));
}

/** 1 to `dense`, powers of two up to `most`, `most` itself, and `more`; each once, in order. */
function ladder(most: number, dense: number, more: readonly number[]): number[] {
  const found = new Set([...more, most]);
  for (let value = 1; value <= most; value = value < dense ? value + 1 : value * 2) found.add(value);
  return [...found].sort((a, b) => a - b);
}

/** Only a dense pipeline has waves: 1, 2, 4, … of them are tried. */
function bestWave(
  inputs: CostInputs,
  workers: ReturnType<typeof ratesOf>,
  placement: Omit<Placement, 'wave'>,
): { placement: Placement; cost: PlacementCost } {
  const count = microbatchCount(inputs);
  const wavesMax = Math.min(count, WAVES_PER_STAGE_MAX * placement.stages.length);
  const isPipeline = isPipelined(inputs) && placement.stages.length > 1;
  const waves = isPipeline ? ladder(wavesMax, 1, []).map((parts) => Math.ceil(count / parts)) : [count];
  const tried = [...new Set(waves)].map((wave) => {
    const whole = { ...placement, wave };
    return { placement: whole, cost: costOf(inputs, workers, whole) };
  });
  const fitting = tried.filter(({ cost }) => cost.problem === null);
  return least(fitting.length > 0 ? fitting : tried, (a, b) => a.cost.totalMs - b.cost.totalMs);
}

/** Of equal times, more replicas (each holds less), then fewer stages (less is written). */
function timeOrder(a: Candidate, b: Candidate): number {
  return (
    a.cost.totalMs - b.cost.totalMs ||
    b.placement.replicas - a.placement.replicas ||
    a.placement.stages.length - b.placement.stages.length
  );
}

function memoryOrder(a: Candidate, b: Candidate): number {
  return memoryOf(a.cost) - memoryOf(b.cost) || timeOrder(a, b);
}

/** Of the worker that needs the most. */
export function memoryOf(cost: PlacementCost): number {
  return Math.max(...cost.workers.map((worker) => worker.memoryBytes));
}

function isOut(candidate: Candidate): boolean {
  return !candidate.isAllowed || candidate.cost.problem !== null;
}

function describe(inputs: CostInputs, candidate: Candidate, best: Candidate, asked: AskedPlacement): Alternative {
  const { placement, cost } = candidate;
  const isPipeline = isPipelined(inputs) && placement.stages.length > 1;
  return {
    stages: placement.stages,
    replicas: placement.replicas,
    wave: isPipeline ? placement.wave : null,
    cost,
    isAllowed: candidate.isAllowed,
    isChosen: candidate === best,
    note: noteOn(candidate, best, asked),
  };
}

function noteOn({ placement, cost, isAllowed }: Candidate, best: Candidate, asked: AskedPlacement): string {
  if (cost === best.cost) {
    if (cost.problem !== null) return `chosen, though it ${cost.problem}: nothing else needs less`;
    const isFixed = asked.stages !== 'auto' && asked.replicas !== 'auto';
    return isFixed ? 'chosen: asked for' : 'chosen: the fastest that fits';
  }
  if (cost.problem !== null) return cost.problem;
  if (!isAllowed) {
    if (asked.stages !== 'auto' && asked.stages !== placement.stages.length)
      return `spec.placement.stages is ${asked.stages}`;
    if (asked.replicas !== 'auto') return `spec.placement.replicas is ${asked.replicas}`;
    return `needs spec.placement.replicas: ${placement.replicas}`;
  }
  const ratio = cost.totalMs / best.cost.totalMs;
  if (ratio < 1.0005) return 'as fast';
  return ratio < 2
    ? `${((ratio - 1) * 100).toFixed(ratio < 1.1 ? 1 : 0)} % slower`
    : `${ratio.toFixed(1)} times as long`;
}

function least<Item>(items: readonly Item[], order: (a: Item, b: Item) => number): Item {
  return items.reduce((a, b) => (order(b, a) < 0 ? b : a));
}
