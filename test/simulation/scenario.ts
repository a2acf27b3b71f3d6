/** What a seed stands for: a model, a placement, workers, and which faults come how often. */

import { seededRandom } from '../support/seeded-random.ts';
import type { ModelOptions } from './model.ts';

const FAULT_KINDS = [
  'killWorker',
  'killEngine',
  'killCoordinator',
  'killCoordinatorAtDisk',
  'killEngineAtDisk',
  'losePowerCoordinator',
  'losePowerWorker',
  'losePowerEverywhere',
  'cutBoth',
  'cutToWorker',
  'cutToCoordinator',
  'breakStreams',
  'pauseWorker',
  'pauseCoordinator',
  'drain',
  'join',
  'fullLocal',
  'fullShared',
  'failLocal',
  'failShared',
  'clockJump',
  'secondCoordinator',
  'cancel',
  'forget',
  'rot',
  'joinOther',
] as const;

/** Drawn by themselves: a life of a seed that has none of them is what it was before there were any. */
const LATER_FAULT_KINDS = ['echo', 'pauseEngine'] as const;

export type FaultKind = (typeof FAULT_KINDS)[number] | (typeof LATER_FAULT_KINDS)[number] | 'hiccups';

export interface Scenario {
  readonly seed: number;
  readonly model: ModelOptions;
  /** Milliseconds that one sample takes through one layer, a worker. */
  readonly workers: readonly number[];
  readonly faults: readonly FaultKind[];
  /** Between two faults, on average. */
  readonly faultEveryMs: number;
  /** No faults after this. */
  readonly calmAfterMs: number;
  /** Chance of a message to come twice or too early. */
  readonly unruly: number;
  /** The task that kills every engine, until somebody mends it. */
  readonly poisonedLayer: number | null;
  /** The job keeps its Hessians for later ones; none of those is simulated. */
  readonly keepsHessians: boolean;
}

export function scenarioOf(seed: number): Scenario {
  const random = seededRandom(seed * 7919 + 1);
  const whole = (least: number, most: number): number => least + Math.floor(random() * (most - least + 1));
  const layers = whole(1, 6);
  const samples = whole(1, 8);
  const stages = random() < 0.4 ? 'auto' : whole(1, Math.min(3, layers));
  const chance = random() * 0.5 + 0.1;
  // What a quiet run of one worker takes, about.
  const quietMs = 5_000 * 2 ** whole(0, 4);
  const sampleMs = quietMs / (2 * layers * samples);
  return {
    seed,
    model: {
      layers,
      samples,
      microbatch: whole(1, 3),
      propagate: random() < 0.6 ? 'pruned' : 'dense',
      stages,
      replicas: random() < 0.5 ? 'auto' : whole(1, 3),
      snapshotInterval: random() < 0.5 ? 'auto' : whole(1, 4),
      // Drawn by no chance: the lives in BUGS.md stay what they were.
      method: seed % 6 === 4 ? 'sparsegpt' : 'wanda',
      texts: seed % 3 === 2 ? 1 + (seed % 2) : 0,
      layerwise: seed % 7 === 6,
    },
    workers: Array.from({ length: whole(1, 5) }, () => sampleMs * (0.5 + random() * (random() < 0.2 ? 10 : 1))),
    faults: faultsOf(seed, random, chance),
    faultEveryMs: 500 * 2 ** whole(0, 5),
    calmAfterMs: 1_000 * whole(10, 120),
    unruly: random() < 0.3 ? 0.05 : 0,
    poisonedLayer: random() < 0.05 ? whole(0, layers - 1) : null,
    // Of the lives with SparseGPT every second; not drawn, as the method.
    keepsHessians: seed % 12 === 10,
  };
}

/** Some lives are quiet, and in some workers only come and go: these have promises of their own. */
function faultsOf(seed: number, random: () => number, chance: number): readonly FaultKind[] {
  if (seed % 20 === 0) return [];
  if (seed % 20 === 1) return ['drain', 'join'];
  const later = seededRandom(seed * 7919 + 2);
  const drawn: readonly FaultKind[] = [
    ...FAULT_KINDS.filter(() => random() < chance),
    ...LATER_FAULT_KINDS.filter(() => later() < chance),
  ];
  // Not drawn: the other lives stay those that the table of bugs speaks of.
  return seed % 5 === 3 ? [...drawn, 'hiccups'] : drawn;
}
