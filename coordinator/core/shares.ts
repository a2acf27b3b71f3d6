/**
 * Who computes what: the shares of a stage's microbatches, given out by measured speed, taken back from those that
 * leave, and evened out at layer boundaries when somebody new has come or somebody turns out to be slow.
 */
import {
  countOf,
  difference,
  highest,
  isEmpty,
  lowest,
  type MicrobatchSet,
  NO_MICROBATCHES,
  showMicrobatches,
  union,
} from '../../shared/microbatch-set.ts';
import { fitsVersions } from './drift.ts';
import { ownedIn, samplesOf, stageNeeds } from './lineage.ts';
import {
  type CoordinatorState,
  endOf,
  type JobState,
  jobOf,
  own,
  type StageState,
  shareOf,
  type WorkerState,
} from './state.ts';
import type { Transition } from './transition.ts';

/** Shares are evened out when that takes at least this part off the time of a pass, and at least so much time. */
const GAIN_MIN = 0.2;
const GAIN_MS_MIN = 100;

/** Workers that may compute for a job: attached, staying, and of the versions that it began with. */
export function usableWorkers(state: CoordinatorState, job: JobState): WorkerState[] {
  return Object.values(state.workers).filter(
    (worker) => worker.attached && !worker.draining && fitsVersions(job, worker.capabilities),
  );
}

/** Of the usable workers, those on which nothing failed lately; all of them where that leaves none. */
function preferredWorkers(state: CoordinatorState, job: JobState, nowMs: number): WorkerState[] {
  const usable = usableWorkers(state, job);
  const trusted = usable.filter((worker) => (own(job.shunnedUntilMs, worker.id) ?? 0) <= nowMs);
  return trusted.length > 0 ? trusted : usable;
}

/** Gives every microbatch that can go on, and belongs to nobody, to a worker. */
export function giveShares(t: Transition, jobId: string): void {
  for (let index = 0; index < (jobOf(t.state, jobId)?.stages.length ?? 0); index++) {
    const job = jobOf(t.state, jobId) as JobState;
    const stage = job.stages[index] as StageState;
    const needed = union(...stageNeeds(job, index).map((need) => need.microbatches));
    const unowned = difference(needed, ownedIn(stage));
    if (isEmpty(unowned)) continue;
    const replicas = replicasOf(t.state, job, index, t.nowMs);
    if (replicas.length === 0) continue;
    const given = divide(job, stage, unowned, replicas);
    const edited = t.editJob(jobId).stages[index] as StageState;
    for (const [worker, more] of given) {
      const before = shareOf(edited, worker);
      edited.shares[worker] = union(before, more);
      // A share grows as hidden states arrive: only a new replica is worth an event.
      if (!isEmpty(before)) continue;
      t.tell(jobId, 'stage', 'assigned', {
        stage: index,
        worker,
        firstLayer: stage.firstLayer,
        layerCount: stage.layerCount,
        microbatches: showMicrobatches(more),
      });
    }
  }
}

/**
 * The replicas that a stage has or can have now: those with a share, then free workers up to the limit. A worker that
 * serves another unfinished stage is taken only where there would be nobody.
 */
function replicasOf(state: CoordinatorState, job: JobState, index: number, nowMs: number): string[] {
  const stage = job.stages[index] as StageState;
  const workers = preferredWorkers(state, job, nowMs).sort((a, b) => (a.id < b.id ? -1 : 1));
  const bound = workers.filter(({ id }) => !isEmpty(shareOf(stage, id))).map(({ id }) => id);
  const max = job.plan?.replicasMax ?? Math.max(1, Math.ceil(workers.length / job.stages.length));
  const load = (id: string): number =>
    job.stages.filter((other) => !isStageDone(job, other) && !isEmpty(shareOf(other, id))).length;
  const others = workers
    .filter(({ id }) => !bound.includes(id))
    .map(({ id }) => ({ id, load: load(id) }))
    .sort((a, b) => a.load - b.load);
  const free = others.filter((each) => each.load === 0).slice(0, Math.max(0, max - bound.length));
  const replicas = [...bound, ...free.map(({ id }) => id)];
  return replicas.length > 0 ? replicas : others.slice(0, 1).map(({ id }) => id);
}

function isStageDone(job: JobState, stage: StageState): boolean {
  return job.layers
    .slice(stage.firstLayer, endOf(stage))
    .every((layer) => layer.status === 'committed' || layer.status === 'ready');
}

/** Contiguous parts of `unowned`, so that everybody's share takes about the same time. */
function divide(
  job: JobState,
  stage: StageState,
  unowned: MicrobatchSet,
  replicas: readonly string[],
): Map<string, MicrobatchSet> {
  const rate = ratesOf(job, replicas);
  const owned = new Map(replicas.map((id) => [id, countOf(shareOf(stage, id))]));
  const more = new Map<string, number>();
  for (let left = countOf(unowned); left > 0; left--) {
    const time = (id: string): number => ((owned.get(id) ?? 0) + (more.get(id) ?? 0) + 1) / rate(id);
    const quickest = replicas.reduce((best, id) => (time(id) < time(best) ? id : best));
    more.set(quickest, (more.get(quickest) ?? 0) + 1);
  }
  const given = new Map<string, MicrobatchSet>();
  let rest = unowned;
  for (const id of replicas) {
    const part = lowest(rest, more.get(id) ?? 0);
    if (isEmpty(part)) continue;
    given.set(id, part);
    rest = difference(rest, part);
  }
  return given;
}

/** Tokens a second of each; one that has not been measured counts as an average one. */
function ratesOf(job: JobState, replicas: readonly string[]): (worker: string) => number {
  const known = replicas.map((id) => own(job.rates, id)).filter((rate) => rate !== undefined);
  const average = known.length === 0 ? 1 : known.reduce((sum, rate) => sum + rate, 0) / known.length;
  return (worker) => own(job.rates, worker) ?? average;
}

/**
 * What a worker gives to others at the next boundary, of the microbatches that it is about to take there: part of the
 * share of a newcomer, or what a faster one would have done sooner.
 */
export function surplusOf(
  state: CoordinatorState,
  job: JobState,
  index: number,
  worker: string,
  moving: MicrobatchSet,
  nowMs: number,
): MicrobatchSet {
  const stage = job.stages[index] as StageState;
  const replicas = replicasOf(state, job, index, nowMs);
  if (replicas.length < 2 || !replicas.includes(worker)) return NO_MICROBATCHES;
  const rate = ratesOf(job, replicas);
  const owned = (id: string): number => countOf(shareOf(stage, id));
  const total = replicas.reduce((sum, id) => sum + owned(id), 0);
  const ideal = divide(job, { ...stage, shares: {} }, [[0, total]], replicas);
  const due = (id: string): number => countOf(ideal.get(id) ?? NO_MICROBATCHES);
  const surplus = owned(worker) - due(worker);
  if (surplus <= 0) return NO_MICROBATCHES;
  const isNewcomer = replicas.some((id) => owned(id) === 0 && due(id) > 0);
  const slowestNow = Math.max(...replicas.map((id) => owned(id) / rate(id)));
  const slowestThen = Math.max(...replicas.map((id) => due(id) / rate(id)));
  const gain = slowestNow - slowestThen;
  const tokens = samplesOf(job, [[0, 1]]) * (job.calibration?.sequenceLength ?? 0);
  const isWorthIt = gain >= GAIN_MIN * slowestNow && gain * tokens * 1000 >= GAIN_MS_MIN;
  if (!isNewcomer && !isWorthIt) return NO_MICROBATCHES;
  return highest(moving, Math.min(surplus, countOf(moving) - 1));
}

/** Takes microbatches out of a worker's share of a stage. */
export function takeFromShare(stage: StageState, worker: string, microbatches: MicrobatchSet): void {
  const left = difference(shareOf(stage, worker), microbatches);
  if (isEmpty(left)) delete stage.shares[worker];
  else stage.shares[worker] = left;
}

/** Nobody counts on this worker any more: what it was to compute is given to others. */
export function dropShares(t: Transition, jobId: string, worker: string): void {
  const job = jobOf(t.state, jobId);
  if (job === undefined || !job.stages.some((stage) => Object.hasOwn(stage.shares, worker))) return;
  for (const stage of t.editJob(jobId).stages) delete stage.shares[worker];
}
