/** Log lines over a connection that breaks: a real agent, a real server, and a wire between them that can be cut. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CoordinatorMessage__Output } from '../../shared/rpc/generated/secateur/v1/CoordinatorMessage.ts';
import { SYSTEM_TIMERS } from '../../shared/timers.ts';
import { Agent } from '../../worker/agent/agent.ts';
import type { AttachTransport } from '../../worker/agent/attach-stream.ts';
import type { EngineListener } from '../../worker/agent/engine.ts';
import { grpcTransport } from '../../worker/agent/grpc-transport.ts';
import { tinyManifest } from '../support/tiny-model.ts';
import { type ServedWorkers, serveWorkers } from './workers-fixture.ts';

const JOB = 'scale-1';

/** A TCP proxy that can swallow what comes from either side, and break every connection. */
class Wire {
  target = '';
  /** Whose bytes are lost. */
  swallows: 'worker' | 'coordinator' | null = null;
  swallowedBytes = 0;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  constructor() {
    this.server = createServer((near) => {
      const far = connect(Number(this.target.split(':')[1]), '127.0.0.1');
      this.pass(near, far, 'worker');
      this.pass(far, near, 'coordinator');
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(this.server.address() as { port: number }).port}`;
  }

  break(): void {
    this.swallows = null;
    for (const socket of this.sockets) socket.destroy();
  }

  close(): void {
    this.server.close();
    this.break();
  }

  private pass(from: Socket, to: Socket, side: 'worker' | 'coordinator'): void {
    this.sockets.add(from);
    from.on('data', (bytes) => {
      if (this.swallows === side) this.swallowedBytes += bytes.length;
      else to.write(bytes);
    });
    from.on('error', () => undefined);
    from.on('close', () => {
      this.sockets.delete(from);
      to.destroy();
    });
  }
}

/** The same transport, and what the coordinator says on it. */
function listenTo(transport: AttachTransport, heard: (message: CoordinatorMessage__Output) => void): AttachTransport {
  return {
    ...transport,
    open: () => {
      const call = transport.open();
      call.on('data', heard);
      return call;
    },
  };
}

describe('a worker’s log lines', () => {
  let folder: string;
  let served: ServedWorkers;
  let wire: Wire;
  let agent: Agent;
  let engine: EngineListener;
  /** The newest line that the agent was told of. */
  let acknowledged: number;
  const say = (message: string): void => engine.message({ type: 'log', level: 'info', message });
  const written = async (): Promise<string[]> => {
    const all: string[] = [];
    for await (const { message } of served.logs.read(JOB, 'w1')) all.push(message);
    return all;
  };
  const isAttached = (): boolean => served.loop.state.workers.w1?.attached === true;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-worker-logs-'));
    served = await serveWorkers(folder);
    const manifest = tinyManifest(folder, { name: 'scale', output: join(folder, 'out'), propagate: 'pruned' });
    await served.loop.submit({ type: 'jobSubmitted', job: JOB, namespace: 'default', name: 'scale', manifest });
    acknowledged = 0;
    wire = new Wire();
    wire.target = served.address;
    agent = new Agent({
      worker: 'w1',
      incarnation: 'first',
      threads: 1,
      host: { name: 'h', processId: 1, memoryBytes: 1e9, residentBytes: () => 0 },
      startEngine: (listener) => {
        engine = listener;
        const ready = Promise.resolve({ provider: 'cpu' as const, engineVersion: '1', figures: null });
        return { ready, processId: undefined, run: () => undefined, yield: () => undefined, kill: () => undefined };
      },
      transport: listenTo(grpcTransport(await wire.listen()), (message) => {
        acknowledged = message.logsWritten?.sequence ?? acknowledged;
      }),
      removeCache: () => Promise.resolve(),
      timers: SYSTEM_TIMERS,
      random: Math.random,
      log: () => undefined,
    });
    agent.serve().catch(() => undefined);
    await expect.poll(isAttached).toBe(true);
    const identity = { job: JOB, task: 't', attempt: 1, epoch: served.loop.state.epoch };
    served.workers.assign('w1', { identity });
    await expect.poll(written).toEqual(['begins t, lease 1']);
  });
  afterEach(async () => {
    agent.stop();
    wire.close();
    await served.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('that were on their way when the connection broke are sent again, and stand in the log once', async () => {
    say('arrives');
    await expect.poll(written).toContain('arrives');
    wire.swallows = 'worker';
    const before = wire.swallowedBytes;
    say('is lost on the way');
    await expect.poll(() => wire.swallowedBytes).toBeGreaterThan(before);
    wire.break();
    await expect.poll(written, { timeout: 10_000 }).toContain('is lost on the way');
    say('after');
    await expect.poll(written).toEqual(['begins t, lease 1', 'arrives', 'is lost on the way', 'after']);
  });

  it('that were written and not acknowledged come again, also to another coordinator, and are not written again', async () => {
    wire.swallows = 'coordinator';
    say('written');
    await expect.poll(written).toContain('written');
    await served.close();
    served = await serveWorkers(folder);
    wire.target = served.address;
    wire.break();
    await expect.poll(isAttached, { timeout: 10_000 }).toBe(true);
    say('after');
    await expect.poll(written).toEqual(['begins t, lease 1', 'written', 'after']);
  });

  it('are acknowledged when they are written: what breaks later sends none of them again', async () => {
    say('acknowledged');
    await expect.poll(() => acknowledged).toBe(2);
    const appended: string[] = [];
    const append = served.logs.append.bind(served.logs);
    served.logs.append = (...args) => {
      appended.push(args[1].message);
      return append(...args);
    };
    const asked: string[] = [];
    const lastSequence = served.logs.lastSequence.bind(served.logs);
    served.logs.lastSequence = (...args) => {
      asked.push(args[1]);
      return lastSequence(...args);
    };
    wire.break();
    await expect.poll(isAttached).toBe(false);
    await expect.poll(isAttached, { timeout: 10_000 }).toBe(true);
    expect(asked).toEqual([]);
    say('after');
    await expect.poll(() => appended).toEqual(['after']);
  });
});
