/** The cost model and the choice by it: what must hold of every job and every set of workers, and figures of one job. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AskedPlacement, choosePlacement, planStages } from '../../../coordinator/core/choose-placement.ts';
import { costOf, type PlacementCost } from '../../../coordinator/core/cost-model.ts';
import { type CostInputs, microbatchCount } from '../../../coordinator/core/layer-times.ts';
import { splitMicrobatches } from '../../../coordinator/core/split-microbatches.ts';
import { ratesOf } from '../../../coordinator/core/worker-rates.ts';
import { A100, LLAMA_65B, plannedWorkers, SMALL } from './planned-workers.ts';

const AUTO: AskedPlacement = { stages: 'auto', replicas: 'auto', snapshotInterval: 'auto' };

const inputs = fc
  .record({
    layerCount: fc.integer({ min: 1, max: 40 }),
    hiddenSize: fc.constantFrom(64, 512, 4096),
    samples: fc.integer({ min: 1, max: 200 }),
    sequenceLength: fc.constantFrom(16, 128, 2048),
    microbatch: fc.integer({ min: 1, max: 8 }),
    propagate: fc.constantFrom('pruned' as const, 'dense' as const),
  })
  .map((some): CostInputs => {
    const parametersPerLayer = 12 * some.hiddenSize ** 2;
    const bytes = 2 * parametersPerLayer * some.layerCount;
    return {
      ...SMALL,
      ...some,
      parametersPerLayer,
      bytesPerLayer: 2 * parametersPerLayer,
      intermediateSize: 3 * some.hiddenSize,
      attentionWidth: some.hiddenSize,
      sourceBytes: bytes,
      copiedBytes: bytes,
    };
  });

const orAuto = (most: number) => fc.oneof(fc.constant('auto' as const), fc.integer({ min: 1, max: most }));

describe('the choice', () => {
  it('is the least predicted time of what is allowed and fits', () => {
    fc.assert(
      fc.property(inputs, fc.integer({ min: 1, max: 20 }), orAuto(20), (job, workers, replicas) => {
        const { chosen, alternatives } = choosePlacement(job, plannedWorkers(workers), { ...AUTO, replicas });
        const could = alternatives.filter((each) => each.cost.problem === null && each.isAllowed);
        if (replicas !== 'auto') {
          const asked = alternatives.filter((each) => each.replicas === Math.min(replicas, workers));
          expect(could).toEqual(asked);
        }
        expect(alternatives.filter((each) => each.isChosen)).toEqual([chosen]);
        expect(chosen.cost.totalMs).toBe(Math.min(...could.map((each) => each.cost.totalMs)));
      }),
      { numRuns: 60 },
    );
  });

  it('keeps to what the manifest asks for', () => {
    const asked = fc.record({ stages: orAuto(40), replicas: orAuto(30), snapshotInterval: orAuto(60) });
    fc.assert(
      fc.property(inputs, fc.integer({ min: 1, max: 12 }), asked, (job, workers, given) => {
        const stages = given.stages === 'auto' ? given.stages : Math.min(given.stages, job.layerCount);
        const { chosen } = choosePlacement(job, plannedWorkers(workers), { ...given, stages });
        if (stages !== 'auto') expect(chosen.stages).toHaveLength(stages);
        if (given.replicas !== 'auto') expect(chosen.replicas).toBe(Math.min(given.replicas, workers));
        if (given.snapshotInterval !== 'auto') expect(chosen.cost.snapshotInterval).toBe(given.snapshotInterval);
        expect(chosen.cost.snapshotInterval).toBeGreaterThanOrEqual(1);
      }),
      { numRuns: 60 },
    );
  });

  it('weighs how fast the storage is: slow disks cost what they take, and are asked for snapshots less lightly', () => {
    const job = { ...LLAMA_65B, propagate: 'dense' as const };
    const chosenAt = (storageReadBytesPerSecond: number) =>
      choosePlacement(job, plannedWorkers(8, { ...A100, storageReadBytesPerSecond }), AUTO).chosen.cost;
    const [slow, fast] = [chosenAt(1e8), chosenAt(1e10)];
    // Eight replicas read all layers once each, from disks a hundred times as slow.
    const reads = 8 * job.layerCount * job.bytesPerLayer;
    expect(slow.work.load - fast.work.load).toBeCloseTo(1000 * (reads / 1e8 - reads / 1e10), -3);
    expect(slow.totalMs - fast.totalMs).toBeGreaterThan(1000 * (reads / 8 / 1e8 - reads / 8 / 1e10));
    // What is lost is the dearer to compute again.
    expect(slow.snapshotInterval).toBeLessThan(fast.snapshotInterval / 2);
  });

  it('of more equal workers never takes longer, where layers follow one another', () => {
    fc.assert(
      fc.property(inputs, fc.integer({ min: 1, max: 70 }), (job, workers) => {
        const pruned = { ...job, propagate: 'pruned' as const };
        const fewer = choosePlacement(pruned, plannedWorkers(workers), AUTO).chosen.cost.totalMs;
        const more = choosePlacement(pruned, plannedWorkers(workers + 1), AUTO).chosen.cost.totalMs;
        expect(more).toBeLessThanOrEqual(fewer * (1 + 1e-9));
      }),
      { numRuns: 60 },
    );
  });

  it('gives every layer to one stage, and every microbatch of a wave to one replica', () => {
    fc.assert(
      fc.property(inputs, fc.integer({ min: 1, max: 12 }), orAuto(40), (job, workers, asked) => {
        const stages = asked === 'auto' ? asked : Math.min(asked, job.layerCount);
        const { alternatives } = choosePlacement(job, plannedWorkers(workers), { ...AUTO, stages });
        for (const { stages: plan, wave, cost } of alternatives) {
          const layers = plan.flatMap(({ firstLayer, layerCount }) =>
            Array.from({ length: layerCount }, (_, index) => firstLayer + index),
          );
          expect(layers).toEqual(Array.from({ length: job.layerCount }, (_, layer) => layer));
          for (const shares of cost.shares) {
            expect(shares.reduce((sum, share) => sum + share.microbatches, 0)).toBe(wave ?? microbatchCount(job));
            expect(new Set(shares.map((share) => share.worker)).size).toBe(shares.length);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it('of stages without a number of replicas gives all workers to each, or of a pipeline spreads them', () => {
    const replicasOf = (workers: number, stages: number, propagate: 'pruned' | 'dense'): number =>
      choosePlacement({ ...SMALL, propagate }, plannedWorkers(workers), { ...AUTO, stages }).chosen.replicas;
    expect([replicasOf(4, 2, 'pruned'), replicasOf(5, 2, 'pruned'), replicasOf(1, 3, 'pruned')]).toEqual([4, 5, 1]);
    expect([replicasOf(4, 2, 'dense'), replicasOf(5, 2, 'dense'), replicasOf(1, 3, 'dense')]).toEqual([2, 2, 1]);
    const job = { ...SMALL, propagate: 'dense' as const };
    const { alternatives } = choosePlacement(job, plannedWorkers(4), { ...AUTO, stages: 2 });
    const all = alternatives.find((each) => each.stages.length === 2 && each.replicas === 4);
    expect(all?.note).toBe('needs spec.placement.replicas: 4');
  });

  it('of stages that follow one another is as fast as of one, but for what they hand over', () => {
    const timeOf = (stages: number): number => {
      const { cost } = choosePlacement(SMALL, plannedWorkers(4), { ...AUTO, stages }).chosen;
      return cost.totalMs - cost.elapsed.snapshot;
    };
    expect(timeOf(3)).toBeCloseTo(timeOf(1), 6);
  });

  it('of more stages than layers is refused with both numbers', () => {
    expect(() => choosePlacement(SMALL, plannedWorkers(2), { ...AUTO, stages: 13 })).toThrow(/at most 12.*found 13/);
  });

  it('goes by what workers measured: one that computes ten times as fast gets ten times as much', () => {
    const [fast, slow] = [plannedWorkers(1, { computeFlops: 8e12 }), plannedWorkers(1)];
    const { chosen } = choosePlacement(LLAMA_65B, [...slow, ...fast], { ...AUTO, replicas: 2 });
    const shares = new Map(chosen.cost.shares[0]?.map((share) => [share.worker, share.microbatches]));
    expect(shares.get(1)! / shares.get(0)!).toBeGreaterThan(8);
    expect(shares.get(1)! / shares.get(0)!).toBeLessThan(12);
  });

  it('is finite for workers that measured nothing, or nonsense', () => {
    for (const figure of [0, Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      const unknown = {
        threads: 0,
        memoryBytes: 0,
        storageReadBytesPerSecond: figure,
        storageWriteBytesPerSecond: figure,
        computeFlops: figure,
        deviceMemoryBytes: figure,
      };
      const { cost } = choosePlacement(SMALL, plannedWorkers(3, unknown), AUTO).chosen;
      expect(Number.isFinite(cost.totalMs)).toBe(true);
      expect(cost.problem).toBeNull();
    }
    expect(choosePlacement(SMALL, [], AUTO).chosen.replicas).toBe(1);
  });
});

describe('memory', () => {
  it('that a worker lacks rules a placement out, by its name; more replicas hold less each', () => {
    // 14 GiB: beside three copies of the layer there is room for a part of the 8.6 GB of hidden states, not for all.
    const workers = plannedWorkers(4, { memoryBytes: 14 * 2 ** 30 });
    const { chosen, alternatives } = choosePlacement(LLAMA_65B, workers, AUTO);
    expect(chosen.cost.problem).toBeNull();
    expect(chosen.replicas).toBe(4);
    const alone = alternatives.find((each) => each.stages.length === 1 && each.replicas === 1);
    expect(alone?.note).toMatch(
      /^does not fit the memory of w1: about \d+\.\d GiB, and its share of its host's is 14\.0 GiB$/,
    );
  });

  it('of a host is shared by its workers', () => {
    const host = { host: 'one', memoryBytes: 28 * 2 ** 30 };
    const apart = choosePlacement(LLAMA_65B, plannedWorkers(2, { memoryBytes: 28 * 2 ** 30 }), AUTO);
    const together = choosePlacement(LLAMA_65B, plannedWorkers(2, host), AUTO);
    expect(apart.chosen.cost.problem).toBeNull();
    expect(together.chosen.cost.problem).toContain("share of its host's is 14.0 GiB");
  });

  it('that nobody has enough of leaves the placement that needs the least, and says so', () => {
    const { chosen, alternatives } = choosePlacement(LLAMA_65B, plannedWorkers(2, { memoryBytes: 1e9 }), AUTO);
    expect(chosen.note).toContain('chosen, though it does not fit the memory of w1');
    const needs = alternatives.map((each) => Math.max(...each.cost.workers.map((worker) => worker.memoryBytes)));
    expect(needs[0]).toBe(Math.min(...needs));
  });

  it('of a device counts for a worker that computes on it', () => {
    const { chosen } = choosePlacement(LLAMA_65B, plannedWorkers(2, { ...A100, deviceMemoryBytes: 2e9 }), AUTO);
    expect(chosen.cost.problem).toContain('does not fit the device of w1');
  });

  it('is what makes a dense job a pipeline: a stage holds one wave, a replica its share of everything', () => {
    const job = { ...LLAMA_65B, propagate: 'dense' as const, samples: 2048 };
    const asked = { ...AUTO, snapshotInterval: job.layerCount };
    const roomy = choosePlacement(job, plannedWorkers(4, { memoryBytes: 512e9 }), asked).chosen;
    const tight = choosePlacement(job, plannedWorkers(4, { memoryBytes: 24e9 }), asked).chosen;
    expect([roomy.stages.length, roomy.replicas, roomy.wave]).toEqual([1, 4, null]);
    expect(tight.cost.problem).toBeNull();
    expect(tight.stages.length).toBeGreaterThan(1);
    expect(tight.wave).toBeLessThan(microbatchCount(job));
  });
});

describe('a method that needs Hessians', () => {
  const HESSIANS = { ...LLAMA_65B, hessianWidths: [8192, 8192, 8192, 22016] };
  const workers = plannedWorkers(4, { memoryBytes: 512e9 });

  it('costs a pass more, the products and the factors, and the memory of a layer’s Hessians', () => {
    const without = choosePlacement(LLAMA_65B, workers, AUTO).chosen.cost;
    const { cost } = choosePlacement(HESSIANS, workers, AUTO).chosen;
    // Calibrate twice and forward instead of each once, and 2048 tokens x Σ I² on top of 2 x 2048 tokens x weights.
    expect(cost.work.compute / without.work.compute).toBeGreaterThan(1.4);
    // 2/3 Σ I³ + O I² are 3e13 operations a layer: minutes on a CPU.
    expect(cost.work.prune).toBeGreaterThan(10 * without.work.prune);
    const memoryOf = ({ workers }: typeof cost) => Math.max(...workers.map((worker) => worker.memoryBytes));
    expect(memoryOf(cost) - memoryOf(without)).toBeGreaterThan(1.37e9);
    expect(memoryOf(cost) - memoryOf(without)).toBeLessThan(2e9);
  });

  it('has no pipeline with propagate: dense either, and one pass fewer there', () => {
    const dense = { ...HESSIANS, propagate: 'dense' as const };
    const { chosen, alternatives } = choosePlacement(dense, workers, { ...AUTO, stages: 4 });
    expect([chosen.wave, ...alternatives.map(({ wave }) => wave)].every((wave) => wave === null)).toBe(true);
    const pruned = choosePlacement(HESSIANS, workers, { ...AUTO, stages: 4 }).chosen;
    expect(chosen.cost.elapsed.compute).toBeLessThan(pruned.cost.elapsed.compute);
  });
});

describe('LLaMA-65B, computed in float32 on eight workers like an A100', () => {
  const device = { ...LLAMA_65B.device, dtype: 'F32', weights: 2 * LLAMA_65B.device.weights } as const;
  const { chosen, alternatives } = choosePlacement({ ...LLAMA_65B, device }, plannedWorkers(8, A100), AUTO);
  const minutes = chosen.cost.totalMs / 60_000;

  it('takes a quarter of an hour or so, on one stage of eight replicas', () => {
    // 128 x 2048 tokens through 0.81e9 weights are 4.3e14 operations; a sixteenth of the rate in 16 bits, 12e12 a second, and eight workers make 4.5 s of it,
    // less for the calibration: about 8 s a layer. Two loads of 1.6 GB at 2 GB/s and over PCIe are 2 s, pruning 2.5 s,
    // and there are 80 layers: 17 minutes. Digests and 130 GB of copying by the coordinator come on top.
    expect([chosen.stages.length, chosen.replicas]).toEqual([1, 8]);
    expect(minutes).toBeGreaterThan(12);
    expect(minutes).toBeLessThan(30);
  });

  it('gains most of eight from sharing samples, and nothing from sharing layers', () => {
    const timeOf = (stages: number, replicas: number): number =>
      alternatives.find((each) => each.stages.length === stages && each.replicas === replicas)!.cost.totalMs;
    expect(timeOf(1, 1) / timeOf(1, 8)).toBeGreaterThan(3.5);
    expect(timeOf(8, 1)).toBeGreaterThanOrEqual(timeOf(1, 1));
  });

  it('writes a snapshot every ten or twenty layers: a gigabyte a worker against a loss every three hours', () => {
    expect(chosen.cost.snapshotInterval).toBeGreaterThan(5);
    expect(chosen.cost.snapshotInterval).toBeLessThan(40);
  });

  it('needs an eighth of the hidden states on each host, and one layer in float32 on the device', () => {
    const [worker] = chosen.cost.workers;
    expect(worker?.memoryBytes).toBeLessThan(5e9);
    expect(worker?.deviceMemoryBytes).toBeGreaterThan(3.2e9);
    expect(worker?.deviceMemoryBytes).toBeLessThan(8e9);
  });
});

describe('LLaMA-65B, computed in 16 bits on workers like an A100', () => {
  const job = { ...LLAMA_65B, microbatch: 4 };
  const { weights, sample } = job.device;
  const planned = (deviceMemoryBytes: number) =>
    choosePlacement(job, plannedWorkers(8, { ...A100, deviceMemoryBytes }), AUTO).chosen.cost;

  it('computes in a sixteenth of the time of float32, but for what goes to the device and back', () => {
    const float32 = { ...job, device: { ...job.device, dtype: 'F32' } } as const;
    const slow = choosePlacement(float32, plannedWorkers(8, A100), AUTO).chosen.cost;
    expect(slow.work.compute / planned(80e9).work.compute).toBeGreaterThan(5);
    expect(slow.work.compute / planned(80e9).work.compute).toBeLessThan(16);
  });

  it('needs on the device the weights as they are, and the activations of a microbatch', () => {
    expect(planned(80e9).workers[0]).toMatchObject({
      deviceMemoryBytes: 1e9 + weights + 4 * sample,
      deviceMemoryLeastBytes: 1e9 + weights + sample,
    });
  });

  it('fits a device that has the memory for one sample: a microbatch is halved there', () => {
    expect(planned(1e9 + weights + sample).problem).toBeNull();
    expect(planned(1e9 + weights + sample - 1).problem).toMatch(
      /^does not fit the device of w1: about \d\.\d GiB with one sample, and it has \d\.\d GiB$/,
    );
  });
});

describe('one placement', () => {
  /** Equal workers on a machine on which only what is asked about takes time. */
  const costing = (
    job: CostInputs,
    workers: number,
    placement: { stages: number; replicas: number; wave?: number },
  ): PlacementCost => {
    const { stages, replicas, wave = microbatchCount(job) } = placement;
    const all = { stages: planStages(stages, job.layerCount), replicas, wave, snapshotInterval: job.layerCount };
    return costOf(job, ratesOf(plannedWorkers(workers)), all);
  };

  it('calibrates without the last linear and runs forward with all of them, but behind the last layer', () => {
    // Four weights of a layer in sixteen are the last linear's: 12 + 16 sixteenths of every layer, less one forward pass.
    const job = { ...SMALL, layerCount: 4, intermediateSize: 3 * 1024, attentionWidth: 0, sequenceLength: 4096 };
    const weights = 12 * 1024 * 1024;
    const { work } = costing({ ...job, parametersPerLayer: weights }, 1, { stages: 1, replicas: 1 });
    const dense = costing({ ...job, parametersPerLayer: weights, propagate: 'dense' }, 1, { stages: 1, replicas: 1 });
    // A dense job passes every layer once, with all its weights.
    expect(work.compute / dense.work.compute).toBeCloseTo((4 * 0.75 + 3) / 4, 2);
  });

  it('of a dense pipeline takes as many steps as it has waves, and one less than stages to fill it', () => {
    const job = { ...SMALL, propagate: 'dense' as const };
    const one = costing(job, 1, { stages: 1, replicas: 1 });
    // 12 layers on 4 stages; 32 microbatches in 8 waves: 8 + 3 steps of 3 layers and 4 microbatches.
    const pipeline = costing(job, 4, { stages: 4, replicas: 1, wave: 4 });
    expect(pipeline.elapsed.compute / one.elapsed.compute).toBeCloseTo((11 * 3 * 4) / (12 * 32), 9);
    expect(pipeline.elapsed.load / one.elapsed.load).toBeCloseTo((11 * 3) / 12, 9);
    // The work is the same, but for the layers that are loaded once more for every wave.
    expect(pipeline.work.compute).toBeCloseTo(one.work.compute, 6);
    expect(pipeline.work.load / one.work.load).toBeCloseTo(8, 9);
    // Stages that have to share one worker do not run side by side.
    const alone = costing(job, 1, { stages: 4, replicas: 1, wave: 4 });
    expect(alone.elapsed.compute).toBeCloseTo(one.elapsed.compute, 6);
  });

  it('counts the bytes: source for two passes, for pruning and its digest; layers and the assembled shards written', () => {
    const { layerCount, bytesPerLayer, sourceBytes, copiedBytes } = SMALL;
    const { bytesRead, bytesWritten, destinationBytes } = costing(SMALL, 1, { stages: 1, replicas: 1 });
    const passes = 2 * layerCount - 1;
    expect(bytesRead).toBe((passes + 2 * layerCount) * bytesPerLayer + sourceBytes + copiedBytes);
    expect(bytesWritten).toBe(layerCount * bytesPerLayer + copiedBytes);
    expect(destinationBytes).toBe(layerCount * bytesPerLayer + copiedBytes);
  });

  it('keeps two snapshots at most at the destination', () => {
    const hiddenBytes = SMALL.samples * SMALL.sequenceLength * SMALL.hiddenSize * 4;
    const at = (stages: number): number => costing(SMALL, 1, { stages, replicas: 1 }).destinationBytes;
    expect([2, 3, 6].map((stages) => (at(stages) - at(1)) / hiddenBytes)).toEqual([1, 2, 2]);
  });
});

describe('snapshots', () => {
  it('are not worth writing in a run of seconds', () => {
    const { cost } = choosePlacement(SMALL, plannedWorkers(2), AUTO).chosen;
    expect(cost.snapshotInterval).toBe(SMALL.layerCount);
    expect(cost.elapsed.snapshot).toBe(0);
  });

  it('cost what is asked for: at every layer but the last, and no more where a stage ends', () => {
    const at = (stages: number, snapshotInterval: number): number =>
      choosePlacement(SMALL, plannedWorkers(1), { stages, replicas: 1, snapshotInterval }).chosen.cost.work.snapshot;
    const reads = at(2, 1) - at(1, 1);
    expect(at(1, 1) / at(1, 11)).toBeCloseTo(11, 6);
    expect(at(1, 12)).toBe(0);
    // Boundary 6 is written once, whether it is a multiple, an end, or both.
    expect(at(2, 12) - reads).toBeCloseTo(at(1, 11), 6);
    expect(at(2, 6)).toBeCloseTo(at(2, 12), 6);
  });
});

describe('microbatches', () => {
  it('are split so that the last worker ends as early as any split lets it', () => {
    const speeds = fc.array(
      fc.record({ load: fc.integer({ min: 0, max: 50 }), each: fc.integer({ min: 1, max: 20 }) }),
      { minLength: 1, maxLength: 4 },
    );
    const end = (shares: readonly number[], workers: readonly { load: number; each: number }[]): number =>
      Math.max(...shares.map((share, at) => (share === 0 ? 0 : workers[at]!.load + share * workers[at]!.each)));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), speeds, (count, workers) => {
        const shares = splitMicrobatches(
          count,
          workers.map((worker) => worker.load),
          workers.map((worker) => worker.each),
        );
        expect(shares.reduce((sum, share) => sum + share, 0)).toBe(count);
        expect(end(shares, workers)).toBe(Math.min(...splits(count, workers.length).map((each) => end(each, workers))));
      }),
    );
  });
});

/** Every way to give `count` to so many. */
function splits(count: number, workers: number): number[][] {
  if (workers === 1) return [[count]];
  return Array.from({ length: count + 1 }, (_, first) =>
    splits(count - first, workers - 1).map((rest) => [first, ...rest]),
  ).flat();
}
