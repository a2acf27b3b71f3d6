/** What a job would do, and on what: for `plan`, with a coordinator or without. Reads the inputs, changes nothing. */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import type { Alternative } from '../core/choose-placement.ts';
import type { CostParts } from '../core/cost-model.ts';
import { placeJob } from '../core/plan.ts';
import { mapShards, type ShardMap } from '../core/shard-map.ts';
import type { JobIntake, Plan } from '../core/state.ts';
import type { PlannedWorker } from '../core/worker-rates.ts';
import { destinationProblem, type PhaseOf } from './claim-output.ts';
import { outputPaths } from './job-paths.ts';
import { readIntake } from './read-intake.ts';

/** More than anybody compares; with a thousand workers there are hundreds. */
const ALTERNATIVES_TOLD_MAX = 32;

/** A placement that could be, in numbers; of the worker that needs the most. */
export interface PreviewedPlacement {
  readonly stages: number;
  readonly replicas: number;
  readonly wave: number | null;
  readonly snapshotInterval: number;
  readonly isAllowed: boolean;
  readonly isChosen: boolean;
  readonly note: string;
  readonly totalMs: number;
  /** Of totalMs; what is missing to it is overhead. */
  readonly elapsed: Readonly<CostParts>;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly bytesOverNetwork: number;
  readonly workerMemoryBytes: number;
  readonly deviceMemoryBytes: number;
  /** With one sample in a run. */
  readonly deviceMemoryLeastBytes: number;
  readonly workerDiskBytes: number;
  readonly destinationBytes: number;
}

/** What the chosen placement asks of one worker. */
export interface PreviewedWorker extends PlannedWorker {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly memoryBytes: number;
  readonly deviceMemoryBytes: number;
  readonly diskBytes: number;
}

export interface PlanPreview {
  readonly plan: Plan;
  readonly intake: JobIntake;
  readonly propagate: 'pruned' | 'dense';
  /** Those that are there; one that has nothing to do needs nothing. */
  readonly workers: readonly PreviewedWorker[];
  /** The chosen one first; none while nobody knows how much calibration data there is. */
  readonly alternatives: readonly PreviewedPlacement[];
  readonly shardMap: ShardMap | null;
  readonly destination: Destination;
}

export interface Destination {
  /** On its file system. */
  readonly freeBytes: number;
  /** What a job that began now would be refused for there, or fail over. */
  readonly problem: string | null;
}

/**
 * A destination that cannot be taken is no error: a plan writes nothing, and is of use all the same.
 *
 * @throws what `readIntake` and the plan would
 */
export async function previewPlan(
  manifest: Manifest,
  workers: readonly PlannedWorker[],
  phaseOf: PhaseOf,
): Promise<PlanPreview> {
  const intake = await readIntake(manifest);
  const { outputDirectory } = intake;
  const problem = await destinationProblem(outputPaths(outputDirectory), phaseOf);
  return toPreview(manifest, intake, workers, { freeBytes: await freeBytesAt(outputDirectory), problem });
}

/** Pure: what is left once the inputs are read. */
export function toPreview(
  manifest: Manifest,
  intake: JobIntake,
  workers: readonly PlannedWorker[],
  destination: Destination,
): PlanPreview {
  const { plan, choice } = placeJob(manifest, intake, workers);
  const names = workers.map((worker) => worker.name);
  const microbatches = Math.ceil((plan.samples ?? 0) / plan.microbatch);
  return {
    plan,
    intake,
    propagate: manifest.spec.pruning.propagate,
    workers: workers.map((worker, index) => ({ ...worker, ...askedOf(choice?.chosen, index) })),
    alternatives: (choice?.alternatives ?? []).slice(0, ALTERNATIVES_TOLD_MAX).map(inNumbers),
    shardMap: choice && mapShards(choice.chosen, intake, plan.outputShards, microbatches, names),
    destination,
  };
}

function askedOf(chosen: Alternative | undefined, worker: number): Omit<PreviewedWorker, keyof PlannedWorker> {
  const nothing = { bytesRead: 0, bytesWritten: 0, memoryBytes: 0, deviceMemoryBytes: 0, diskBytes: 0 };
  const found = chosen?.cost.workers.find((cost) => cost.worker === worker);
  if (found === undefined) return nothing;
  const { bytesRead, bytesWritten, memoryBytes, deviceMemoryBytes, diskBytes } = found;
  return { bytesRead, bytesWritten, memoryBytes, deviceMemoryBytes, diskBytes };
}

function inNumbers({ stages, replicas, wave, cost, isAllowed, isChosen, note }: Alternative): PreviewedPlacement {
  const most = (of: (worker: Alternative['cost']['workers'][number]) => number): number =>
    Math.max(...cost.workers.map(of));
  const { snapshotInterval, totalMs, elapsed, bytesRead, bytesWritten, bytesOverNetwork, destinationBytes } = cost;
  return {
    stages: stages.length,
    replicas,
    wave,
    snapshotInterval,
    isAllowed,
    isChosen,
    note,
    totalMs,
    elapsed,
    bytesRead,
    bytesWritten,
    bytesOverNetwork,
    workerMemoryBytes: most((worker) => worker.memoryBytes),
    deviceMemoryBytes: most((worker) => worker.deviceMemoryBytes),
    deviceMemoryLeastBytes: most((worker) => worker.deviceMemoryLeastBytes),
    workerDiskBytes: most((worker) => worker.diskBytes),
    destinationBytes,
  };
}

/** On the file system that a folder is, or will be, on. */
async function freeBytesAt(directory: string): Promise<number> {
  for (let path = directory; ; path = dirname(path)) {
    try {
      const found = await statfs(path);
      return found.bavail * found.bsize;
    } catch (thrown) {
      if (path === dirname(path)) throw toSecateurError(thrown);
    }
  }
}
