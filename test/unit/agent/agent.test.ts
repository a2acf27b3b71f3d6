/** The agent against an engine and a coordinator that the test speaks for, in time that the test moves. */
import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CoordinatorMessage } from '../../../shared/rpc/generated/secateur/v1/CoordinatorMessage.ts';
import type { WorkerMessage } from '../../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { SYSTEM_TIMERS } from '../../../shared/timers.ts';
import { Agent } from '../../../worker/agent/agent.ts';
import type { Engine, EngineListener } from '../../../worker/agent/engine.ts';

const MINUTE_MS = 60_000;
const identity = { job: 'j', task: 'calibrate-00000', attempt: 1, epoch: 1 };

class FakeEngine implements Engine {
  readonly ready = Promise.resolve({ provider: 'cpu', engineVersion: '1', figures: null } as const);
  readonly processId = undefined;
  readonly did: string[] = [];
  readonly listener: EngineListener;

  constructor(listener: EngineListener) {
    this.listener = listener;
  }

  run(): void {
    this.did.push('run');
  }
  yield(): void {
    this.did.push('yield');
  }
  kill(): void {
    this.did.push('kill');
    this.listener.ended('it was ended by SIGKILL');
  }
}

class FakeCall extends EventEmitter {
  readonly said: WorkerMessage[] = [];
  isEnded = false;

  write(message: WorkerMessage): boolean {
    this.said.push(message);
    return true;
  }
  end(): void {
    this.isEnded = true;
  }
  cancel(): void {}
  resume(): void {}
}

/** An agent that has registered, and has been given a task. */
class Life {
  readonly engines: FakeEngine[] = [];
  readonly call = new FakeCall();
  readonly agent: Agent;
  hasLeft = false;
  cacheRemovals = 0;

  constructor() {
    this.agent = new Agent({
      worker: 'w1',
      incarnation: '1',
      threads: 1,
      host: { name: 'h', processId: 1, memoryBytes: 1, residentBytes: () => 1 },
      startEngine: (listener) => {
        const engine = new FakeEngine(listener);
        this.engines.push(engine);
        return engine;
      },
      transport: { address: 'coordinator:7070', open: () => this.call, close: () => undefined },
      removeCache: async () => {
        this.cacheRemovals += 1;
      },
      timers: SYSTEM_TIMERS,
      random: () => 0,
      log: () => undefined,
    });
  }

  async begin(): Promise<void> {
    this.agent.serve().then(
      () => {
        this.hasLeft = true;
      },
      () => undefined,
    );
    await vi.advanceTimersByTimeAsync(0);
    this.hear({ registered: { epoch: 1, coordinatorId: 'c', heartbeatIntervalMs: 1_000 } });
    this.hear({ assign: { identity } });
  }

  hear(message: CoordinatorMessage): void {
    this.call.emit('data', { epoch: 1, ...message });
  }

  get engine(): FakeEngine {
    return this.engines.at(-1) as FakeEngine;
  }

  get lastHeartbeat() {
    return this.call.said.findLast((message) => message.heartbeat)?.heartbeat?.tasks?.[0];
  }

  get results() {
    return this.call.said.flatMap((message) => (message.result ? [message.result] : []));
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('an engine that says nothing while it runs a task', () => {
  it('is told of with every heartbeat, and for how long, until it speaks again', async () => {
    const life = new Life();
    await life.begin();
    await vi.advanceTimersByTimeAsync(8_000);
    expect(life.lastHeartbeat).toMatchObject({ identity, silentMs: 8_000, silentMaxMs: 15 * MINUTE_MS });
    life.engine.listener.message({ type: 'progress', done: 1, total: 2, unit: 'tokens' });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(life.lastHeartbeat).toMatchObject({ done: 1, silentMs: 1_000 });
  });

  it('is ended after 15 minutes and not before: its task fails and may be tried again, on a new engine', async () => {
    const life = new Life();
    await life.begin();
    const [first] = life.engines;
    await vi.advanceTimersByTimeAsync(15 * MINUTE_MS);
    expect(first?.did).toEqual(['run']);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(first?.did).toEqual(['run', 'kill']);
    expect(life.results).toMatchObject([{ identity, error: { code: 'EngineCrashed', retryable: true } }]);
    life.hear({ acknowledge: identity });
    life.hear({ assign: { identity: { ...identity, attempt: 2 } } });
    expect(life.engines).toHaveLength(2);
    expect(life.engine.did).toEqual(['run']);
    // Its silence begins anew.
    await vi.advanceTimersByTimeAsync(1_000);
    expect(life.lastHeartbeat).toMatchObject({ silentMs: 1_000 });
  });

  it('is left alone while it says how far it is, however long its task takes', async () => {
    const life = new Life();
    await life.begin();
    for (let minute = 0; minute < 60; minute += 10) {
      await vi.advanceTimersByTimeAsync(10 * MINUTE_MS);
      life.engine.listener.message({ type: 'progress', done: minute, total: 60, unit: 'tokens' });
    }
    expect(life.engine.did).toEqual(['run']);
  });
});

describe('an agent that is asked to leave', () => {
  it('lets a running pass stop after its microbatch, and whatever it is given then', async () => {
    const life = new Life();
    await life.begin();
    life.agent.drain();
    expect(life.engine.did).toEqual(['run', 'yield']);
    expect(life.call.said.at(-1)).toMatchObject({ draining: { leaving: false } });
    const outcome = { pass: { tokens: 1, computeMs: 1, done: [], snapshots: [] } };
    life.engine.listener.message({ type: 'succeeded', outcome, job: 'j', holdings: [] });
    life.hear({ acknowledge: identity });
    life.hear({ assign: { identity: { ...identity, task: 'hand-over', attempt: 2 } } });
    expect(life.engine.did).toEqual(['run', 'yield', 'run', 'yield']);
    // It may be asked twice.
    life.agent.drain();
    expect(life.engine.did).toHaveLength(4);
    expect(life.hasLeft).toBe(false);
  });

  it('leaves when it is dismissed, and not before it was asked', async () => {
    const life = new Life();
    await life.begin();
    life.hear({ dismiss: {} });
    await vi.advanceTimersByTimeAsync(0);
    expect(life.hasLeft).toBe(false);
    life.agent.drain();
    life.hear({ dismiss: {} });
    await vi.advanceTimersByTimeAsync(0);
    expect(life.hasLeft).toBe(true);
  });

  it('leaves after 20 s and not before, whatever its engine still does: a host would kill it', async () => {
    const life = new Life();
    await life.begin();
    life.agent.drain();
    await vi.advanceTimersByTimeAsync(19_999);
    expect(life.hasLeft).toBe(false);
    expect(life.engine.did).toEqual(['run', 'yield']);
    await vi.advanceTimersByTimeAsync(1);
    expect(life.hasLeft).toBe(true);
    expect(life.engine.did).toEqual(['run', 'yield', 'kill']);
    expect(life.call.said.at(-1)).toMatchObject({ epoch: 1, draining: { leaving: true } });
    expect(life.call.isEnded).toBe(true);
    expect(life.cacheRemovals).toBe(1);
    // Nothing of it goes on.
    const saidCount = life.call.said.length;
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(life.call.said).toHaveLength(saidCount);
    expect(vi.getTimerCount()).toBe(0);
  });
});
