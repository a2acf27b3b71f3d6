/**
 * The one loop: take what has happened, step the core, make it durable, then act.
 *
 * Invariants:
 *  1. Nobody else changes the state; `state` is what the journal holds.
 *  2. Commands and events leave only after the journal has their cause.
 *  3. A journal that cannot be written stops the coordinator: going on would promise what a restart forgets.
 */

import type { Command, CoreEvent, StepResult } from './core/events.ts';
import { type CoordinatorState, INITIAL_STATE } from './core/state.ts';
import { step } from './core/step.ts';
import type { Journal } from './journal/journal.ts';
import type { EventLog } from './outbox/event-log.ts';

const TICK_MS = 500;

export interface CommandRunner {
  /** Carries a command out, or begins to; never throws. What comes of it returns as an event. */
  run(command: Command): void;
}

export interface Clock {
  /** Milliseconds since 1970, as the machine has it: may jump. */
  now(): number;
  /** Milliseconds since any moment: never runs backwards. */
  monotonicMs(): number;
}

interface Queued {
  readonly event: CoreEvent;
  readonly settle: { readonly resolve: () => void; readonly reject: (reason: unknown) => void };
}

export class CoordinatorLoop {
  private current: CoordinatorState = INITIAL_STATE;
  private readonly journal: Journal;
  private readonly log: EventLog;
  private readonly clock: Clock;
  private runner: CommandRunner | null = null;
  private queue: Queued[] = [];
  private draining: Promise<void> | null = null;
  private ticker: NodeJS.Timeout | null = null;
  private fatal: ((reason: unknown) => void) | null = null;
  private lastMs = 0;
  private lastMonotonicMs: number;

  constructor(journal: Journal, log: EventLog, clock: Clock) {
    this.journal = journal;
    this.log = log;
    this.clock = clock;
    this.lastMonotonicMs = clock.monotonicMs();
  }

  get state(): CoordinatorState {
    return this.current;
  }

  /** Replays the journal, then begins a new epoch. Resolves when that is durable; `fatal` is called if the loop dies. */
  async start(runner: CommandRunner, fatal: (reason: unknown) => void): Promise<void> {
    for (const record of this.journal.takeRecords()) {
      const result = step(this.current, record.event, record.atMs);
      this.current = result.state;
      this.lastMs = record.atMs;
      for (const event of result.events) this.log.append(event);
    }
    this.runner = runner;
    this.fatal = fatal;
    await this.submit({ type: 'coordinatorStarted' });
    this.ticker = setInterval(() => void this.submit({ type: 'tick' }).catch(() => undefined), TICK_MS);
  }

  /** Resolves when the event is durable and its commands have been handed out. */
  submit(event: CoreEvent): Promise<void> {
    return new Promise((resolve, reject) => {
      this.queue.push({ event, settle: { resolve, reject } });
      this.draining ??= this.drain().finally(() => {
        this.draining = null;
      });
    });
  }

  async stop(): Promise<void> {
    if (this.ticker !== null) clearInterval(this.ticker);
    this.ticker = null;
    await this.draining;
  }

  /** Time in the journal never runs backwards, nor stands still when the machine's clock is set back. */
  private advanceClock(): void {
    const monotonicMs = this.clock.monotonicMs();
    const elapsedMs = Math.max(0, Math.floor(monotonicMs - this.lastMonotonicMs));
    this.lastMonotonicMs += elapsedMs;
    this.lastMs = Math.max(this.clock.now(), this.lastMs + elapsedMs);
  }

  /** Steps everything that waits, in one write; again while more has come. */
  private async drain(): Promise<void> {
    while (this.queue.length > 0) {
      const batch = this.queue;
      this.queue = [];
      try {
        await this.takeBatch(batch);
        for (const { settle } of batch) settle.resolve();
      } catch (thrown) {
        for (const { settle } of [...batch, ...this.queue]) settle.reject(thrown);
        this.queue = [];
        this.fatal?.(thrown);
        return;
      }
    }
  }

  /** An event that the core cannot take is its sender's failure: the others, and the coordinator, go on. */
  private tryStep(state: CoordinatorState, event: CoreEvent, reject: (reason: unknown) => void): StepResult | null {
    try {
      return step(state, event, this.lastMs);
    } catch (thrown) {
      reject(thrown);
      return null;
    }
  }

  private async takeBatch(batch: readonly Queued[]): Promise<void> {
    const taken: { event: CoreEvent; atMs: number }[] = [];
    const commands: Command[] = [];
    const results: ReturnType<typeof step>[] = [];
    let state = this.current;
    for (const { event, settle } of batch) {
      this.advanceClock();
      const result = this.tryStep(state, event, settle.reject);
      if (result === null) continue;
      if (result.state === state && result.commands.length === 0) continue;
      state = result.state;
      taken.push({ event, atMs: this.lastMs });
      results.push(result);
      commands.push(...result.commands);
    }
    if (taken.length > 0) await this.journal.append(taken);
    this.current = state;
    for (const result of results) {
      for (const event of result.events) this.log.append(event);
    }
    for (const command of commands) this.runner?.run(command);
  }
}
