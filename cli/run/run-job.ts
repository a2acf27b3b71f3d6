/**
 * A whole job on this machine: a coordinator in this process, workers as its children.
 *
 * Order of what happens: lock and journal (the coordinator), the decision about a job that is known already, checks of
 * the inputs, workers, the job. Whatever ends it, the workers end first and the coordinator last.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { planJob } from '../../coordinator/core/plan.ts';
import { checkDestination, ownerOf } from '../../coordinator/effects/claim-output.ts';
import { outputPaths } from '../../coordinator/effects/job-paths.ts';
import { readIntake } from '../../coordinator/effects/read-intake.ts';
import { type RunningCoordinator, startCoordinator } from '../../coordinator/main.ts';
import { makeStateFolder } from '../../coordinator/state-folder.ts';
import { destinationPath } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import type { Job__Output } from '../../shared/rpc/generated/secateur/v1/Job.ts';
import { Connection } from '../connection.ts';
import { followJob } from '../follow-job.ts';
import { logToFile } from '../text-log.ts';
import { beginJob, knownJobs } from './begin-job.ts';
import { type Decision, decideRun } from './decide.ts';
import { type LocalWorkersOptions, withWorkers } from './local-workers.ts';

export interface RunOptions extends LocalWorkersOptions {
  readonly manifest: Manifest;
  readonly listen: string;
  readonly nats: readonly string[];
}

export type RunOutcome = { readonly kind: 'ended'; readonly job: Job__Output } | { readonly kind: 'interrupted' };

/** @throws SecateurError of whatever cannot be begun; a job that failed is an outcome */
export async function runJob(options: RunOptions): Promise<RunOutcome> {
  const { manifest, stateDirectory, listen, nats } = options;
  const paths = outputPaths(destinationPath(manifest.spec.output.destination));
  // Before the coordinator starts: it goes on with what it knows at once.
  const claimedBy = await ownerOf(paths);
  await makeStateFolder(stateDirectory);
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
      await checkDestination(paths, (job) => known.find(({ id }) => id === job)?.phase);
    }
    const job = await withWorkers(options, coordinator, connection, ({ signal }) =>
      jobToItsEnd(options, coordinator, connection, decision, signal),
    );
    return job === null ? { kind: 'interrupted' } : { kind: 'ended', job };
  } finally {
    connection[Symbol.dispose]();
    await coordinator.stop();
  }
}

async function jobToItsEnd(
  options: RunOptions,
  coordinator: RunningCoordinator,
  connection: Connection,
  decision: Decision,
  signal: AbortSignal,
): Promise<Job__Output> {
  const { listener, manifest, workers } = options;
  // All workers are this program's: where they do not fit, waiting for others would be in vain.
  if (decision.kind !== 'submit') coordinator.checkVersions(decision.job);
  const { job, after } = await beginJob(
    connection,
    decision,
    listener.say,
    async () => {
      const submitted = await connection.submit(manifest);
      listener.say(`job ${submitted.id} begins with ${workers} ${workers === 1 ? 'worker' : 'workers'}`);
      return submitted;
    },
    coordinator.toldBefore,
  );
  return followJob(connection, { job: job.id, namespace: job.namespace }, listener, { after, signal });
}
