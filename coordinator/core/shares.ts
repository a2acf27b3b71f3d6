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
import { isSequential, ownedIn, samplesOf, stageNeeds } from './lineage.ts';
import {
  type CoordinatorState,
  endOf,
  type JobState,
  jobOf,
  type LayerState,
  own,
  type StageState,
  shareOf,
  type WorkerState,
  without,
} from './state.ts';
import type { Transition } from './transition.ts';

/** Shares are evened out when that takes at least this part off the time of a pass, and at least so much time. */
const GAIN_MIN = 0.2;
const GAIN_MS_MIN = 100;

/** No pass is needed of such a layer. */
const MEASURED: ReadonlySet<LayerState['status']> = new Set(['surveying', 'surveyed', 'ready', 'committed']);

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
    const shares = { ...edited.shares };
    edited.shares = shares;
    for (const [worker, more] of given) {
      const isKnown = Object.hasOwn(shares, worker);
      shares[worker] = union(shareOf(edited, worker), more);
      // A share grows as hidden states arrive, and is empty between: only a new replica is worth an event.
      if (isKnown) continue;
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
 * The replicas that a stage has or can have now: those with a share, then free workers up to the limit, first those that
 * had a share before (a stage that waits for the one before it changes nobody), last those of other stages. A worker that serves another unfinished
 * stage beside this one (dense) is taken only where there would be nobody.
 *
 * A number that the manifest fixes is kept at every moment: who is away, or leaves, has its place until its share is
 * given up. Where that is every place, the stage waits.
 */
function replicasOf(state: CoordinatorState, job: JobState, index: number, nowMs: number): string[] {
  const stage = job.stages[index] as StageState;
  const workers = preferredWorkers(state, job, nowMs)
    .map(({ id }) => id)
    .sort();
  const serving = new Set(Object.keys(stage.shares).filter((id) => !isEmpty(shareOf(stage, id))));
  const bound = workers.filter((id) => serving.has(id));
  const fixed = job.plan?.replicasMax ?? null;
  const places = fixed === null ? placesFor(job, workers.length) - bound.length : fixed - serving.size;
  const loads = loadsIn(job);
  const others = workers
    .filter((id) => !serving.has(id))
    .map((id) => ({ id, ...(loads.get(id) ?? IDLE), isNew: !Object.hasOwn(stage.shares, id) }))
    .sort((a, b) => a.load - b.load || Number(a.isNew) - Number(b.isNew) || a.stages - b.stages);
  const free = others.filter((each) => each.load === 0).slice(0, Math.max(0, places));
  const replicas = [...bound, ...free.map(({ id }) => id)];
  if (replicas.length > 0) return replicas;
  if (places > 0) return others.slice(0, 1).map(({ id }) => id);
  return usableWorkers(state, job).flatMap(({ id }) => (serving.has(id) ? [id] : []));
}

/** Of `replicas: auto`: stages that follow one another have all workers, one after the other; others share them. */
function placesFor(job: JobState, workers: number): number {
  return isSequential(job) ? workers : Math.max(1, Math.ceil(workers / job.stages.length));
}

/** What a worker has to do with unfinished stages: of how many it has a share, and a share or an empty one. */
interface Load {
  readonly load: number;
  readonly stages: number;
}

const IDLE: Load = { load: 0, stages: 0 };

function loadsIn(job: JobState): Map<string, Load> {
  const loads = new Map<string, Load>();
  // Who brings the last of a stage to its end is free for the next one, before which nothing else is to be done.
  const isSequence = isSequential(job);
  for (const stage of job.stages) {
    if (isStageDone(job, stage)) continue;
    for (const [worker, share] of Object.entries(stage.shares)) {
      const { load, stages } = loads.get(worker) ?? IDLE;
      loads.set(worker, { load: load + (isSequence || isEmpty(share) ? 0 : 1), stages: stages + 1 });
    }
  }
  return loads;
}

function isStageDone(job: JobState, stage: StageState): boolean {
  return job.layers.slice(stage.firstLayer, endOf(stage)).every(({ status }) => MEASURED.has(status));
}

/** Contiguous parts of `unowned`, so that everybody's share takes about the same time. */
function divide(
  job: JobState,
  stage: StageState,
  unowned: MicrobatchSet,
  replicas: readonly string[],
): Map<string, MicrobatchSet> {
  const more = countsFor(
    countOf(unowned),
    replicas.map((id) => countOf(shareOf(stage, id))),
    replicas.map(ratesOf(job, replicas)),
  );
  const given = new Map<string, MicrobatchSet>();
  let rest = unowned;
  for (const [at, id] of replicas.entries()) {
    const part = lowest(rest, more[at] ?? 0);
    if (isEmpty(part)) continue;
    given.set(id, part);
    rest = difference(rest, part);
  }
  return given;
}

/**
 * How many of `count` each replica gets on top of what it owns: one after the other goes to whoever would have done it
 * first. A heap of replicas by the time at which they would have done one more; of equal times the first in order.
 */
function countsFor(count: number, owned: readonly number[], rates: readonly number[]): number[] {
  const more = owned.map(() => 0);
  const times = owned.map((count, at) => (count + 1) / (rates[at] as number));
  const isBefore = (a: number, b: number): boolean => {
    const [first, second] = [times[a] as number, times[b] as number];
    return first < second || (first === second && a < b);
  };
  const heap = owned.map((_, at) => at).sort((a, b) => (isBefore(a, b) ? -1 : 1));
  for (let left = count; left > 0; left--) {
    const quickest = heap[0] as number;
    const gets = (more[quickest] as number) + 1;
    more[quickest] = gets;
    times[quickest] = ((owned[quickest] as number) + gets + 1) / (rates[quickest] as number);
    sink(heap, isBefore);
  }
  return more;
}

/** Puts the first of a heap, which has grown, in its place. */
function sink(heap: number[], isBefore: (a: number, b: number) => boolean): void {
  const moved = heap[0] as number;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1] as number, heap[child] as number)) child += 1;
    if (!isBefore(heap[child] as number, moved)) break;
    heap[at] = heap[child] as number;
    at = child;
  }
  heap[at] = moved;
}

/** Tokens a second of each; one that has not been measured counts as an average one. */
function ratesOf(job: JobState, replicas: readonly string[]): (worker: string) => number {
  const known = replicas.map((id) => own(job.rates, id)).filter((rate) => rate !== undefined);
  const average = known.length === 0 ? 1 : known.reduce((sum, rate) => sum + rate, 0) / known.length;
  return (worker) => own(job.rates, worker) ?? average;
}

/** By how much each replica's share is larger than what is due to it; none where evening out is not worth it. */
export type Surplus = ReadonlyMap<string, number>;

/**
 * What the replicas of a stage have too much of: part of the share of a newcomer, or what a faster one would have done
 * sooner. Of the whole stage at once: where every replica goes on at the same moment, each asks for it.
 */
export function surplusIn(state: CoordinatorState, job: JobState, index: number, nowMs: number): Surplus {
  const stage = job.stages[index] as StageState;
  const replicas = replicasOf(state, job, index, nowMs);
  if (replicas.length < 2) return new Map();
  const rates = replicas.map(ratesOf(job, replicas));
  const owned = replicas.map((id) => countOf(shareOf(stage, id)));
  const total = owned.reduce((sum, count) => sum + count, 0);
  const due = countsFor(
    total,
    owned.map(() => 0),
    rates,
  );
  const isNewcomer = owned.some((count, at) => count === 0 && (due[at] as number) > 0);
  const slowest = (counts: readonly number[]): number =>
    Math.max(...counts.map((count, at) => count / (rates[at] as number)));
  const slowestNow = slowest(owned);
  const gain = slowestNow - slowest(due);
  const tokens = samplesOf(job, [[0, 1]]) * (job.calibration?.sequenceLength ?? 0);
  const isWorthIt = gain >= GAIN_MIN * slowestNow && gain * tokens * 1000 >= GAIN_MS_MIN;
  if (!isNewcomer && !isWorthIt) return new Map();
  return new Map(replicas.map((id, at) => [id, (owned[at] as number) - (due[at] as number)]));
}

/** What a worker gives to others at the next boundary, of the microbatches that it is about to take there. */
export function surplusOf(surplus: Surplus, worker: string, moving: MicrobatchSet): MicrobatchSet {
  const count = Math.min(surplus.get(worker) ?? 0, countOf(moving) - 1);
  return count <= 0 ? NO_MICROBATCHES : highest(moving, count);
}

/** Takes microbatches out of a worker's share of a stage. The share stays, empty: what comes next is for the same worker. */
export function takeFromShare(stage: StageState, worker: string, microbatches: MicrobatchSet): void {
  if (isEmpty(microbatches) || !Object.hasOwn(stage.shares, worker)) return;
  stage.shares = { ...stage.shares, [worker]: difference(shareOf(stage, worker), microbatches) };
}

/** Nobody counts on this worker any more: what it was to compute is given to others. */
export function dropShares(t: Transition, jobId: string, worker: string): void {
  const job = jobOf(t.state, jobId);
  if (job === undefined || !job.stages.some((stage) => Object.hasOwn(stage.shares, worker))) return;
  for (const stage of t.editJob(jobId).stages)
    if (Object.hasOwn(stage.shares, worker)) stage.shares = without(stage.shares, worker);
}
