import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CoreEvent } from '../../../coordinator/core/events.ts';
import { INITIAL_STATE } from '../../../coordinator/core/state.ts';
import { step } from '../../../coordinator/core/step.ts';
import { RECONNECT_GRACE_MS } from '../../../coordinator/core/workers.ts';
import { SYSTEM_DISK } from '../../../coordinator/journal/disk.ts';
import { type CompactionBounds, Journal } from '../../../coordinator/journal/journal.ts';
import { CoordinatorLoop } from '../../../coordinator/loop.ts';
import { EventLog } from '../../../coordinator/outbox/event-log.ts';
import { fakeManifest } from '../../simulation/cluster.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';

const attached = (worker: string, over: Partial<Extract<CoreEvent, { type: 'workerAttached' }>> = {}): CoreEvent => ({
  type: 'workerAttached',
  worker,
  incarnation: '1',
  capabilities: {
    host: 'h',
    processId: 1,
    provider: 'cpu',
    threads: 1,
    memoryBytes: 1,
    version: '0',
    engineVersion: '0',
    storageReadBytesPerSecond: 0,
    storageWriteBytesPerSecond: 0,
    computeFlops: 0,
    deviceMemoryBytes: 0,
  },
  tasks: [],
  holdings: [],
  ...over,
});
const submitted = (job: string): CoreEvent => ({
  type: 'jobSubmitted',
  job,
  namespace: 'default',
  name: 'fake',
  manifest: fakeManifest({ propagate: 'pruned', stages: 1 }),
});

describe('the loop', () => {
  let folder: string;
  const time = { wallMs: 1_000_000_000, monotonicMs: 0 };
  /** No ticks but those that a test submits. */
  const never = { clear: () => undefined };
  const timers = {
    now: () => time.wallMs,
    monotonicMs: () => time.monotonicMs,
    setTimeout: () => never,
    setInterval: () => never,
  };
  const pass = (ms: number): void => {
    time.wallMs += ms;
    time.monotonicMs += ms;
  };

  const openJournal = (bounds?: CompactionBounds) =>
    Journal.open({
      disk: SYSTEM_DISK,
      directory: folder,
      nowMs: time.wallMs,
      ...(bounds === undefined ? {} : { bounds }),
    });
  const newLog = () => new EventLog({ disk: SYSTEM_DISK, stateDirectory: folder });
  const warn = (error: unknown): never => expect.unreachable(String(error));

  async function start(bounds?: CompactionBounds): Promise<{ loop: CoordinatorLoop; journal: Journal }> {
    const journal = await openJournal(bounds);
    const loop = new CoordinatorLoop({ journal, events: newLog(), timers, warn });
    await loop.start({ run: () => undefined }, (reason) => {
      throw reason;
    });
    return { loop, journal };
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-loop-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('goes on in time when the machine’s clock is set back an hour', async () => {
    const { loop, journal } = await start();
    await loop.submit(attached('w'));
    await loop.submit({ type: 'workerDetached', worker: 'w', incarnation: '1', leaving: false });
    time.wallMs -= 3_600_000;
    pass(RECONNECT_GRACE_MS + 1);
    await loop.submit({ type: 'tick' });
    expect(loop.state.workers).toEqual({});
    await loop.stop();
    await journal.close();
  });

  it('an event that the core cannot take fails its sender only; the others of its batch count, and are replayed', async () => {
    const { loop, journal } = await start();
    const results = await Promise.allSettled([
      loop.submit(attached('a')),
      loop.submit({ type: 'nonsense' } as unknown as CoreEvent),
      loop.submit(attached('b')),
    ]);
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    await loop.stop();
    await journal.close();
    const again = await start();
    expect(Object.keys(again.loop.state.workers)).toEqual(['a', 'b']);
    expect(again.loop.state.epoch).toBe(2);
    await again.loop.stop();
    await again.journal.close();
  });

  it('tells nothing, and does nothing, that the journal could not take', async () => {
    const journal = await openJournal();
    const log = newLog();
    const ran: string[] = [];
    const fatal: unknown[] = [];
    const loop = new CoordinatorLoop({ journal, events: log, timers, warn });
    await loop.start({ run: (command) => ran.push(command.kind) }, (reason) => fatal.push(reason));
    journal.append = () => Promise.reject(new Error('no space'));
    await expect(loop.submit(submitted('fake-1'))).rejects.toThrow('no space');
    expect(log.jobs()).toEqual([]);
    expect(ran).toEqual([]);
    expect(loop.state.jobs).toEqual({});
    expect(fatal).toHaveLength(1);
    await expect(loop.submit(submitted('fake-2')), 'nor anything later').rejects.toThrow('no space');
    expect(fatal).toHaveLength(1);
    await loop.stop();
    await journal.close();
  });

  it('after a compaction goes on in time from where it was, although the clock was set back meanwhile', async () => {
    const first = await start({ bytes: 1, records: 1 });
    await first.loop.submit(submitted('fake-1'));
    const { submittedMs } = first.loop.state.jobs['fake-1']!;
    await first.loop.stop();
    await first.journal.close();
    expect(readFileSync(join(folder, 'journal.jsonl'), 'utf8')).toContain('"part":"job"');
    time.wallMs -= 3_600_000;
    const again = await start();
    await again.loop.submit({ type: 'cancelRequested', job: 'fake-1' });
    expect(again.loop.state.jobs['fake-1']?.endedMs).toBeGreaterThanOrEqual(submittedMs);
    await again.loop.stop();
    await again.journal.close();
  });

  it('takes what follows an event at once, however soon it comes: nothing waits for a tick', async () => {
    const disk = new MemoryDisk();
    disk.placeDirectory(folder);
    const journal = await Journal.open({ disk: disk.mount(), directory: folder, nowMs: 1 });
    const events = new EventLog({ disk: disk.mount(), stateDirectory: folder });
    const loop = new CoordinatorLoop({ journal, events, timers, warn });
    await loop.start({ run: () => undefined }, (reason) => expect.unreachable(String(reason)));
    for (let turns = 0; turns < 12; turns++) {
      await loop.submit(attached(`w${turns}`));
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      let isTaken = false;
      void loop.submit(attached(`later${turns}`)).then(() => {
        isTaken = true;
      });
      await new Promise(setImmediate);
      expect(isTaken, `${turns} turns later`).toBe(true);
    }
    await loop.stop();
  });

  it('a crowd of events is journaled in lines of bounded length, all of them in order', async () => {
    const { loop, journal } = await start();
    const sizes: number[] = [];
    const append = journal.append.bind(journal);
    journal.append = (records) => {
      sizes.push(records.length);
      return append(records);
    };
    const ids = Array.from({ length: 1_200 }, (_, index) => `w${index}`);
    await Promise.all(ids.map((id) => loop.submit(attached(id))));
    expect(sizes, 'the first goes alone, the others wait for it').toEqual([1, 512, 512, 175]);
    expect(Object.keys(loop.state.workers)).toEqual(ids);
    sizes.length = 0;
    // Each is about 300 kB: four of them are more than a line may have.
    const large = (worker: string): CoreEvent => attached(worker, { incarnation: 'x'.repeat(300_000) });
    await Promise.all(ids.slice(0, 9).map((id) => loop.submit(large(id))));
    expect(sizes).toEqual([1, 4, 4]);
    await loop.stop();
    await journal.close();
  });

  it('ticks for as long as it runs; while the disk is slow one tick waits, not one for every interval', async () => {
    const disk = new MemoryDisk();
    disk.placeDirectory(folder);
    const journal = await Journal.open({ disk: disk.mount(), directory: folder, nowMs: 1 });
    const events = new EventLog({ disk: disk.mount(), stateDirectory: folder });
    const intervals: { run: () => void; isCleared: boolean }[] = [];
    const setInterval = (run: () => void) => {
      const interval = { run, isCleared: false };
      intervals.push(interval);
      const clear = (): void => {
        interval.isCleared = true;
      };
      return { clear };
    };
    const loop = new CoordinatorLoop({ journal, events, timers: { ...timers, setInterval }, warn });
    await loop.start({ run: () => undefined }, (reason) => expect.unreachable(String(reason)));
    const submittedTypes: string[] = [];
    const submit = loop.submit.bind(loop);
    loop.submit = (event) => {
      submittedTypes.push(event.type);
      return submit(event);
    };
    for (const round of [1, 2]) {
      void loop.submit(attached(`w${round}`));
      for (let count = 0; count < 3; count++) intervals[0]?.run();
      await new Promise(setImmediate);
    }
    expect(submittedTypes).toEqual(['workerAttached', 'tick', 'workerAttached', 'tick']);
    await loop.stop();
    expect(intervals.map((interval) => interval.isCleared)).toEqual([true]);
  });

  it('of two jobs of one name submitted in the same moment, one is taken', async () => {
    const { loop, journal } = await start();
    await Promise.all([loop.submit(submitted('fake-1')), loop.submit(submitted('fake-2'))]);
    expect(Object.keys(loop.state.jobs)).toEqual(['fake-1']);
    await loop.stop();
    await journal.close();
  });
});

describe('ids from outside', () => {
  it('that every object has by nature are unknown jobs, tasks and workers', () => {
    let state = step(INITIAL_STATE, submitted('fake-1'), 1).state;
    for (const name of ['constructor', '__proto__', 'toString']) {
      const identity = { job: name, task: name, attempt: 1, epoch: 1 };
      const failure = { code: 'Internal' as const, message: '', details: {}, retryable: true };
      const events: CoreEvent[] = [
        attached(name, { tasks: [identity], holdings: [{ job: name, boundary: 0, microbatches: [[0, 1]] }] }),
        { type: 'holdingsChanged', worker: name, job: name, holdings: [], why: '' },
        { type: 'taskFailed', worker: name, identity, failure, holdings: [] },
        { type: 'taskFailed', worker: name, identity: { ...identity, job: 'fake-1' }, failure, holdings: [] },
        { type: 'cancelRequested', job: name },
        { type: 'workerDetached', worker: name, incarnation: '1', leaving: true },
      ];
      for (const event of events) state = step(state, event, 2).state;
    }
    expect(Object.keys(state.jobs)).toEqual(['fake-1']);
  });
});
