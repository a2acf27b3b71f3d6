import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CoreEvent } from '../../../coordinator/core/events.ts';
import { INITIAL_STATE } from '../../../coordinator/core/state.ts';
import { step } from '../../../coordinator/core/step.ts';
import { RECONNECT_GRACE_MS } from '../../../coordinator/core/workers.ts';
import { Journal } from '../../../coordinator/journal/journal.ts';
import { CoordinatorLoop } from '../../../coordinator/loop.ts';
import { EventLog } from '../../../coordinator/outbox/event-log.ts';
import { fakeManifest } from '../../simulation/cluster.ts';

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
  const clock = { now: () => time.wallMs, monotonicMs: () => time.monotonicMs };
  const pass = (ms: number): void => {
    time.wallMs += ms;
    time.monotonicMs += ms;
  };

  async function start(): Promise<{ loop: CoordinatorLoop; journal: Journal }> {
    const journal = await Journal.open(folder, time.wallMs);
    const loop = new CoordinatorLoop(journal, new EventLog(), clock);
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
    const journal = await Journal.open(folder, time.wallMs);
    const log = new EventLog();
    const ran: string[] = [];
    const fatal: unknown[] = [];
    const loop = new CoordinatorLoop(journal, log, clock);
    await loop.start({ run: (command) => ran.push(command.kind) }, (reason) => fatal.push(reason));
    journal.append = () => Promise.reject(new Error('no space'));
    await expect(loop.submit(submitted('fake-1'))).rejects.toThrow('no space');
    expect(log.jobs()).toEqual([]);
    expect(ran).toEqual([]);
    expect(loop.state.jobs).toEqual({});
    expect(fatal).toHaveLength(1);
    await loop.stop();
    await journal.close();
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
        attached(name, { tasks: [identity], holdings: [{ job: name, stage: 0, boundary: 0 }] }),
        { type: 'holdingsLost', worker: name, job: name, why: '' },
        { type: 'taskFailed', worker: name, identity, failure, holdingsLost: true },
        { type: 'taskFailed', worker: name, identity: { ...identity, job: 'fake-1' }, failure, holdingsLost: true },
        { type: 'cancelRequested', job: name },
        { type: 'workerDetached', worker: name, incarnation: '1', leaving: true },
      ];
      for (const event of events) state = step(state, event, 2).state;
    }
    expect(Object.keys(state.jobs)).toEqual(['fake-1']);
  });
});
