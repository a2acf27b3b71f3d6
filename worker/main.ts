/** Starts a worker: its agent, which starts its engine. The command line and `run` call this. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { hostname, totalmem } from 'node:os';
import type { Log } from '../shared/log.ts';
import { SYSTEM_TIMERS } from '../shared/timers.ts';
import { Agent, type WorkerHost } from './agent/agent.ts';
import { EngineProcess } from './agent/engine-process.ts';
import { grpcTransport } from './agent/grpc-transport.ts';
import { residentBytes } from './agent/resident-bytes.ts';
import type { EngineOptions } from './engine/messages.ts';

export interface WorkerOptions extends Omit<EngineOptions, 'measure'> {
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
  const agent = new Agent({
    worker: name,
    incarnation: randomUUID(),
    threads: settings.threads,
    host: thisHost(),
    startEngine: (listener, { measure }) => new EngineProcess({ ...settings, measure }, listener),
    transport: grpcTransport(settings.coordinator),
    removeCache: () => rm(settings.cacheDirectory, { recursive: true, force: true }),
    timers: SYSTEM_TIMERS,
    random: Math.random,
    log,
  });
  return { done: agent.serve(), drain: () => agent.drain(), stop: () => agent.stop() };
}

function thisHost(): WorkerHost {
  return {
    name: hostname(),
    processId: process.pid,
    memoryBytes: Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem()),
    residentBytes: (processId) => (processId === undefined ? process.memoryUsage.rss() : residentBytes(processId)),
  };
}
