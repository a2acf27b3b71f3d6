/**
 * Coordinators on one disk, one after the other, as their processes or the machine die; held against a history that
 * remembers everything: what the journal says after each start must be the history, and the events must be its events.
 */
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';
import type { CoreEvent } from '../../../coordinator/core/events.ts';
import { type CoordinatorState, INITIAL_STATE } from '../../../coordinator/core/state.ts';
import { step } from '../../../coordinator/core/step.ts';
import type { Disk } from '../../../coordinator/journal/disk.ts';
import { type CompactionBounds, Journal, type Replay } from '../../../coordinator/journal/journal.ts';
import type { JournalRecord } from '../../../coordinator/journal/parse.ts';
import { CoordinatorLoop } from '../../../coordinator/loop.ts';
import { EventLog } from '../../../coordinator/outbox/event-log.ts';
import type { SecateurError } from '../../../shared/errors/secateur-error.ts';
import type { JobEvent } from '../../../shared/events/job-event.ts';
import type { Timers } from '../../../shared/timers.ts';
import { fakeManifest } from '../../simulation/cluster.ts';
import { STATE_DIRECTORY } from '../../support/empty-event-log.ts';

/** Small enough that a dozen events compact the journal several times and spill the events. */
const BOUNDS: CompactionBounds = { bytes: 4_000, records: 5 };
const WINDOW_BYTES_MAX = 600;

interface Folded {
  readonly state: CoordinatorState;
  readonly events: readonly JobEvent[];
}

export class DiskLife {
  /** In the order of their appending; all but the last are known to be durable. */
  private batches: JournalRecord[][] = [];
  private settled = 0;
  private readonly told: JobEvent[] = [];
  private readonly bounds: CompactionBounds;
  private nowMs = 1_000_000;
  readonly warnings: SecateurError[] = [];
  readonly fatal: SecateurError[] = [];
  id: string | null = null;

  constructor(bounds: CompactionBounds = BOUNDS) {
    this.bounds = bounds;
  }

  /** A new process: opens, holds what it finds against the history, and starts. */
  async start(disk: Disk): Promise<{ loop: CoordinatorLoop; journal: Journal; events: EventLog }> {
    const directory = STATE_DIRECTORY;
    const journal = await Journal.open({ disk, directory, nowMs: this.nowMs, bounds: this.bounds });
    this.compareWithHistory(journal);
    const append = journal.append.bind(journal);
    journal.append = async (records) => {
      this.batches.push(records.map((record) => JSON.parse(record.json) as JournalRecord));
      await append(records);
      this.settled = this.batches.length;
    };
    const events = new EventLog({ disk, stateDirectory: directory, windowBytesMax: WINDOW_BYTES_MAX });
    const warn = (error: SecateurError): void => void this.warnings.push(error);
    const loop = new CoordinatorLoop({ journal, events, timers: this.timers(), warn });
    await loop.start({ run: () => undefined }, (error) => this.fatal.push(error as SecateurError));
    events.subscribe((event) => this.told.push(event));
    this.id ??= loop.coordinatorId;
    expect(loop.coordinatorId).toBe(this.id);
    return { loop, journal, events };
  }

  /** The state and every event are what stepping through the whole history gives; what was told is among them. */
  async expectWhole(loop: CoordinatorLoop, events: EventLog): Promise<void> {
    const expected = fold(this.batches.flat());
    expect(loop.state).toEqual(expected.state);
    const jobs = [...new Set(expected.events.map((event) => event.job))];
    expect(events.jobs()).toEqual(jobs);
    for (const job of jobs) {
      const ofJob = expected.events.filter((event) => event.job === job);
      expect(await events.read(job, 0, 1_000_000)).toEqual(ofJob);
    }
    for (const event of this.told) expect(expected.events).toContainEqual(event);
  }

  /** One batch may have been under way: it is there as a whole, or not at all. */
  private compareWithHistory(journal: Journal): void {
    const replay = journal.takeReplay();
    journal.takeReplay = () => replay;
    const found = stateAfter(replay);
    const possible = [this.batches, this.batches.slice(0, this.settled)];
    const match = possible.find((batches) => isDeepStrictEqual(found, fold(batches.flat()).state));
    expect(match, `the journal amounts to ${JSON.stringify(found)}`).toBeDefined();
    this.batches = match as JournalRecord[][];
    this.settled = this.batches.length;
  }

  /** No ticks: nothing may need one. */
  private timers(): Timers {
    const never = { clear: () => undefined };
    this.nowMs += 1;
    return { now: () => this.nowMs, monotonicMs: () => 0, setTimeout: () => never, setInterval: () => never };
  }
}

function stateAfter({ checkpoint, records }: Replay): CoordinatorState {
  return fold(records, checkpoint?.state).state;
}

function fold(records: readonly JournalRecord[], from: CoordinatorState = INITIAL_STATE): Folded {
  let state = from;
  const events: JobEvent[] = [];
  for (const { event, atMs } of records) {
    const result = step(state, event, atMs);
    state = result.state;
    events.push(...result.events);
  }
  return { state, events };
}

/** Jobs that come, are cancelled and go on: every one of these changes the state and tells something. */
export function* coreEvents(jobs: number): Generator<CoreEvent> {
  for (let count = 1; count <= jobs; count++) {
    const job = `fake-${count}`;
    const manifest = fakeManifest({ propagate: 'pruned', stages: 1 });
    yield { type: 'jobSubmitted', job, namespace: 'default', name: 'fake', manifest };
    yield { type: 'cancelRequested', job };
    yield { type: 'resumeRequested', job };
    yield { type: 'cancelRequested', job };
  }
}
