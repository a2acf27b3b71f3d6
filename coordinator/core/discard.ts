/**
 * Committed layers of a job whose destination is `discard:…`. Their digests stay, in the journal and in the record; a
 * file stays as long as hidden states may have to go through it again:
 *
 *  1. With `propagate: pruned`, while a microbatch that a later layer lacks has no snapshot between the two. What workers
 *     hold does not count: they may be lost.
 *  2. With `propagate: dense` nothing goes through a pruned layer.
 *
 * Where a snapshot is lost after all, the layer that its microbatch is to go through first is pruned again, by the sums that
 * are kept; the next one when that is done, so that no more files than before are there at one time.
 */

import { isDiscarded } from '../../shared/manifest/location.ts';
import {
  difference,
  intersection,
  isEmpty,
  type MicrobatchSet,
  NO_MICROBATCHES,
  union,
} from '../../shared/microbatch-set.ts';
import { isSurveyed } from './choices.ts';
import { allMicrobatches, isPropagatedPruned, lackingAt } from './lineage.ts';
import { takeBackLayer } from './losses.ts';
import { activeJob, type HiddenStates, type JobState, type LayerState, own } from './state.ts';
import type { Transition } from './transition.ts';

/** Microbatches and the next layer that lacks each of them. */
interface Lack {
  readonly layer: number;
  readonly microbatches: MicrobatchSet;
}

/** In every step: whatever happened last, a result or a loss. */
export function discardLayers(t: Transition): void {
  const job = activeJob(t.state);
  if (job === undefined || job.phase !== 'Pruning' || !isDiscarded(job.manifest.spec.output.destination)) return;
  // Behind a survey everything is to go through the layers that are committed before it is over (those that keep all).
  if (job.manifest.spec.pruning.propagate === 'pruned' && !isSurveyed(job)) return;
  const held = heldToGoOn(job);
  let lacks: readonly Lack[] = [];
  for (let index = job.layers.length - 1; index >= 0; index--) {
    const layer = job.layers[index] as LayerState;
    if (layer.status === 'committed' && layer.isDiscarded !== true) {
      if (isEmpty(below(index, lacks, job.snapshots))) discard(t, job, index, layer);
    } else if (layer.status === 'committed') {
      const stranded = below(index, lacks, [...job.snapshots, ...held]);
      if (!isEmpty(intersection(stranded, inFrontOf(index, job, held))))
        takeBackLayer(t, job, index, 'it was discarded, and the hidden states behind it are lost');
    }
    lacks = withLayer(lacks, index, isPropagatedPruned(job) ? lackingAt(job, index) : NO_MICROBATCHES);
  }
}

/** A crash may have come between the journal and the file. */
export function discardAgain(t: Transition): void {
  const job = activeJob(t.state);
  const names = (job?.layers ?? []).flatMap(({ file, isDiscarded: isGone }) => (isGone && file ? [file.name] : []));
  if (job !== undefined && names.length > 0) t.command({ kind: 'removeStaged', job: job.id, names });
}

function discard(t: Transition, { id }: JobState, index: number, { file }: LayerState): void {
  Object.assign(t.editJob(id).layers[index] as LayerState, { isDiscarded: true });
  if (file !== null) t.command({ kind: 'removeStaged', job: id, names: [file.name] });
}

function withLayer(lacks: readonly Lack[], layer: number, microbatches: MicrobatchSet): readonly Lack[] {
  if (isEmpty(microbatches)) return lacks;
  const later = lacks.map((lack) => ({ ...lack, microbatches: difference(lack.microbatches, microbatches) }));
  return [{ layer, microbatches }, ...later.filter((lack) => !isEmpty(lack.microbatches))];
}

/** Microbatches that are lacked behind a layer, and of which none of these states is between the two. */
function below(layer: number, lacks: readonly Lack[], states: readonly HiddenStates[]): MicrobatchSet {
  return union(
    ...lacks.map((lack) => {
      const between = states.filter(({ boundary }) => boundary > layer && boundary <= lack.layer);
      return difference(lack.microbatches, union(...between.map(({ microbatches }) => microbatches)));
    }),
  );
}

/** Microbatches whose hidden states are right in front of a layer, in files or held; of the first one, all. */
function inFrontOf(layer: number, job: JobState, held: readonly HiddenStates[]): MicrobatchSet {
  if (layer === 0) return allMicrobatches(job);
  const states = [...job.snapshots, ...held].filter(({ boundary }) => boundary === layer);
  return union(...states.map(({ microbatches }) => microbatches));
}

/** What a worker holds of its own share: with what it holds of others' nobody goes on. */
function heldToGoOn(job: JobState): HiddenStates[] {
  return job.stages.flatMap(({ shares }) =>
    Object.entries(shares).flatMap(([worker, share]) =>
      (own(job.held, worker) ?? []).map(({ boundary, microbatches }) => ({
        boundary,
        microbatches: intersection(microbatches, share),
      })),
    ),
  );
}
