/** A comparison as a whole: on this machine, with a coordinator and workers of its own, or on a cluster. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { planJob } from '../../coordinator/core/plan.ts';
import { ownerOf } from '../../coordinator/effects/claim-output.ts';
import { outputPaths } from '../../coordinator/effects/job-paths.ts';
import { readIntake } from '../../coordinator/effects/read-intake.ts';
import { startCoordinator } from '../../coordinator/main.ts';
import { makeStateFolder } from '../../coordinator/state-folder.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { destinationPath } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { writeFileAtomic } from '../../shared/storage/atomic-file.ts';
import { Connection } from '../connection.ts';
import type { ClosableListener } from '../render/job-listener.ts';
import { knownJobs } from '../run/begin-job.ts';
import { type LocalWorkersOptions, withWorkers } from '../run/local-workers.ts';
import { logToFile } from '../text-log.ts';
import { type Comparison, compareTrials, type TrialFigures } from './comparison.ts';
import { plotComparison } from './plot-comparison.ts';
import { comparisonMarkdown } from './render-comparison.ts';
import { decideTrial, runTrials, type TrialRun } from './run-trials.ts';
import type { Trial } from './trials.ts';

export interface CompareOptions {
  readonly manifest: Manifest;
  readonly trials: readonly Trial[];
  /** Folder of compare.json, compare.md and compare.svg. */
  readonly report: string;
  readonly listener: ClosableListener;
}

/** With workers of its own, each trial that is not done yet. @returns what is known: of some trials, where it was interrupted */
export async function compareHere(options: CompareOptions, local: LocalWorkersOptions): Promise<Comparison> {
  const { manifest, trials } = options;
  const destination = destinationPath(manifest.spec.output.destination);
  await refuseCheckpoint(destination);
  // Before the coordinator starts: it goes on with what it knows at once.
  const owners = await Promise.all(
    trials.map((trial) => ownerOf(outputPaths(destinationPath(trial.manifest.spec.output.destination)))),
  );
  await makeStateFolder(local.stateDirectory);
  const coordinator = await startCoordinator({
    stateDirectory: local.stateDirectory,
    listen: '127.0.0.1:0',
    nats: null,
    log: logToFile(join(local.stateDirectory, 'coordinator.log')),
  });
  const connection = new Connection(coordinator.address);
  try {
    const decided = await decide(connection, trials, (index) => owners[index] ?? null);
    const { decisions } = decided;
    if (decisions.some(({ kind }) => kind === 'submit')) {
      // For their errors: what cannot be begun is told before any worker starts.
      for (const [index, decision] of decisions.entries()) {
        // What an ended job left that had committed nothing.
        if (decision.kind === 'submit' && decision.discardClaim === true) await removeStaging(trials[index] as Trial);
      }
      for (const trial of trials) planJob(trial.manifest, await readIntake(trial.manifest), []);
    }
    const recorder = new Recorder(options);
    if (decisions.every(({ kind }) => kind === 'done')) {
      await runTrials({ ...options, ...decided, connection, progressed: recorder.progressed });
    } else {
      await withWorkers(local, coordinator, connection, (signals) => {
        // All workers are this program's: where they do not fit, waiting for others would be in vain.
        for (const decision of decisions) {
          if (decision.kind === 'continue' || decision.kind === 'resume') coordinator.checkVersions(decision.job);
        }
        const { toldBefore } = coordinator;
        return runTrials({
          ...options,
          ...signals,
          ...decided,
          connection,
          toldBefore,
          progressed: recorder.progressed,
        });
      });
    }
    return recorder.comparison;
  } finally {
    connection[Symbol.dispose]();
    await coordinator.stop();
  }
}

/** By the workers of a cluster: paths are those of its coordinator, except that of the report. */
export async function compareThere(options: CompareOptions, connection: Connection): Promise<Comparison> {
  const decided = await decide(connection, options.trials, () => undefined);
  const recorder = new Recorder(options);
  await runTrials({ ...options, ...decided, connection, progressed: recorder.progressed });
  return recorder.comparison;
}

async function decide(
  connection: Connection,
  trials: readonly Trial[],
  claimedBy: (index: number) => string | null | undefined,
): Promise<Pick<TrialRun, 'decisions' | 'reuse'>> {
  const destinations = new Set(trials.map((trial) => trial.manifest.spec.output.destination));
  const known = await knownJobs(connection, destinations);
  const decisions = trials.map((trial, index) => decideTrial(trial, known, claimedBy(index)));
  const done = new Set(decisions.map((decision) => (decision.kind === 'done' ? decision.job : '')));
  // Each trial takes the place of the one before it: what there is to take over, the latest has.
  return { decisions, reuse: known.findLast(({ id }) => done.has(id))?.id ?? '' };
}

/** Trials have folders in the destination: in a checkpoint, nobody would look for them. */
async function refuseCheckpoint(destination: string): Promise<void> {
  const owner = await ownerOf(outputPaths(destination));
  if (owner === null) return;
  throw new SecateurError(
    'OutputExists',
    `spec.output.destination ${destination}: expected a folder for a comparison; it is the output of job ${owner}. Choose another destination (--set spec.output.destination=…).`,
    { details: { destination, job: owner } },
  );
}

async function removeStaging({ manifest }: Trial): Promise<void> {
  const { staging } = outputPaths(destinationPath(manifest.spec.output.destination));
  await rm(staging, { recursive: true, force: true });
}

/** Keeps the files of the report at what is known. */
class Recorder {
  comparison: Comparison;
  private readonly options: CompareOptions;

  constructor(options: CompareOptions) {
    this.options = options;
    this.comparison = compareTrials(options.manifest, options.trials, new Map());
  }

  readonly progressed: TrialRun['progressed'] = async (found: ReadonlyMap<string, TrialFigures>) => {
    const { manifest, trials, report } = this.options;
    this.comparison = compareTrials(manifest, trials, found);
    const files = [
      ['compare.json', `${JSON.stringify(this.comparison, null, 2)}\n`],
      ['compare.md', comparisonMarkdown(this.comparison)],
      ['compare.svg', plotComparison(this.comparison)],
    ] as const;
    await mkdir(report, { recursive: true });
    for (const [name, text] of files) await writeFileAtomic(join(report, name), [Buffer.from(text)]);
  };
}
