/**
 * Programs that are broken on purpose: a simulation that finds nothing wrong with one of them proves nothing.
 *
 * Each takes one guard away, from the outside: it stands between the real parts, and does what they would do without.
 */
import type { WorkerStream } from '../../coordinator/api/worker-stream.ts';
import type { CoreEvent } from '../../coordinator/core/events.ts';
import type { CoordinatorState } from '../../coordinator/core/state.ts';
import type { Disk } from '../../coordinator/journal/disk.ts';
import type { CoordinatorLoop } from '../../coordinator/loop.ts';
import type { CoordinatorMessage__Output } from '../../shared/rpc/generated/secateur/v1/CoordinatorMessage.ts';
import { between } from './between.ts';
import type { Scenario } from './scenario.ts';

export interface Breakage {
  /** Two coordinators on one state. */
  readonly ignoresLock: boolean;
  /** An engine that computes on what it has when that is not what the task names. */
  readonly engineGuesses: boolean;
  /** Statistics are added up in the order in which they came. */
  readonly sumsInAnyOrder: boolean;
  /** Neither the coordinator nor an engine holds a staged file against its digest. */
  readonly looksAtNoDigest: boolean;
  disk(disk: Disk): Disk;
  stream(stream: WorkerStream, loop: CoordinatorLoop): WorkerStream;
  /** Of the lives in which it is to be noticed, where those of the seeds seldom need the guard. */
  readonly lives: Partial<Scenario>;
  /** What the coordinator says, as it comes to an agent that has registered with `epoch`. */
  heard(message: CoordinatorMessage__Output, epoch: number): CoordinatorMessage__Output;
  /** What becomes of an event on its way to the core. */
  event(event: CoreEvent, state: CoordinatorState): CoreEvent;
}

export const SOUND: Breakage = {
  ignoresLock: false,
  engineGuesses: false,
  sumsInAnyOrder: false,
  lives: {},
  looksAtNoDigest: false,
  disk: (disk) => disk,
  stream: (stream) => stream,
  heard: (message) => message,
  event: (event) => event,
};

export const MUTANTS: { readonly [name: string]: Breakage } = {
  'two coordinators may have one state': { ...SOUND, ignoresLock: true },
  'an engine guesses hidden states that it lacks': { ...SOUND, engineGuesses: true },
  'statistics are added up in the order of their coming': { ...SOUND, sumsInAnyOrder: true },
  'nobody looks at the digests of staged files': { ...SOUND, looksAtNoDigest: true },
  'the journal is not synced': {
    ...SOUND,
    disk: (disk) => ({
      ...disk,
      open: async (path, mode) => ({ ...(await disk.open(path, mode)), datasync: async () => undefined }),
    }),
  },
  'a result is acknowledged before the journal has it': {
    ...SOUND,
    stream: (stream, loop) =>
      between(stream, {
        said: (message) => {
          if (message.result?.identity) stream.write({ epoch: loop.state.epoch, acknowledge: message.result.identity });
          return message;
        },
      }),
  },
  'what fails for a moment in the coordinator fails the job': {
    ...SOUND,
    event: (event) => {
      if (event.type !== 'effectFailed') return event;
      const { code, message, details } = event.failure;
      return { ...event, failure: { code, message, details } };
    },
  },
  'an agent does not look at the epoch of a message': { ...SOUND, heard: (message, epoch) => ({ ...message, epoch }) },
  'the coordinator does not look at the epoch of a message': {
    ...SOUND,
    stream: (stream, loop) => between(stream, { said: (message) => ({ ...message, epoch: loop.state.epoch }) }),
  },
  'an agent says nothing of an engine that hangs': {
    ...SOUND,
    stream: (stream) =>
      between(stream, {
        said: (message) => {
          for (const task of message.heartbeat?.tasks ?? []) task.silentMs = 0;
          return message;
        },
      }),
  },
  'the worker, the attempt and the epoch of a result are not looked at': {
    ...SOUND,
    // Results that come when their work has been given to others.
    lives: { faults: ['cutToCoordinator', 'pauseWorker', 'breakStreams'], faultEveryMs: 2_000, unruly: 0.05 },
    event: (event, state) => {
      if (event.type !== 'taskSucceeded') return event;
      const lease = state.jobs[event.identity.job]?.leases[event.identity.task];
      if (lease === undefined) return event;
      const { attempt, epoch, worker } = lease;
      return { ...event, worker, identity: { ...event.identity, attempt, epoch } };
    },
  },
};
