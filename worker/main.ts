/** Starts a worker: its agent, which starts its engine. The command line and `run` call this. */
import { randomUUID } from 'node:crypto';
import { Agent, type AgentOptions } from './agent/agent.ts';

export interface WorkerOptions
  extends Pick<
    AgentOptions,
    'coordinator' | 'provider' | 'deviceId' | 'threads' | 'storage' | 'cacheDirectory' | 'log'
  > {
  /** Stable over restarts, different for every worker. */
  readonly name: string;
}

export interface RunningWorker {
  /** Resolves when the worker has left; rejects when it cannot serve. */
  readonly done: Promise<void>;
  /** Ends the running task first. */
  drain(): void;
  /** Ends now. */
  stop(): void;
}

export function startWorker(options: WorkerOptions): RunningWorker {
  const { name, ...rest } = options;
  const failpoint = process.env.SECATEUR_FAILPOINT ?? null;
  const slowMs = Number(process.env.SECATEUR_SLOW_MS ?? 0);
  const agent = new Agent({ ...rest, worker: name, incarnation: randomUUID(), failpoint, slowMs });
  return { done: agent.serve(), drain: () => agent.drain(), stop: () => agent.stop() };
}
