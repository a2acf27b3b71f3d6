/** Which snapshots nobody needs: by the definition, layer by layer, and as the core finds it. */
import { describe, expect, it } from 'vitest';
import { allMicrobatches, calibratedAt, correlatedAt, needlessSnapshots } from '../../../coordinator/core/lineage.ts';
import type { JobState, LayerState, Snapshot } from '../../../coordinator/core/state.ts';
import { intersection, membersOf, setOfMembers } from '../../../shared/microbatch-set.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const COUNT = 6;
const MICROBATCHES = [...Array(COUNT).keys()];

function jobOf(
  layers: Partial<LayerState>[],
  snapshots: Pick<Snapshot, 'boundary' | 'microbatches'>[],
  method = 'wanda',
): JobState {
  const manifest = { spec: { pruning: { method } } };
  return {
    manifest,
    calibration: { samples: COUNT },
    plan: { microbatch: 1 },
    layers,
    snapshots,
  } as unknown as JobState;
}

function anyJob(random: () => number, method: string): JobState {
  const some = (chance: number) => setOfMembers(MICROBATCHES.filter(() => random() < chance));
  const committed = Math.floor(random() * 6);
  const layers = Array.from({ length: 8 }, (_, layer): Partial<LayerState> => {
    const parts = random() < 0.5 ? [] : [{ microbatches: some(0.5) }, { microbatches: some(0.3) }];
    const hessians = random() < 0.5 ? [] : [{ microbatches: some(0.5) }];
    const status = random() < 0.3 && method === 'sparsegpt' ? 'correlating' : 'pending';
    return {
      status: layer < committed ? 'committed' : status,
      parts: parts as never,
      hessians: hessians as never,
    };
  });
  const boundaries = [1, 2, 3, 5, 7].filter(() => random() < 0.6);
  return jobOf(
    layers,
    boundaries.map((boundary) => ({ boundary, microbatches: some(0.7) })),
    method,
  );
}

/**
 * A snapshot of a microbatch is needed if it is the nearest below some layer that lacks the microbatch's statistics, or its
 * Hessians where the method needs them.
 */
function neededByDefinition(job: JobState): Set<string> {
  const needed = new Set<string>();
  for (const layer of job.layers.keys()) {
    const needsHessian = job.manifest.spec.pruning.method === 'sparsegpt';
    const known = calibratedAt(job, layer);
    const calibrated = new Set(membersOf(needsHessian ? intersection(known, correlatedAt(job, layer)) : known));
    for (const microbatch of membersOf(allMicrobatches(job))) {
      if (calibrated.has(microbatch)) continue;
      const nearest = job.snapshots.findLast(
        ({ boundary, microbatches }) => boundary <= layer && [...membersOf(microbatches)].includes(microbatch),
      );
      if (nearest !== undefined) needed.add(`${nearest.boundary}/${microbatch}`);
    }
  }
  return needed;
}

describe('needlessSnapshots', () => {
  it.each(['wanda', 'sparsegpt'])(
    'are those that are not the nearest to any layer that is yet to be measured with their microbatches (%s)',
    (method) => {
      const random = seededRandom(1);
      let found = 0;
      for (let round = 0; round < 2_000; round++) {
        const job = anyJob(random, method);
        const needed = neededByDefinition(job);
        const all = job.snapshots.flatMap(({ boundary, microbatches }) =>
          [...membersOf(microbatches)].map((microbatch) => `${boundary}/${microbatch}`),
        );
        const needless = needlessSnapshots(job).flatMap(({ boundary, microbatches }) =>
          [...membersOf(microbatches)].map((microbatch) => `${boundary}/${microbatch}`),
        );
        expect(needless).toEqual(all.filter((each) => !needed.has(each)));
        found += needless.length;
      }
      expect(found).toBeGreaterThan(1_000);
    },
  );

  it('are found without a look at every layer: each pass that ends asks for them', () => {
    let looks = 0;
    const pending = Array.from({ length: 80 }, (): Partial<LayerState> => {
      return {
        get status() {
          looks += 1;
          return 'pending' as const;
        },
        parts: [],
      };
    });
    const snapshots = [0, 20, 40].map((boundary) => ({ boundary, microbatches: setOfMembers(MICROBATCHES) }));
    expect(needlessSnapshots(jobOf(pending, snapshots))).toEqual([]);
    expect(looks).toBeLessThanOrEqual(2 * snapshots.length);
  });
});
