/** Starts a worker: its agent, which starts its engine. The command line and `run` call this. */
import { randomUUID } from 'node:crypto';
import type { Log } from '../shared/log.ts';
import { Agent } from './agent/agent.ts';
import type { EngineOptions } from './engine/messages.ts';

export interface WorkerOptions extends Omit<EngineOptions, 'failpoint' | 'slowMs' | 'measure'> {
  readonly log: Log;
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
  const { name, log, ...settings } = options;
  const failpoint = process.env.SECATEUR_FAILPOINT ?? null;
  const slowMs = Number(process.env.SECATEUR_SLOW_MS ?? 0);
  const agent = new Agent({ engine: { ...settings, failpoint, slowMs }, worker: name, incarnation: randomUUID(), log });
  return { done: agent.serve(), drain: () => agent.drain(), stop: () => agent.stop() };
}
