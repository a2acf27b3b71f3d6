/**
 * Which task each idle worker gets now. Derived from the state alone, so that a restart, a lost worker or a late
 * newcomer needs no case of its own: whatever is missing is given out again.
 */
import { difference, intersection, isEmpty, lowest, type MicrobatchSet, union } from '../../shared/microbatch-set.ts';
import { evaluateTasks, measureErrorTasks, unpreparedTexts } from './evaluation.ts';
import { isBeingMeasured, needsHessian } from './hessians.ts';
import {
  type HiddenSource,
  isPropagatedPruned,
  lackingAt,
  type StageNeed,
  snapshotAt,
  sourcesFor,
  stageNeeds,
} from './lineage.ts';
import { type Surplus, surplusIn, surplusOf, usableWorkers } from './shares.ts';
import {
  type CoordinatorState,
  endOf,
  type JobPhase,
  type JobState,
  own,
  type StageState,
  shareOf,
  statisticsWidth,
  type WorkerState,
} from './state.ts';
import { type PassSpec, type TaskSpec, taskKind, taskName } from './task.ts';

/** Speeds within about this factor of each other are those of equals that were measured at different moments. */
const ABOUT_AS_FAST = 1.5;

/** Statistics of one task are kept by its worker until they are acknowledged. */
const TASK_STATISTICS_BYTES_MAX = 64 * 1024 * 1024;
/** Of all shards of a model together: what one worker digests in some seconds. */
const DIGESTED_FIRST_BYTES_MAX = 2 * 1024 ** 3;

/** Phases in which workers have tasks. */
const WORKING: ReadonlySet<JobPhase> = new Set(['Preparing', 'Pruning', 'Evaluating']);

export interface Assignment {
  readonly worker: string;
  readonly spec: TaskSpec;
}

/** One task for every worker that is idle and for whom there is something to do. */
export function assignments(state: CoordinatorState, job: JobState, nowMs: number): Assignment[] {
  // While the inputs of a resumed job are read again nobody knows whether they are still those of its tasks.
  if (job.intake === null || !WORKING.has(job.phase)) return [];
  const busy = new Set(
    Object.values(state.jobs).flatMap((each) => Object.values(each.leases).map((lease) => lease.worker)),
  );
  const round = new Round(state, job, nowMs);
  for (const { id, attached, draining } of Object.values(state.workers)) {
    if (attached && draining && !busy.has(id)) round.give(id, handOverTask(job, id));
  }
  const idle = usableWorkers(state, job)
    .filter(({ id }) => !busy.has(id))
    .sort(
      (a, b) => Number(isShunned(job, a.id, nowMs)) - Number(isShunned(job, b.id, nowMs)) || (a.id < b.id ? -1 : 1),
    );
  if (idle.length === 0) return round.given;
  for (const { worker, spec } of pruneAssignments(job, idle, nowMs)) round.give(worker, spec);
  if (job.phase === 'Evaluating') {
    const usable = usableWorkers(state, job).length;
    for (const { worker, spec } of measureErrorTasks(job, idle, usable)) round.give(worker, spec);
    const free = idle.filter(({ id }) => !round.hasWork(id));
    for (const { worker, spec } of evaluateTasks(job, free, usable)) round.give(worker, spec);
  }
  const needs = job.phase === 'Pruning' ? job.stages.map((_, index) => stageNeeds(job, index)) : [];
  for (const { id } of idle) {
    if (round.hasWork(id)) continue;
    const pass = job.phase === 'Pruning' ? passFor(job, id, needs, round) : undefined;
    round.give(id, firstTask(job, id, round) ?? pass ?? lastTask(job, id, round));
  }
  return round.given;
}

/** Something failed on it lately: what anybody can do goes to others first. */
function isShunned(job: JobState, worker: string, nowMs: number): boolean {
  return (own(job.shunnedUntilMs, worker) ?? 0) > nowMs;
}

/** What is given out in one go: nothing twice, and nothing that waits for its retry. */
class Round {
  readonly given: Assignment[] = [];
  private readonly state: CoordinatorState;
  private readonly job: JobState;
  private readonly nowMs: number;
  private readonly names = new Set<string>();
  private readonly workers = new Set<string>();
  private readonly surpluses = new Map<number, Surplus>();

  constructor(state: CoordinatorState, job: JobState, nowMs: number) {
    this.state = state;
    this.job = job;
    this.nowMs = nowMs;
  }

  /** Found once, when the first replica of the stage asks for it. */
  surplusIn(stage: number): Surplus {
    const surplus = this.surpluses.get(stage) ?? surplusIn(this.state, this.job, stage, this.nowMs);
    this.surpluses.set(stage, surplus);
    return surplus;
  }

  isFree(spec: TaskSpec): boolean {
    const name = taskName(spec);
    if (this.names.has(name) || own(this.job.leases, name) !== undefined) return false;
    return (own(this.job.retries, taskKind(spec))?.notBeforeMs ?? 0) <= this.nowMs;
  }

  /**
   * Whether a task that any worker can do is this one's: not where there is another that is less to blame for what failed.
   * One that is busy is waited for: it would be the same worker again each time, until the job fails.
   */
  isFreeFor(worker: string, spec: TaskSpec): boolean {
    if (!this.isFree(spec)) return false;
    const blame = blameOf(this.job, worker, spec, this.nowMs);
    if (blame === 0) return true;
    return usableWorkers(this.state, this.job).every(({ id }) => blameOf(this.job, id, spec, this.nowMs) >= blame);
  }

  give(worker: string, spec: TaskSpec | undefined): void {
    if (spec === undefined || !this.isFree(spec) || this.hasWork(worker)) return;
    this.names.add(taskName(spec));
    this.workers.add(worker);
    this.given.push({ worker, spec });
  }

  hasWork(worker: string): boolean {
    return this.workers.has(worker);
  }
}

/** How much speaks against giving a task to a worker: it failed there last; something else failed there lately. */
function blameOf(job: JobState, worker: string, spec: TaskSpec, nowMs: number): number {
  const isLast = own(job.retries, taskKind(spec))?.worker === worker;
  return (isLast ? 2 : 0) + Number(isShunned(job, worker, nowMs));
}

/**
 * Layers whose statistics are complete, each for the replica of its stage that suits best.
 */
function pruneAssignments(job: JobState, idle: readonly WorkerState[], nowMs: number): Assignment[] {
  if (job.phase !== 'Pruning') return [];
  const found: Assignment[] = [];
  for (const [layer, { status }] of job.layers.entries()) {
    if (status !== 'ready' || own(job.leases, taskName({ kind: 'prune', stage: 0, layer })) !== undefined) continue;
    const stage = job.stages.findIndex((each) => layer >= each.firstLayer && layer < endOf(each));
    const rank = ({ id }: WorkerState): number =>
      1e9 * blameOf(job, id, { kind: 'prune', stage, layer }, nowMs) +
      (isEmpty(shareOf(job.stages[stage] as StageState, id)) ? 1e6 : 0) +
      pruneBurden(job, id);
    const taken = new Set(found.map(({ worker }) => worker));
    const ranked = idle.filter(({ id }) => !taken.has(id)).map((worker) => ({ id: worker.id, rank: rank(worker) }));
    const [owner] = ranked.sort((a, b) => a.rank - b.rank);
    if (owner === undefined) break;
    found.push({ worker: owner.id, spec: { kind: 'prune', stage, layer } });
  }
  return found;
}

/**
 * How little a worker suits to prune one more layer. Pruned propagation has everybody wait for it: the fastest, and of those
 * that are about as fast the one that has pruned the fewest. Dense has nobody wait: whoever would be done first with its share.
 */
function pruneBurden(job: JobState, worker: string): number {
  const fastest = Math.max(0, ...Object.values(job.rates));
  const slowness = fastest / (own(job.rates, worker) ?? fastest) || 1;
  const pruned = job.layers.filter((each) => each.worker === worker).length;
  if (!isPropagatedPruned(job)) return (pruned + 1) * slowness;
  return Math.round(Math.log(slowness) / Math.log(ABOUT_AS_FAST)) * job.layers.length + pruned;
}

/** The next pass of a worker: later stages first, so that what is far along makes room. */
function passFor(
  job: JobState,
  worker: string,
  needs: readonly (readonly StageNeed[])[],
  round: Round,
): PassSpec | undefined {
  for (let index = needs.length - 1; index >= 0; index--) {
    const share = shareOf(job.stages[index] as StageState, worker);
    if (isEmpty(share)) continue;
    const steps = (needs[index] as readonly StageNeed[]).flatMap((need) =>
      stepsOf(job, worker, { ...need, microbatches: intersection(need.microbatches, share) }),
    );
    // Pruned: what has fallen behind catches up first. Dense: what is far along goes on.
    steps.sort((a, b) => (isPropagatedPruned(job) ? 1 : -1) * (a.source.boundary - b.source.boundary));
    for (const step of steps) {
      const spec = passSpec(job, index, worker, step, round);
      if (round.isFree(spec)) return spec;
    }
  }
  return undefined;
}

interface Step {
  readonly need: StageNeed;
  readonly source: HiddenSource;
  readonly microbatches: MicrobatchSet;
}

/** Cuts a need by where its hidden states are to be had. */
function stepsOf(job: JobState, worker: string, need: StageNeed): Step[] {
  const steps: Step[] = [];
  let rest = need.microbatches;
  for (const source of sourcesFor(job, worker, need.layer)) {
    const found = intersection(rest, source.microbatches);
    if (isEmpty(found)) continue;
    rest = difference(rest, found);
    if (source.input === 'embed' && job.calibration?.isLost === true) continue;
    // At the stage's end as files already: nothing to do.
    if (need.kind === 'calibrate' || source.boundary < need.layer) steps.push({ need, source, microbatches: found });
  }
  return steps;
}

function passSpec(
  job: JobState,
  index: number,
  worker: string,
  { need, source, microbatches }: Step,
  round: Round,
): PassSpec {
  const stage = job.stages[index] as StageState;
  const layer = source.boundary;
  const isPruned = isPropagatedPruned(job);
  const isMeasured = need.kind === 'calibrate' && layer === need.layer;
  const hessian = isMeasured && job.layers[layer]?.status === 'correlating';
  const statistics = isMeasured && !hessian;
  // Hidden states stay where they are while the layer is to be measured with them once more.
  const isMeasuredLast = isMeasured && (hessian || !needsHessian(job));
  const isLast = layer === job.layers.length - 1;
  const hidden = !isMeasured || (isMeasuredLast && !isPruned && !isLast);
  const set = isMeasured ? lowest(microbatches, waveOf(job, layer, statistics)) : microbatches;
  const toNextStage = hidden && layer + 1 === endOf(stage) && !isLast && (need.kind === 'reach' || !isPruned);
  const isInterval = hidden && !isLast && (layer + 1) % (job.plan?.snapshotInterval ?? 1) === 0;
  const isAtTarget = need.kind === 'calibrate' && layer + 1 >= need.layer;
  const surplus = hidden && !toNextStage && isAtTarget ? surplusOf(round.surplusIn(index), worker, set) : [];
  return {
    kind: 'pass',
    stage: index,
    layer,
    weights: isPruned && !isMeasured ? 'committed' : 'source',
    input: source.input,
    microbatches: set,
    statistics,
    hessian,
    hidden,
    write: toNextStage ? set : isInterval ? difference(set, snapshotAt(job, layer + 1)) : surplus,
    // Behind the last layer nobody needs them.
    drop: toNextStage || (isMeasuredLast && isLast) ? set : surplus,
  };
}

/** Microbatches of one pass: bounded by what their statistics take, and by the wave where stages pipeline. */
function waveOf(job: JobState, layer: number, statistics: boolean): number {
  // A Hessian is as large whatever went into it.
  if (!statistics) return job.plan?.wave ?? Number.POSITIVE_INFINITY;
  const intake = job.intake?.layers[layer];
  const bytes = intake === undefined ? 0 : statisticsWidth(intake) * Float32Array.BYTES_PER_ELEMENT;
  const byMemory = Math.max(
    1,
    Math.floor(TASK_STATISTICS_BYTES_MAX / Math.max(1, bytes * (job.plan?.microbatch ?? 1))),
  );
  return Math.min(byMemory, job.plan?.wave ?? byMemory);
}

/** What a draining worker holds, is to compute with, and no file has. */
export function handOverTask(job: JobState, worker: string): TaskSpec | undefined {
  for (const [index, stage] of job.stages.entries()) {
    const share = shareOf(stage, worker);
    for (const { boundary, microbatches } of own(job.held, worker) ?? []) {
      const files = union(
        ...job.snapshots.filter((each) => each.boundary >= boundary).map((each) => each.microbatches),
      );
      const missing = difference(intersection(share, microbatches), files);
      if (boundary > 0 && !isEmpty(missing) && isWantedAbove(job, boundary, missing)) {
        return { kind: 'handOver', stage: index, boundary, microbatches: missing };
      }
    }
  }
  return undefined;
}

function isWantedAbove(job: JobState, boundary: number, microbatches: MicrobatchSet): boolean {
  return job.layers.some(
    (_, layer) => layer >= boundary && !isEmpty(intersection(microbatches, lackingAt(job, layer))),
  );
}

/**
 * Work that any worker can do, and that comes before the passes. A digest that is known from the beginning tells a shard
 * that was only touched from one that was changed: of a small model it costs next to nothing to have them then.
 */
function firstTask(job: JobState, worker: string, round: Round): TaskSpec | undefined {
  if (job.phase === 'Preparing' ? job.calibration === null : job.calibration?.isLost === true) {
    const spec = { kind: 'prepareCalibration' } as const;
    if (round.isFreeFor(worker, spec)) return spec;
  }
  for (const text of unpreparedTexts(job)) {
    const spec = { kind: 'prepareEvaluation', text } as const;
    if (round.isFreeFor(worker, spec)) return spec;
  }
  for (const [layer, { status }] of job.layers.entries()) {
    const spec = { kind: 'countOutliers', layer } as const;
    if (status === 'surveying' && round.isFreeFor(worker, spec)) return spec;
  }
  const sizeBytes = (job.intake?.shards ?? []).reduce((sum, shard) => sum + shard.sizeBytes, 0);
  return sizeBytes <= DIGESTED_FIRST_BYTES_MAX ? digestTask(job, worker, round) : undefined;
}

/** Digests of a large model wait until passes no longer do: a large shard would hold everybody up. */
function lastTask(job: JobState, worker: string, round: Round): TaskSpec | undefined {
  return isAwaited(job, worker) ? undefined : digestTask(job, worker, round);
}

function digestTask(job: JobState, worker: string, round: Round): TaskSpec | undefined {
  return (job.intake?.shards ?? [])
    .map(({ file }) => ({ kind: 'digestSource', shard: file }) as const)
    .find((spec) => own(job.digests, spec.shard) === undefined && round.isFreeFor(worker, spec));
}

/** Whether this worker has, or may soon be given, microbatches that others wait for at the next layer. */
function isAwaited(job: JobState, worker: string): boolean {
  if (!job.layers.some((layer) => isBeingMeasured(job, layer))) return false;
  return job.plan?.replicasMax === null || job.stages.some((stage) => !isEmpty(shareOf(stage, worker)));
}
