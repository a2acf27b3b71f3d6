/**
 * What a worker says came of a task, held against what it was asked for: the lease's spec, the manifest, the inputs. What
 * does not fit is a failed attempt of that worker, and another tries. Nothing of it has reached the core's state by then.
 *
 * Pure: what only the staging folder shows, effects/staged-results.ts looks at.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import {
  difference,
  intersection,
  isEmpty,
  type MicrobatchSet,
  NO_MICROBATCHES,
  setOfMembers,
  showMicrobatches,
} from '../../shared/microbatch-set.ts';
import type { Holding, TaskOutcome, WrittenSnapshot } from '../core/events.ts';
import type { JobState, Lease } from '../core/state.ts';

/** Once, an engine may have ended between its result and its message; twice in a row, it keeps nothing. */
const VANISHED_MAX = 2;
/** Of what was found, in a message. */
const SHOWN_CHARACTERS_MAX = 200;

type OutcomeOf<K extends TaskOutcome['kind']> = Extract<TaskOutcome, { kind: K }>;
type SpecOf<K extends Lease['spec']['kind']> = Extract<Lease['spec'], { kind: K }>;

/** A task as it is leased to a worker now. */
export interface Asked {
  readonly job: JobState;
  readonly lease: Lease;
  /** It was asked to leave, and may stop before its task is done. */
  readonly draining: boolean;
}

/** @throws EngineFailed naming the field, what was expected and what was found */
export function checkOutcome(asked: Asked, outcome: TaskOutcome): void {
  const { spec } = asked.lease;
  if (outcome.kind !== spec.kind) throw misfit(asked, 'its kind', spec.kind, outcome.kind);
  switch (outcome.kind) {
    case 'pass':
      return checkPass(asked, spec as SpecOf<'pass'>, outcome);
    case 'handOver': {
      const { microbatches } = spec as SpecOf<'handOver'>;
      return checkSnapshots(asked, outcome.snapshots, microbatches);
    }
    case 'evaluate':
    case 'measureError':
      return checkDone(asked, (spec as SpecOf<'evaluate' | 'measureError'>).windows, outcome.done);
  }
}

function checkPass(asked: Asked, spec: SpecOf<'pass'>, { done, snapshots }: OutcomeOf<'pass'>): void {
  checkDone(asked, spec.microbatches, done);
  checkSnapshots(asked, snapshots, intersection(spec.write, done));
}

/** A success without progress would be given out again at once, and for ever. */
function checkDone(asked: Asked, all: MicrobatchSet, done: MicrobatchSet): void {
  const isOther = !isEmpty(difference(done, all));
  if (!isOther && (!isEmpty(done) || asked.draining)) return;
  const found = isEmpty(done) ? 'none' : showMicrobatches(done);
  throw misfit(asked, 'done', `some of ${showMicrobatches(all)}`, found);
}

/** Each that the task was to write and has done, once. */
function checkSnapshots(asked: Asked, snapshots: readonly WrittenSnapshot[], expected: MicrobatchSet): void {
  const found = setOfMembers(snapshots.map(({ microbatch }) => microbatch));
  const isSame = isEmpty(difference(found, expected)) && isEmpty(difference(expected, found));
  if (isSame) return;
  const show = (set: MicrobatchSet): string => (isEmpty(set) ? 'none' : showMicrobatches(set));
  throw misfit(asked, 'snapshots', show(expected), show(found));
}

/**
 * A pass that brings nothing but the next hidden states, and then does not hold them, is to be done again.
 *
 * @param vanished results of this worker in a row of which that was so; returned as it is now
 * @throws EngineFailed where it is so again
 */
export function checkHeld(
  asked: Asked,
  outcome: TaskOutcome,
  holdings: readonly Pick<Holding, 'boundary' | 'microbatches'>[],
  vanished: number,
): number {
  const { spec } = asked.lease;
  if (outcome.kind !== 'pass' || spec.kind !== 'pass' || spec.statistics) return vanished;
  const boundary = spec.layer + 1;
  const held = holdings.find((states) => states.boundary === boundary)?.microbatches ?? NO_MICROBATCHES;
  const left = difference(outcome.done, spec.drop);
  const lacking = difference(left, held);
  if (isEmpty(left)) return vanished;
  if (isEmpty(lacking)) return 0;
  if (vanished + 1 < VANISHED_MAX) return vanished + 1;
  throw misfit(
    asked,
    `holdings at boundary ${boundary}`,
    showMicrobatches(left),
    `${showMicrobatches(lacking)} lacking`,
  );
}

function misfit({ lease }: Asked, field: string, expected: string | number, found: string | number): SecateurError {
  const shown = String(found).slice(0, SHOWN_CHARACTERS_MAX);
  return new SecateurError(
    'EngineFailed',
    `the result of task ${lease.task}, ${field}: expected ${expected}; found ${shown}`,
    { retryable: true, details: { task: lease.task, field, expected: String(expected), found: shown } },
  );
}
