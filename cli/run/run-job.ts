/**
 * A whole job on this machine: a coordinator in this process, workers as its children.
 *
 * Order of what happens: lock and journal (the coordinator), the decision about a job that is known already, checks of
 * the inputs, workers, the job. Whatever ends it, the workers end first and the coordinator last.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { planJob } from '../../coordinator/core/plan.ts';
import { checkOutputIsFree, ownerOf } from '../../coordinator/effects/claim-output.ts';
import { outputPaths } from '../../coordinator/effects/job-paths.ts';
import { readIntake } from '../../coordinator/effects/read-intake.ts';
import { type RunningCoordinator, startCoordinator } from '../../coordinator/main.ts';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { locationToPath } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import type { Job__Output } from '../../shared/rpc/generated/secateur/v1/Job.ts';
import { Connection } from '../connection.ts';
import { followJob } from '../follow-job.ts';
import type { ClosableListener } from '../render/job-listener.ts';
import { logToFile } from '../text-log.ts';
import { type Decision, decideRun, type KnownJob } from './decide.ts';
import { takeInterrupts } from './interrupts.ts';
import { WorkerFleet } from './worker-fleet.ts';

const ATTACH_TIMEOUT_MS = 90_000;
const ATTACH_POLL_MS = 100;

export interface RunOptions {
  readonly manifest: Manifest;
  readonly stateDirectory: string;
  readonly listen: string;
  readonly nats: readonly string[];
  readonly workers: number;
  /** Of each worker; null splits the cores among them. */
  readonly threads: number | null;
  readonly provider: string;
  readonly listener: ClosableListener;
}

export type RunOutcome = { readonly kind: 'ended'; readonly job: Job__Output } | { readonly kind: 'interrupted' };

/** @throws SecateurError of whatever cannot be begun; a job that failed is an outcome */
export async function runJob(options: RunOptions): Promise<RunOutcome> {
  const { manifest, stateDirectory, listen, nats } = options;
  const paths = outputPaths(locationToPath(manifest.spec.output.destination));
  // Before the coordinator starts: it goes on with what it knows at once.
  const claimedBy = await ownerOf(paths);
  mkdirSync(stateDirectory, { recursive: true });
  const coordinator = await startCoordinator({
    stateDirectory,
    listen,
    nats: nats.length === 0 ? null : { servers: nats },
    log: logToFile(join(stateDirectory, 'coordinator.log')),
  });
  const connection = new Connection(coordinator.address);
  try {
    const known = await knownJobs(connection);
    const decision = decideRun(manifest, known, claimedBy);
    if (decision.kind === 'submit') {
      if (decision.discardClaim === true) rmSync(paths.staging, { recursive: true, force: true });
      // For their errors: what cannot be begun is told before any worker starts.
      planJob(manifest, await readIntake(manifest), []);
      await checkOutputIsFree(paths, null);
    }
    return await withWorkers(options, coordinator, connection, decision);
  } finally {
    connection[Symbol.dispose]();
    await coordinator.stop();
  }
}

async function knownJobs(connection: Connection): Promise<KnownJob[]> {
  const known: KnownJob[] = [];
  for (const { id, phase: shown, progress } of (await connection.list('')).jobs) {
    const { manifestJson, planJson } = await connection.get({ job: id, namespace: '' });
    const manifest = JSON.parse(manifestJson) as Manifest;
    // One that was planned reads its inputs again: it has claimed its destination long ago.
    const phase = shown === 'Intake' && planJson !== '' ? 'Preparing' : shown;
    known.push({ id, phase, manifest, layersCommitted: progress?.layersCommitted ?? 0 });
  }
  return known;
}

async function withWorkers(
  options: RunOptions,
  coordinator: RunningCoordinator,
  connection: Connection,
  decision: Decision,
): Promise<RunOutcome> {
  const { workers, provider, stateDirectory, listener } = options;
  const interrupts = takeInterrupts();
  const abort = new AbortController();
  const fleet = new WorkerFleet({
    count: workers,
    coordinator: coordinator.address,
    threads: options.threads ?? Math.max(1, Math.floor(availableParallelism() / workers)),
    provider,
    stateDirectory,
    say: listener.say,
  });
  const ended = jobToItsEnd(options, coordinator, connection, decision, abort.signal);
  // Whoever loses the race below may still reject.
  ended.catch(() => undefined);
  try {
    const first = await Promise.race([ended, coordinator.failed, fleet.failed, interrupts.first]);
    if (first !== undefined) return { kind: 'ended', job: first };
    listener.say(
      'draining: running tasks end, what is committed stays, the same command goes on later (Ctrl-C again stops at once)',
    );
    fleet.drain();
    const last = await Promise.race([ended, fleet.allEnded, interrupts.second]);
    return last === undefined ? { kind: 'interrupted' } : { kind: 'ended', job: last };
  } finally {
    abort.abort();
    listener.close();
    await fleet.stop();
    interrupts.release();
  }
}

async function jobToItsEnd(
  options: RunOptions,
  coordinator: RunningCoordinator,
  connection: Connection,
  decision: Decision,
  signal: AbortSignal,
): Promise<Job__Output> {
  const { listener } = options;
  await workersAttached(options, connection, signal);
  // All workers are this program's: where they do not fit, waiting for others would be in vain.
  if (decision.kind !== 'submit') coordinator.checkVersions(decision.job);
  const job = await beginJob(options, coordinator, connection, decision);
  return followJob(connection, { job: job.id, namespace: job.namespace }, listener, {
    after: decision.kind === 'submit' ? 0 : job.lastSequence,
    signal,
  });
}

/** All of them, so that a plan with `stages: auto` counts them all. */
async function workersAttached(options: RunOptions, connection: Connection, signal: AbortSignal): Promise<void> {
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

async function beginJob(
  options: RunOptions,
  coordinator: RunningCoordinator,
  connection: Connection,
  decision: Decision,
): Promise<Job__Output> {
  const { listener, manifest } = options;
  const namespace = '';
  switch (decision.kind) {
    case 'submit': {
      if (decision.cancelFirst !== null) {
        listener.say(`gives up job ${decision.cancelFirst}: its files at the destination are gone`);
        await connection.cancel({ job: decision.cancelFirst, namespace }).catch((thrown: unknown) => {
          // The coordinator, which reads the inputs of what it goes on with, may have found out first.
          if (toSecateurError(thrown).code !== 'JobState') throw thrown;
        });
      }
      const job = await connection.submit(manifest);
      listener.say(`job ${job.id} begins with ${options.workers} ${options.workers === 1 ? 'worker' : 'workers'}`);
      return job;
    }
    case 'continue': {
      listener.say(`goes on with job ${decision.job}, which was interrupted`);
      // What the coordinator has found out since it started (inputs that changed, say) is this run's story.
      const job = await connection.get({ job: decision.job, namespace });
      return { ...job, lastSequence: coordinator.toldBefore(job.id) };
    }
    case 'resume': {
      listener.say(
        `resumes job ${decision.job}, which had ${decision.phase === 'Failed' ? 'failed' : 'been cancelled'}`,
      );
      // What was told before the resume is not this run's story.
      const { lastSequence } = await connection.get({ job: decision.job, namespace });
      return { ...(await connection.resume({ job: decision.job, namespace })), lastSequence };
    }
  }
}
