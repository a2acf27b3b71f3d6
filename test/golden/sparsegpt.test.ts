/**
 * SparseGPT against the reference implementation (IST-DASLab/sparsegpt at 147d215), given its Hessians. A mask that
 * differs in one place changes the rest of its row: weights are compared in rows whose masks agree. fixtures/README.md.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';
import { SolverPool } from '../../worker/engine/solver-pool.ts';
import { widenWeight } from '../../worker/kernels/reference.ts';
import { prepareHessianFactor } from '../../worker/methods/sparsegpt/hessian-factor.ts';
import { pruneWithFactor } from '../../worker/methods/sparsegpt/prune-with-factor.ts';
import { type GoldenTensor, readSafetensors, tensorOf } from '../support/read-safetensors.ts';
import { compareWeights, sharedCopy } from '../support/sparsegpt-cases.ts';

const fixture = (path: string) => new URL(`./fixtures/${path}`, import.meta.url);
const json = <T>(path: string) => JSON.parse(readFileSync(fixture(path), 'utf8')) as T;

let solver: SolverPool;
beforeAll(async () => {
  solver = await SolverPool.create({ threads: 2 });
});
afterAll(() => solver.close());

function widen({ dtype, bytes }: GoldenTensor): Float32Array {
  if (dtype === 'F32') return new Float32Array(bytes.buffer);
  return Float32Array.from(new Uint16Array(bytes.buffer), (bits) => widenWeight(dtype as FloatDtype, bits));
}

interface PruneCase {
  readonly linear: string;
  readonly weights: Float32Array;
  readonly hessian: Float32Array;
  readonly choice: LinearChoice;
  readonly blockSize: number;
  readonly dampingFraction: number;
}

async function prune({ linear, weights, hessian, choice, blockSize, dampingFraction }: PruneCase) {
  const columns = Math.sqrt(hessian.length);
  const pruned = sharedCopy(weights);
  const factor = await prepareHessianFactor(
    { hessian: sharedCopy(hessian), columns, dampingFraction, layer: 0, linears: [linear] },
    solver,
  );
  const input = { layer: 0, linear, weights: pruned, rows: weights.length / columns, choice, blockSize };
  const { zeros } = await pruneWithFactor(input, factor, solver);
  return { pruned, zeros };
}

/** The reference's n:m prunes n of m. */
function choiceOf({ ratio, n, m }: { ratio: number; n: number; m: number }): LinearChoice {
  return m > 0 ? { kind: 'pattern', keep: m - n, group: m } : { kind: 'unstructured', sparsity: ratio };
}

function maskDifferenceMax(choice: LinearChoice): number {
  return choice.kind === 'pattern' ? 0.02 : 0.005;
}

interface UnitCase {
  readonly key: string;
  readonly case: string;
  readonly ratio: number;
  readonly n: number;
  readonly m: number;
  readonly cols: number;
  readonly blocksize: number;
  readonly percdamp: number;
  readonly zeros: number;
}

describe('unit cases', () => {
  const tensors = readSafetensors(fixture('unit/sparsegpt.safetensors'));
  const cases = json<UnitCase[]>('unit/sparsegpt.json');

  test('there are as many as were made', () => {
    expect(cases.length).toBe(16);
  });

  test.each(cases)('$key: the reference weights', async (each) => {
    const choice = choiceOf(each);
    const { pruned, zeros } = await prune({
      linear: each.case,
      weights: widen(tensorOf(tensors, `${each.case}/W`)),
      hessian: widen(tensorOf(tensors, `${each.case}/H`)),
      choice,
      blockSize: each.blocksize,
      dampingFraction: each.percdamp,
    });
    const { maskDiffers, rowsAgreed, relative } = compareWeights(pruned, widen(tensorOf(tensors, each.key)), each.cols);
    // In float64 none of these masks changes, so none may here.
    expect({ maskDiffers, zeros }).toEqual({ maskDiffers: 0, zeros: each.zeros });
    expect(rowsAgreed * each.cols).toBeGreaterThanOrEqual(0.95 * pruned.length);
    expect(relative).toBeLessThan(1e-4);
  });
});

describe('layer 0 of micro-llama', () => {
  const model = readSafetensors(new URL('../../examples/micro-llama/model/model.safetensors', import.meta.url));
  const hessians = readSafetensors(fixture('micro/sparsegpt/hessian_layer0.safetensors'));
  /** Linears with the same input share a Hessian: the first one's. */
  const hessianOf = {
    'self_attn.q_proj': 'self_attn.q_proj',
    'self_attn.k_proj': 'self_attn.q_proj',
    'self_attn.v_proj': 'self_attn.q_proj',
    'self_attn.o_proj': 'self_attn.o_proj',
    'mlp.gate_proj': 'mlp.gate_proj',
    'mlp.up_proj': 'mlp.gate_proj',
    'mlp.down_proj': 'mlp.down_proj',
  };
  const runs = ['50', '2-4'].flatMap((run) => Object.entries(hessianOf).map((names) => [run, ...names] as const));

  test.each(runs)('%s, %s: the reference weights', async (run, name, sharedBy) => {
    const linear = `layers.0.${name}`;
    const expected = readSafetensors(fixture(`micro/sparsegpt/sparsegpt_${run}_ref.weights.safetensors`));
    const choice = choiceOf(run === '50' ? { ratio: 0.5, n: 0, m: 0 } : { ratio: 0.5, n: 2, m: 4 });
    const hessian = widen(tensorOf(hessians, `layers.0.${sharedBy}`));
    const columns = Math.sqrt(hessian.length);
    const { pruned } = await prune({
      linear,
      weights: widen(tensorOf(model, `model.${linear}.weight`)),
      hessian,
      choice,
      blockSize: 128,
      dampingFraction: 0.01,
    });
    const { maskDiffers, rowsAgreed, relative } = compareWeights(pruned, widen(tensorOf(expected, linear)), columns);
    expect(maskDiffers).toBeLessThanOrEqual(maskDifferenceMax(choice));
    expect(rowsAgreed * columns).toBeGreaterThanOrEqual(0.95 * pruned.length);
    expect(relative).toBeLessThan(1e-4);
  });
});
