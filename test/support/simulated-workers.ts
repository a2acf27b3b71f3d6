/** Many workers in one process: real agents on real streams, each with a simulated engine. */
import { randomUUID } from 'node:crypto';
import type { WorkerMessage } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { SYSTEM_TIMERS } from '../../shared/timers.ts';
import { Agent } from '../../worker/agent/agent.ts';
import type { AttachCall, AttachTransport } from '../../worker/agent/attach-stream.ts';
import { grpcTransport } from '../../worker/agent/grpc-transport.ts';
import { KernelPool } from '../../worker/kernels/kernel-pool.ts';
import { SimulatedEngine } from './simulated-engine.ts';

/** What a worker says instead of what it would say; null: nothing. */
export type Lie = (message: WorkerMessage) => WorkerMessage | null;

/** A worker behind it is an honest one, and what it says is changed on the way. */
function lyingTransport(honest: AttachTransport, lie: Lie): AttachTransport {
  const open = (): AttachCall => {
    const call = honest.open();
    const write = (message: WorkerMessage): boolean => {
      const said = lie(message);
      return said === null || call.write(said);
    };
    return new Proxy(call, {
      get: (target, name) => {
        if (name === 'write') return write;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
  return { address: honest.address, open, close: () => honest.close() };
}

export class SimulatedWorkers implements AsyncDisposable {
  private readonly agents: Agent[];
  private readonly served: Promise<void>;
  private pool: Promise<KernelPool> | null = null;

  /** @param halfLayerMs what one microbatch takes in half a layer (simulated-engine.ts) */
  constructor(address: string, names: readonly string[], halfLayerMs: number, lie: Lie = (message) => message) {
    const kernels = (): Promise<KernelPool> => {
      this.pool ??= KernelPool.create({ threads: 1 });
      return this.pool;
    };
    this.agents = names.map(
      (worker) =>
        new Agent({
          worker,
          incarnation: randomUUID(),
          threads: 1,
          host: { name: worker, processId: process.pid, memoryBytes: 2 ** 34, residentBytes: () => 0 },
          startEngine: (listener) => new SimulatedEngine({ halfLayerMs, kernels }, listener),
          transport: lyingTransport(grpcTransport(address), lie),
          removeCache: () => Promise.resolve(),
          timers: SYSTEM_TIMERS,
          random: Math.random,
          log: () => undefined,
        }),
    );
    this.served = Promise.all(this.agents.map((agent) => agent.serve())).then(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.agents) agent.stop();
    await this.served;
    await (await this.pool)?.close();
  }
}
