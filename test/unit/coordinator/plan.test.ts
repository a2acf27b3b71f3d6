import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planStages } from '../../../coordinator/core/choose-placement.ts';
import { planJob, planOutputShards, resolveMicrobatch } from '../../../coordinator/core/plan.ts';
import type { JobIntake, LinearIntake, TensorSlot } from '../../../coordinator/core/state.ts';
import type { PlannedWorker } from '../../../coordinator/core/worker-rates.ts';
import type { LinearChoice } from '../../../shared/manifest/select-linears.ts';
import { DEVICE_BASE_BYTES, layerDeviceBytes } from '../../../shared/onnx/device-memory.ts';
import { fakeIntake, fakeManifest } from '../../simulation/cluster.ts';
import { A100, plannedWorkers } from './planned-workers.ts';

const capabilities = (worker: PlannedWorker) => worker.capabilities;

describe('stages', () => {
  it('cover every layer once, in order, and differ by at most one layer', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 64 }), (layers, asked) => {
        const count = Math.min(asked, layers);
        const stages = planStages(count, layers);
        expect(
          stages.flatMap((stage) => Array.from({ length: stage.layerCount }, (_, index) => stage.firstLayer + index)),
        ).toEqual(Array.from({ length: layers }, (_, layer) => layer));
        const sizes = stages.map((stage) => stage.layerCount);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        expect(stages.length).toBe(count);
      }),
    );
  });
});

describe('a plan', () => {
  const manifest = fakeManifest({ propagate: 'pruned', stages: 'auto', microbatch: 'auto' });

  it('has its prediction as soon as the manifest says how much calibration data there is', () => {
    const { prediction, replicas, replicasMax } = planJob(manifest, fakeIntake(4), plannedWorkers(2).map(capabilities));
    expect(prediction?.totalMs).toBeGreaterThan(0);
    expect([replicas, replicasMax]).toEqual([1, null]);
  });

  it('of token ids whose number nobody knows yet has none, and what is asked for', () => {
    const { spec } = manifest;
    const calibration = { tokens: 'file:///ids.safetensors', microbatch: 'auto' as const };
    const placement = { stages: 2, replicas: 3, snapshotInterval: 'auto' as const };
    const plan = planJob({ ...manifest, spec: { ...spec, calibration, placement } }, fakeIntake(4), []);
    expect(plan).toMatchObject({ prediction: null, replicas: 1, replicasMax: 3, wave: null, snapshotInterval: 4 });
    expect(plan.stages).toHaveLength(2);
  });
});

describe('pruning', () => {
  const [OUT, IN, LAYERS] = [4096, 4096, 4];
  const HALF = { kind: 'unstructured', sparsity: 0.5 } as const;
  const KEPT = { kind: 'keepAll' } as const;
  const pattern = (keep: number, group: number) => ({ kind: 'pattern', keep, group }) as const;

  /** Two linears a layer. */
  function intakeOf(dtype: 'BF16' | 'F16' | 'F32', choices: readonly [LinearChoice, LinearChoice]): JobIntake {
    const intake = fakeIntake(LAYERS);
    const layers = intake.layers.map(({ linears: [linear], tensors: [tensor] }, layer) => ({
      linears: choices.map((choice, index) => {
        const own = { tensor: `l${layer}.${index}`, outFeatures: OUT, inFeatures: IN, choice };
        return { ...(linear as LinearIntake), ...own };
      }),
      tensors: [{ ...(tensor as TensorSlot), dtype }],
    }));
    return { ...intake, layers };
  }

  function pruneMs(pruning: object, choice: LinearChoice, dtype: 'BF16' | 'F16' | 'F32' = 'BF16', other = choice) {
    const { spec, ...rest } = fakeManifest({ propagate: 'pruned', stages: 1 });
    const manifest = { ...rest, spec: { ...spec, pruning: { ...spec.pruning, ...pruning } } };
    const workers = plannedWorkers(1, { threads: 2 }).map(capabilities);
    return planJob(manifest, intakeOf(dtype, [choice, other]), workers).prediction?.pruneMs ?? Number.NaN;
  }

  /** Of what is written anyway nothing is left. */
  const choosingMs = (...args: Parameters<typeof pruneMs>) => pruneMs(...args) - pruneMs({}, KEPT, args[2]);

  it('is predicted by what the method costs, with its options and amounts', () => {
    const order = [
      pruneMs({}, KEPT),
      pruneMs({ method: 'magnitude', scope: 'row' }, HALF),
      pruneMs({ method: 'wanda' }, HALF),
      pruneMs({ method: 'magnitude', scope: 'matrix' }, HALF),
      pruneMs({ method: 'random' }, pattern(2, 4)),
      pruneMs({ method: 'random' }, HALF),
      pruneMs({ method: 'ria', scope: 'row' }, HALF),
      pruneMs({ method: 'ria', scope: 'matrix' }, HALF),
      pruneMs({ method: 'wanda' }, pattern(8, 16)),
      pruneMs({ method: 'wanda', variant: 'cumulative' }, HALF),
    ];
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(new Set(order).size).toBe(order.length);
  });

  it('of groups of 4 and of 8 costs the same, of others more; scope is the matrix unless said', () => {
    for (const method of ['wanda', 'magnitude', 'ria', 'random']) {
      expect(pruneMs({ method }, pattern(4, 8))).toBe(pruneMs({ method }, pattern(2, 4)));
      expect(pruneMs({ method }, pattern(1, 2))).toBeGreaterThan(pruneMs({ method }, pattern(2, 4)));
    }
    expect(pruneMs({ method: 'ria' }, HALF)).toBe(pruneMs({ method: 'ria', scope: 'matrix' }, HALF));
    expect(pruneMs({ method: 'wanda' }, HALF, 'F32')).toBeGreaterThan(pruneMs({ method: 'wanda' }, HALF, 'F16'));
  });

  it('of linears that are kept is a copy', () => {
    const [whole, half] = [choosingMs({}, HALF), choosingMs({}, HALF, 'BF16', KEPT)];
    expect(half).toBeCloseTo(whole / 2, 6);
  });
});

describe('a microbatch', () => {
  const auto = fakeManifest({ propagate: 'pruned', stages: 1, microbatch: 'auto' });

  it.each([
    [128, 2048, 1, 'a long sequence is a run of its own'],
    [16, 128, 2, 'a few short ones make runs that are not too short'],
    [1024, 128, 16, 'many short ones fill a run up'],
    [100_000, 16, 128, 'and never more than that'],
    [128, 4096, 1, 'a sequence is never cut'],
  ])('of %d samples of %d tokens has %d: %s', (samples, sequenceLength, expected) => {
    expect(resolveMicrobatch({ manifest: auto, intake: null, plan: null }, samples, sequenceLength)).toBe(expected);
  });

  it('is no larger than what the smallest device is estimated to have memory for', () => {
    const microbatchOn = (...devices: number[]): number => {
      const { spec, ...rest } = auto;
      const calibration = { text: ['a.txt'], samples: 4096, sequenceLength: 512, seed: 0, microbatch: 'auto' } as const;
      const workers = devices.flatMap((deviceMemoryBytes) => plannedWorkers(1, { ...A100, deviceMemoryBytes }));
      return planJob({ ...rest, spec: { ...spec, calibration } }, fakeIntake(4), workers.map(capabilities)).microbatch;
    };
    const { model, layers } = fakeIntake(4);
    const storedBytes = layers[0]?.tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) ?? 0;
    const device = layerDeviceBytes({ model, sequenceLength: 512, computeDtype: 'F32', storedBytes, inputColumns: 0 });
    const enoughFor = (samples: number): number => DEVICE_BASE_BYTES + device.weights + samples * device.sample;
    expect([microbatchOn(80e9), microbatchOn(0), microbatchOn(80e9, enoughFor(2.5))]).toEqual([4, 4, 2]);
    expect([microbatchOn(enoughFor(1)), microbatchOn(1e9)]).toEqual([1, 1]);
  });
});

describe('output shards', () => {
  it('hold every tensor once in the order of the model, none above the limit unless it is alone', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 500 }), (layers, limit) => {
        const intake = fakeIntake(layers);
        const shards = planOutputShards(intake, limit);
        expect(shards.flatMap((shard) => shard.tensors)).toEqual([
          'embed',
          ...intake.layers.map((_, layer) => `l${layer}.w`),
          'head',
        ]);
        for (const shard of shards) expect(shard.sizeBytes <= limit || shard.tensors.length === 1).toBe(true);
        expect(new Set(shards.map((shard) => shard.file)).size).toBe(shards.length);
      }),
    );
  });

  it('a single one has no number in its name', () => {
    expect(planOutputShards(fakeIntake(2), 1e9).map((shard) => shard.file)).toEqual(['model.safetensors']);
    expect(planOutputShards(fakeIntake(2), 40).map((shard) => shard.file)[0]).toBe('model-00001-of-00004.safetensors');
  });
});
