/**
 * What a journal begins with after it was compacted, instead of everything that led there: the state, the time that the
 * journal had reached, and how much of each job's event file that covers.
 *
 * It is written as several lines, a job a line: no text grows with the number of jobs.
 */
import { invariant } from '../../shared/errors/secateur-error.ts';
import type { CoordinatorState, JobState } from '../core/state.ts';

/** How far a job's events are durable in their own file. */
export interface EventExtent {
  readonly job: string;
  readonly namespace: string;
  /** The newest event in the file. */
  readonly sequence: number;
  readonly sizeBytes: number;
}

export interface Checkpoint {
  readonly state: CoordinatorState;
  /** The journal's time: it goes on from here. */
  readonly lastMs: number;
  /** Of every job that has events, in the order of their first events. */
  readonly events: readonly EventExtent[];
}

type CheckpointPart =
  | {
      readonly part: 'rest';
      readonly state: Omit<CoordinatorState, 'jobs'>;
      readonly lastMs: number;
      readonly events: readonly EventExtent[];
    }
  | { readonly part: 'job'; readonly id: string; readonly job: JobState };

/** The parts one by one, so that only one at a time is text. */
export function* checkpointParts({ state, lastMs, events }: Checkpoint): Generator<CheckpointPart> {
  const { jobs, ...rest } = state;
  yield { part: 'rest', state: rest, lastMs, events };
  for (const [id, job] of Object.entries(jobs)) yield { part: 'job', id, job };
}

export function countParts({ state }: Checkpoint): number {
  return 1 + Object.keys(state.jobs).length;
}

export function joinParts(parts: readonly unknown[]): Checkpoint {
  const [first, ...others] = parts as CheckpointPart[];
  invariant(first?.part === 'rest', 'a checkpoint begins with the part that holds no job');
  const jobs = others.map((each): [string, JobState] => {
    invariant(each.part === 'job', 'the later parts of a checkpoint are jobs');
    return [each.id, each.job];
  });
  // Entries, not assignments: an id may be "__proto__".
  return { state: { ...first.state, jobs: Object.fromEntries(jobs) }, lastMs: first.lastMs, events: first.events };
}
