/**
 * Workers as children of this process, for as long as there is work for them. The first Ctrl-C lets them end their tasks
 * and leave, the second ends them at once.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { RunningCoordinator } from '../../coordinator/main.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { Connection } from '../connection.ts';
import type { ClosableListener } from '../render/job-listener.ts';
import { takeInterrupts } from './interrupts.ts';
import { WorkerFleet } from './worker-fleet.ts';

const ATTACH_TIMEOUT_MS = 90_000;
const ATTACH_POLL_MS = 100;

export interface LocalWorkersOptions {
  readonly stateDirectory: string;
  readonly workers: number;
  /** Of each worker; null splits the cores among them. */
  readonly threads: number | null;
  readonly provider: string;
  readonly listener: ClosableListener;
}

export interface WorkSignals {
  /** Whatever the work still does, nobody waits for it any more. */
  readonly signal: AbortSignal;
  /** Nothing new is to be begun. */
  readonly leaving: AbortSignal;
}

/**
 * Does `work` once all workers are attached.
 *
 * @returns what came of it; null where it was interrupted before its end
 * @throws what the work throws, and SecateurError of a coordinator or a worker that cannot go on
 */
export async function withWorkers<Result extends object>(
  options: LocalWorkersOptions,
  coordinator: RunningCoordinator,
  connection: Connection,
  work: (signals: WorkSignals) => Promise<Result>,
): Promise<Result | null> {
  const { workers, provider, stateDirectory, listener } = options;
  const interrupts = takeInterrupts();
  const [abort, leave] = [new AbortController(), new AbortController()];
  const fleet = new WorkerFleet({
    count: workers,
    coordinator: coordinator.address,
    threads: options.threads ?? Math.max(1, Math.floor(availableParallelism() / workers)),
    provider,
    stateDirectory,
    say: listener.say,
  });
  const signals = { signal: abort.signal, leaving: leave.signal };
  const ended = workersAttached(options, connection, abort.signal).then(() => work(signals));
  // Whoever loses the race below may still reject.
  ended.catch(() => undefined);
  try {
    const first = await Promise.race([ended, coordinator.failed, fleet.failed, interrupts.first]);
    if (first !== undefined) return first;
    listener.say(
      'draining: running tasks end, what is committed stays, the same command goes on later (Ctrl-C again stops at once)',
    );
    leave.abort();
    fleet.drain();
    return (await Promise.race([ended, fleet.allEnded, interrupts.second])) ?? null;
  } finally {
    abort.abort();
    listener.close();
    await fleet.stop();
    interrupts.release();
  }
}

/** All of them, so that a plan with `stages: auto` counts them all. */
async function workersAttached(
  options: LocalWorkersOptions,
  connection: Connection,
  signal: AbortSignal,
): Promise<void> {
  const deadlineMs = Date.now() + ATTACH_TIMEOUT_MS;
  while (!signal.aborted) {
    const attached = (await connection.workers()).filter((worker) => worker.attached).length;
    if (attached >= options.workers) return;
    if (Date.now() > deadlineMs) {
      throw new SecateurError(
        'DeadlineExceeded',
        `expected ${options.workers} workers within ${ATTACH_TIMEOUT_MS / 1000} s; ${attached} attached. Look at ${join(options.stateDirectory, 'workers')}, or ask for fewer with --workers.`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, ATTACH_POLL_MS));
  }
}
