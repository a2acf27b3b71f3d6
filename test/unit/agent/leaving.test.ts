import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import type { Task__Output } from '../../../shared/rpc/generated/secateur/v1/Task.ts';
import { Agent } from '../../../worker/agent/agent.ts';
import type { AttachCall } from '../../../worker/agent/attach-stream.ts';
import type { Engine, EngineListener } from '../../../worker/agent/engine.ts';
import type { EngineReady } from '../../../worker/engine/messages.ts';

const READY: EngineReady = { provider: 'cpu', engineVersion: '1', figures: null };
const IDENTITY = { job: 'job-1', task: 'calibrate-00000', attempt: 1, epoch: 1 };

/** A coordinator that takes whoever registers, and lets the test speak for it. */
class FakeCall extends EventEmitter {
  write(): boolean {
    return true;
  }
  end(): void {}
  cancel(): void {}
  resume(): void {}
}

class FakeEngine implements Engine {
  readonly processId = undefined;
  private readonly start = Promise.withResolvers<EngineReady>();
  readonly ready = this.start.promise;
  readonly listener: EngineListener;

  constructor(listener: EngineListener) {
    this.listener = listener;
  }

  isReady(): void {
    this.start.resolve(READY);
  }

  /** As EngineProcess does when its child ends before it is ready. */
  kill(): void {
    this.start.reject(new SecateurError('EngineCrashed', 'the engine process did not start: it was ended by SIGINT'));
    this.listener.ended('it was ended by SIGINT');
  }

  run(): void {}
  yield(): void {}
}

function startAgent(): {
  agent: Agent;
  engine: () => FakeEngine;
  call: FakeCall;
  log: string[];
  drainTimers: number[];
} {
  const engines: FakeEngine[] = [];
  const call = new FakeCall();
  const log: string[] = [];
  const drainTimers: number[] = [];
  const agent = new Agent({
    worker: 'w1',
    incarnation: 'i1',
    threads: 1,
    host: { name: 'host', processId: 1, memoryBytes: 1, residentBytes: () => 0 },
    startEngine: (listener) => {
      engines.push(new FakeEngine(listener));
      return engines.at(-1) as FakeEngine;
    },
    transport: { address: 'coordinator:7070', open: () => call as AttachCall, close: () => undefined },
    removeCache: async () => undefined,
    timers: {
      now: () => 0,
      monotonicMs: () => 0,
      setTimeout: (_run: () => void, ms: number) => {
        drainTimers.push(ms);
        return { clear: () => drainTimers.pop() };
      },
      setInterval: () => ({ clear: () => undefined }),
    },
    random: () => 0,
    log: (level, message) => log.push(`${level} ${message}`),
  });
  return { agent, engine: () => engines.at(-1) as FakeEngine, call, log, drainTimers };
}

async function attached(): Promise<ReturnType<typeof startAgent> & { done: Promise<void> }> {
  const started = startAgent();
  const done = started.agent.serve();
  started.engine().isReady();
  await started.engine().ready;
  await Promise.resolve();
  const registered = { epoch: 1, coordinatorId: 'c', heartbeatIntervalMs: 1_000 };
  started.call.emit('data', { epoch: 1, registered });
  return { ...started, done };
}

describe('a worker that is asked to leave', () => {
  it.each([
    ['by a signal that comes to it first', true],
    ['by one that has ended its engine already', false],
  ])('while its engine starts, %s, leaves without an error', async (_, isFirst) => {
    const { agent, engine, log } = startAgent();
    const done = agent.serve();
    if (!isFirst) engine().kill();
    agent.drain();
    await done;
    expect(log.filter((line) => !line.startsWith('error'))).toEqual([
      'info leaves: there is no stream to the coordinator, and no result that waits for one',
      'info left',
    ]);
  });

  it('while its engine ends by itself at its start, has an error as ever', async () => {
    const { agent, engine } = startAgent();
    const done = agent.serve();
    engine().kill();
    await expect(done).rejects.toThrow('did not start');
  });

  it('without a coordinator leaves at once, and promises nothing else', async () => {
    const { agent, engine, log, drainTimers } = startAgent();
    const done = agent.serve();
    engine().isReady();
    await engine().ready;
    agent.drain();
    await done;
    expect(log.join('\n')).not.toContain('20 s');
    expect(drainTimers).toEqual([]);
  });

  it('with a result that only a coordinator can take, waits for one and says so', async () => {
    const { agent, engine, call, log, drainTimers, done } = await attached();
    call.emit('data', { epoch: 1, assign: { identity: IDENTITY } as Task__Output });
    call.emit('error', new Error('gone'));
    agent.drain();
    expect(log.at(-1)).toMatch(/there is none: waits for it for 20 s \(a second signal ends it at once\)/);
    expect(drainTimers).toContain(20_000);
    agent.stop();
    await done;
    expect(log.slice(-2)).toEqual(['info leaves: at once; what it ran or held is computed again', 'info left']);
    expect(engine()).toBeDefined();
  });

  it('hands over first; its last line says that it has left', async () => {
    const { agent, call, log, done } = await attached();
    agent.drain();
    expect(log.at(-1)).toBe('info draining: hands over what it holds and leaves, within 20 s');
    call.emit('data', { epoch: 1, dismiss: {} });
    await done;
    expect(log.slice(-2)).toEqual(['info leaves: everything is handed over', 'info left']);
  });
});

describe('a task', () => {
  it('whose engine crashed has failed in the log, and not ended', async () => {
    const { engine, call, log } = await attached();
    call.emit('data', { epoch: 1, assign: { identity: { ...IDENTITY, attempt: 11 } } as Task__Output });
    engine().kill();
    expect(log.join('\n')).toContain('info begins calibrate-00000, lease 11');
    expect(log.at(-1)).toBe('warn failed calibrate-00000 (EngineCrashed)');
    expect(log.join('\n')).not.toContain('ended calibrate-00000');
  });
});
