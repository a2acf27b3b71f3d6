/**
 * The one loop: take what has happened, step the core, make it durable, then act.
 *
 * Invariants:
 *  1. Nobody else changes the state; `state` is what the journal amounts to.
 *  2. Commands and events leave only after the journal has their cause.
 *  3. A journal that cannot be written stops the coordinator, and nothing is taken afterwards: going on would promise
 *     what a restart forgets.
 *  4. With every tick the state folder is looked for: one that is not where it was stops the coordinator as well.
 *  5. The journal is compacted between two batches, after every event told so far is durable outside of it.
 */

import { SecateurError, toSecateurError } from '../shared/errors/secateur-error.ts';
import { reach } from '../shared/failpoint.ts';
import type { Timer, Timers } from '../shared/timers.ts';
import type { Command, CoreEvent, StepResult } from './core/events.ts';
import { type CoordinatorState, INITIAL_STATE } from './core/state.ts';
import { step } from './core/step.ts';
import { type EncodedRecord, encodeRecord, type Journal } from './journal/journal.ts';
import type { StateLock } from './journal/state-lock.ts';
import type { EventLog } from './outbox/event-log.ts';
import { replayJournal } from './replay.ts';

const TICK_MS = 500;

/** One journal line: so that a start never meets a line that it cannot hold, and a crowd does not wait for one write. */
const BATCH_EVENTS_MAX = 512;
/** Looked at after each event: a line is longer by one event at most. */
const BATCH_BYTES_MAX = 1024 * 1024;

export interface CommandRunner {
  /** Carries a command out, or begins to; never throws. What comes of it returns as an event. */
  run(command: Command): void;
}

export interface LoopParts {
  readonly journal: Journal;
  /** Of the state folder; absent where nobody else can have it. */
  readonly lock?: Pick<StateLock, 'checkInPlace'>;
  readonly events: EventLog;
  readonly timers: Timers;
  /** Told of what is wrong and does not stop the coordinator: a compaction that found no space. */
  readonly warn: (error: SecateurError) => void;
}

interface Queued {
  readonly event: CoreEvent;
  readonly settle: { readonly resolve: () => void; readonly reject: (reason: unknown) => void };
}

interface Batch {
  readonly members: Queued[];
  readonly records: EncodedRecord[];
  readonly results: StepResult[];
  state: CoordinatorState;
}

export class CoordinatorLoop {
  private readonly parts: LoopParts;
  private current: CoordinatorState = INITIAL_STATE;
  private runner: CommandRunner | null = null;
  private queue: Queued[] = [];
  private draining: Promise<void> | null = null;
  private ticker: Timer | null = null;
  private isTickWaiting = false;
  private isPlaceChecked = true;
  private fatal: ((reason: unknown) => void) | null = null;
  private failure: SecateurError | null = null;
  private lastMs = 0;
  private lastMonotonicMs: number;

  constructor(parts: LoopParts) {
    this.parts = parts;
    this.lastMonotonicMs = parts.timers.monotonicMs();
  }

  get state(): CoordinatorState {
    return this.current;
  }

  /** Of the journal, for ever: what tells this coordinator, over all its restarts, from another. */
  get coordinatorId(): string {
    return this.parts.journal.id;
  }

  /** Replays the journal, then begins a new epoch. Resolves when that is durable; `fatal` is called if the loop dies. */
  async start(runner: CommandRunner, fatal: (reason: unknown) => void): Promise<void> {
    await this.replay();
    this.runner = runner;
    this.fatal = fatal;
    await this.submit({ type: 'coordinatorStarted' });
    this.ticker = this.parts.timers.setInterval(() => this.tick(), TICK_MS);
  }

  /** Resolves when the event is durable and its commands have been handed out. */
  submit(event: CoreEvent): Promise<void> {
    if (this.failure !== null) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      this.queue.push({ event, settle: { resolve, reject } });
      this.draining ??= this.drain();
    });
  }

  async stop(): Promise<void> {
    this.ticker?.clear();
    this.ticker = null;
    await this.draining;
  }

  private async replay(): Promise<void> {
    const { journal, events } = this.parts;
    const { state, atMs } = await replayJournal(journal.takeReplay(), events, true);
    this.current = state;
    this.lastMs = atMs;
  }

  /** While the disk is slow one tick waits, not one for every interval. */
  private tick(): void {
    if (this.isTickWaiting) return;
    this.isTickWaiting = true;
    this.isPlaceChecked = false;
    const done = (): void => {
      this.isTickWaiting = false;
    };
    void this.submit({ type: 'tick' }).then(done, done);
  }

  /** Time in the journal never runs backwards, nor stands still when the machine's clock is set back. */
  private advanceClock(): void {
    const { timers } = this.parts;
    const monotonicMs = timers.monotonicMs();
    const elapsedMs = Math.max(0, Math.floor(monotonicMs - this.lastMonotonicMs));
    this.lastMonotonicMs += elapsedMs;
    this.lastMs = Math.max(timers.now(), this.lastMs + elapsedMs);
  }

  /** Steps what waits, a batch in one write; again while more is there. */
  private async drain(): Promise<void> {
    while (this.queue.length > 0 && this.failure === null) {
      const batch = this.stepBatch();
      try {
        await this.checkPlace();
        await this.conclude(batch);
        for (const { settle } of batch.members) settle.resolve();
        await this.tidy();
      } catch (thrown) {
        this.fail(toSecateurError(thrown), [...batch.members, ...this.queue]);
      }
    }
    // In the same turn as the last look at the queue: what is submitted from now on begins another drain.
    this.draining = null;
  }

  /** Between two writes: a compaction that is under way gives the journal's name to another file. */
  private async checkPlace(): Promise<void> {
    if (this.isPlaceChecked) return;
    this.isPlaceChecked = true;
    this.parts.lock?.checkInPlace();
    await this.parts.journal.checkInPlace();
  }

  private fail(failure: SecateurError, waiting: readonly Queued[]): void {
    this.failure = failure;
    this.queue = [];
    for (const { settle } of waiting) settle.reject(failure);
    this.fatal?.(failure);
  }

  /** Takes events off the queue and steps them, up to the bounds of a batch. */
  private stepBatch(): Batch {
    const batch: Batch = { members: [], records: [], results: [], state: this.current };
    let sizeBytes = 0;
    for (const queued of this.queue) {
      if (batch.members.length === BATCH_EVENTS_MAX || sizeBytes >= BATCH_BYTES_MAX) break;
      batch.members.push(queued);
      this.advanceClock();
      const stepped = this.tryStep(batch.state, queued);
      if (stepped === null) continue;
      const { result, record } = stepped;
      sizeBytes += record.sizeBytes;
      batch.records.push(record);
      batch.results.push(result);
      batch.state = result.state;
    }
    this.queue = this.queue.slice(batch.members.length);
    return batch;
  }

  /**
   * Null where there is nothing to record. An event that the core cannot take, or no journal hold, is its sender's
   * failure: the others, and the coordinator, go on.
   */
  private tryStep(
    state: CoordinatorState,
    { event, settle }: Queued,
  ): { result: StepResult; record: EncodedRecord } | null {
    try {
      const result = step(state, event, this.lastMs);
      if (result.state === state && result.commands.length === 0) return null;
      return { result, record: encodeRecord({ event, atMs: this.lastMs }) };
    } catch (thrown) {
      settle.reject(thrown);
      return null;
    }
  }

  /** Makes a batch durable; only then anybody hears of it. */
  private async conclude({ records, results, state }: Batch): Promise<void> {
    const { journal, events } = this.parts;
    if (records.length > 0) await journal.append(records);
    this.current = state;
    for (const event of results.flatMap((result) => result.events)) events.append(event);
    for (const command of results.flatMap((result) => result.commands)) this.runner?.run(command);
  }

  /** Keeps memory and journal within their bounds. */
  private async tidy(): Promise<void> {
    const { journal, events, warn } = this.parts;
    if (events.isWindowFull) await events.spill();
    if (!journal.isCompactionDue) return;
    try {
      await events.makeDurable();
      reach('coordinator.journal-superseded');
      await journal.compact({ state: this.current, lastMs: this.lastMs, events: events.extents() });
    } catch (thrown) {
      // The old journal is whole: as long as appending works, a disk without room for another one stops nothing.
      if (!(thrown instanceof SecateurError) || thrown.code !== 'StorageFull') throw thrown;
      journal.postponeCompaction();
      warn(thrown);
    }
  }
}
