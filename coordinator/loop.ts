/**
 * The one loop: take what has happened, step the core, make it durable, then act.
 *
 * Invariants:
 *  1. Nobody else changes the state; `state` is what the journal holds.
 *  2. Commands and events leave only after the journal has their cause.
 *  3. A journal that cannot be written stops the coordinator: going on would promise what a restart forgets.
 */

import type { Command, CoreEvent } from './core/events.ts';
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
  now(): number;
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

  constructor(journal: Journal, log: EventLog, clock: Clock) {
    this.journal = journal;
    this.log = log;
    this.clock = clock;
  }

  get state(): CoordinatorState {
    return this.current;
  }

  /** Replays the journal, then begins a new epoch. Resolves when that is durable; `fatal` is called if the loop dies. */
  async start(runner: CommandRunner, fatal: (reason: unknown) => void): Promise<void> {
    for (const record of this.journal.records) {
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

  private async takeBatch(batch: readonly Queued[]): Promise<void> {
    const taken: { event: CoreEvent; atMs: number }[] = [];
    const commands: Command[] = [];
    const results: ReturnType<typeof step>[] = [];
    let state = this.current;
    for (const { event } of batch) {
      // A clock that was set back must not make time run backwards in the journal.
      this.lastMs = Math.max(this.lastMs, this.clock.now());
      const result = step(state, event, this.lastMs);
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
