/**
 * Where hidden states come from, and what of them is still needed.
 *
 * hidden(b, m) is a pure function of the inputs: whatever is lost is computed again from the nearest of what a worker
 * holds, a snapshot, and the embedded tokens (boundary 0), through the layers between.
 */
import {
  countOf,
  difference,
  firstMicrobatches,
  intersection,
  isEmpty,
  type MicrobatchSet,
  NO_MICROBATCHES,
  union,
} from '../../shared/microbatch-set.ts';
import { isSurveyed } from './choices.ts';
import { correlatedIn, needsHessian } from './hessians.ts';
import { endOf, type JobState, type LayerState, own, type Snapshot, type StageState } from './state.ts';
import type { PassInput } from './task.ts';

/** What a stage has to do for some of its microbatches. */
export interface StageNeed {
  /**
   * calibrate: statistics of layer `layer`, or its Hessians where those are there, so hidden states at that boundary.
   * reach: hidden states at boundary `layer`, the stage's end, as snapshots for the next stage.
   */
  readonly kind: 'calibrate' | 'reach';
  readonly layer: number;
  readonly microbatches: MicrobatchSet;
}

export interface HiddenSource {
  readonly boundary: number;
  readonly input: PassInput;
  readonly microbatches: MicrobatchSet;
}

/** Whether microbatches go on behind pruned layers. A survey goes through the dense ones, whatever follows it. */
export function isPropagatedPruned(job: JobState): boolean {
  return job.manifest.spec.pruning.propagate === 'pruned' && isSurveyed(job);
}

/** Whether layers follow one another: a microbatch goes on from a layer only when all have been measured at it. */
export function isSequential(job: JobState): boolean {
  return isPropagatedPruned(job) || needsHessian(job);
}

export function allMicrobatches(job: JobState): MicrobatchSet {
  if (job.calibration === null || job.plan === null) return NO_MICROBATCHES;
  return firstMicrobatches(Math.ceil(job.calibration.samples / job.plan.microbatch));
}

/** Samples, hence tokens, of a set: the last microbatch may be smaller. */
export function samplesOf(job: JobState, microbatches: MicrobatchSet): number {
  const { samples = 0 } = job.calibration ?? {};
  const size = job.plan?.microbatch ?? 1;
  return microbatches.reduce((sum, [first, end]) => sum + Math.min(end * size, samples) - first * size, 0);
}

function layerAt(job: JobState, layer: number): LayerState {
  return job.layers[layer] as LayerState;
}

/** Microbatches whose statistics of a layer are there. */
export function calibratedAt(job: JobState, layer: number): MicrobatchSet {
  const state = layerAt(job, layer);
  if (state.status !== 'pending') return allMicrobatches(job);
  return union(...state.parts.map((part) => part.microbatches));
}

/** Microbatches whose products of a layer are there, where its method needs them. */
export function correlatedAt(job: JobState, layer: number): MicrobatchSet {
  const state = layerAt(job, layer);
  return state.status === 'ready' || state.status === 'committed' ? allMicrobatches(job) : correlatedIn(state);
}

/** What can be measured of a layer now: its statistics, or its Hessians. */
function uncalibratedAt(job: JobState, layer: number): MicrobatchSet {
  const { status } = layerAt(job, layer);
  if (status === 'pending') return difference(allMicrobatches(job), calibratedAt(job, layer));
  return status === 'correlating' ? difference(allMicrobatches(job), correlatedAt(job, layer)) : NO_MICROBATCHES;
}

/** Whose hidden states a layer needs, now or once its statistics are added up. */
export function lackingAt(job: JobState, layer: number): MicrobatchSet {
  const lacking = uncalibratedAt(job, layer);
  return needsHessian(job) ? union(lacking, difference(allMicrobatches(job), correlatedAt(job, layer))) : lacking;
}

/** propagate: pruned. The first layer that is not committed; the number of layers when all are. */
function targetLayer(job: JobState): number {
  const target = job.layers.findIndex((layer) => layer.status !== 'committed');
  return target < 0 ? job.layers.length : target;
}

/** Everything that belongs to somebody in this stage. */
export function ownedIn(stage: StageState): MicrobatchSet {
  return union(...Object.values(stage.shares));
}

export function snapshotAt(job: JobState, boundary: number): MicrobatchSet {
  return job.snapshots.find((snapshot) => snapshot.boundary === boundary)?.microbatches ?? NO_MICROBATCHES;
}

/** What is there, held by anybody or as snapshots, between two boundaries, both included. */
function availableBetween(job: JobState, from: number, to: number): MicrobatchSet {
  const states = [...job.snapshots, ...Object.values(job.held).flat()];
  return union(
    ...states.filter(({ boundary }) => boundary >= from && boundary <= to).map(({ microbatches }) => microbatches),
  );
}

/** What a stage can do now; needs whose hidden states an earlier stage has yet to bring are left out. */
export function stageNeeds(job: JobState, index: number): StageNeed[] {
  const needs = isPropagatedPruned(job) ? prunedNeeds(job, index) : denseNeeds(job, index);
  return needs.filter((need) => !isEmpty(need.microbatches));
}

/**
 * propagate: pruned. Only the stage of the target layer calibrates. A stage that is committed still brings what its
 * workers hold to its end; what they lost, the next stage computes from wherever it can.
 */
function prunedNeeds(job: JobState, index: number): StageNeed[] {
  const stage = job.stages[index] as StageState;
  const target = targetLayer(job);
  if (target >= job.layers.length || stage.firstLayer > target) return [];
  if (endOf(stage) <= target) {
    const later = availableBetween(job, endOf(stage), job.layers.length);
    const isNeeded = job.layers
      .slice(endOf(stage))
      .some(({ status }) => status === 'pending' || status === 'correlating');
    return isNeeded ? [{ kind: 'reach', layer: endOf(stage), microbatches: difference(ownedIn(stage), later) }] : [];
  }
  const above = union(
    ...job.stages
      .slice(0, index)
      .map((earlier) => difference(ownedIn(earlier), availableBetween(job, endOf(earlier), job.layers.length))),
  );
  return [{ kind: 'calibrate', layer: target, microbatches: difference(uncalibratedAt(job, target), above) }];
}

/**
 * propagate: dense. Each microbatch goes up layer by layer, on its own; a stage takes it up as soon as it is there, and
 * brings it to its end when a later layer lacks its statistics and nothing of it is there to go on from.
 *
 * Where Hessians are needed, it waits at each layer until the statistics of all are added up, and goes on by the pass that
 * measures the layer's Hessians: as many passes as in two sweeps over the model, and nothing is computed again for the second.
 */
function denseNeeds(job: JobState, index: number): StageNeed[] {
  const stage = job.stages[index] as StageState;
  const needs: StageNeed[] = [];
  let rest = allMicrobatches(job);
  for (let layer = stage.firstLayer; layer < endOf(stage); layer++) {
    const lacking = intersection(rest, uncalibratedAt(job, layer));
    rest = isWaitedFor(job, layer) ? NO_MICROBATCHES : difference(rest, lacking);
    const there = index === 0 ? lacking : intersection(lacking, availableBetween(job, stage.firstLayer, layer));
    needs.push({ kind: 'calibrate', layer, microbatches: there });
  }
  const wanted: MicrobatchSet[] = [];
  for (let layer = endOf(stage); layer < job.layers.length; layer++) {
    const lacking = intersection(rest, uncalibratedAt(job, layer));
    if (!isEmpty(lacking)) wanted.push(difference(lacking, availableBetween(job, endOf(stage), layer)));
  }
  const reach = union(...wanted);
  const there = index === 0 ? reach : intersection(reach, availableBetween(job, stage.firstLayer, endOf(stage)));
  needs.push({ kind: 'reach', layer: endOf(stage), microbatches: there });
  return needs;
}

/** Whether microbatches that are measured at a layer stay there, since they are to be measured again. */
function isWaitedFor(job: JobState, layer: number): boolean {
  const { status } = layerAt(job, layer);
  return needsHessian(job) && (status === 'pending' || status === 'reducing');
}

/** What a worker can begin with to get to a boundary: the nearest first, its own memory before files. */
export function sourcesFor(job: JobState, worker: string, upTo: number): HiddenSource[] {
  const held = (own(job.held, worker) ?? []).map((states) => ({ ...states, input: 'memory' as const }));
  const files = job.snapshots.map(({ boundary, microbatches }) => ({
    boundary,
    microbatches,
    input: 'snapshot' as const,
  }));
  return [...held, ...files, { boundary: 0, microbatches: allMicrobatches(job), input: 'embed' as const }]
    .filter(({ boundary }) => boundary <= upTo)
    .sort((a, b) => b.boundary - a.boundary);
}

/**
 * Snapshots that nobody can need again: of each microbatch, those below another one that is nearer to every layer that
 * is yet to be measured with it.
 */
export function needlessSnapshots(job: JobState): { boundary: number; microbatches: MicrobatchSet }[] {
  const { snapshots } = job;
  const needless = snapshots.map(({ microbatches }) => microbatches);
  for (const [index, { boundary }] of snapshots.entries()) {
    // Layers up to the next boundary go on from the same snapshots: what any of them lacks is looked for once.
    let lacking = lackedBetween(job, boundary, snapshots[index + 1]?.boundary ?? job.layers.length);
    for (let below = index; below >= 0 && !isEmpty(lacking); below--) {
      const { microbatches } = snapshots[below] as Snapshot;
      needless[below] = difference(needless[below] as MicrobatchSet, lacking);
      lacking = difference(lacking, microbatches);
    }
  }
  return snapshots
    .map(({ boundary }, index) => ({ boundary, microbatches: needless[index] as MicrobatchSet }))
    .filter(({ microbatches }) => !isEmpty(microbatches));
}

/** Whose hidden states any of these layers needs; most often the first one lacks them all. */
function lackedBetween(job: JobState, from: number, end: number): MicrobatchSet {
  const count = countOf(allMicrobatches(job));
  let lacking = NO_MICROBATCHES;
  for (let layer = from; layer < end && countOf(lacking) < count; layer++) {
    lacking = union(lacking, lackingAt(job, layer));
  }
  return lacking;
}
