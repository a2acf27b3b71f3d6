/**
 * Selection against the reference implementation (locuslab/wanda at 8e8fc87), through both our plain reference and the
 * WebAssembly kernel. fixtures/README.md says what the files hold.
 */
import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { compileKernel } from '../../worker/kernels/kernel.ts';
import { pruneReference, type StoredWeights, widenWeight } from '../../worker/kernels/reference.ts';
import type { MatrixDescription, RowSelection } from '../../worker/kernels/selection.ts';
import { columnNorms, columnNormsFromScaler } from '../../worker/methods/column-norms.ts';
import { prunedPerRow } from '../../worker/methods/selection-of.ts';
import {
  applyMask,
  fixture,
  json,
  matrixOf,
  type Run,
  type SelectionCase,
  storedWeights,
  unpackMask,
} from '../support/golden-masks.ts';
import { InMemoryKernel } from '../support/kernel-in-memory.ts';
import { readSafetensors, tensorOf } from '../support/read-safetensors.ts';

const model = readSafetensors(new URL('../../examples/micro-llama/model/model.safetensors', import.meta.url));

let kernel: InMemoryKernel;
beforeAll(async () => {
  kernel = new InMemoryKernel(await compileKernel());
});

/** Pruned weights by our two implementations, which must agree. */
function pruneBoth(matrix: MatrixDescription, weights: StoredWeights, norms: Float32Array, selection: RowSelection) {
  const byReference = weights.slice();
  const { zeros } = pruneReference(matrix, byReference, norms, selection);
  const byKernel = kernel.prune(matrix, weights, norms, selection);
  expect(byKernel).toEqual({ kind: 'done', zeros, weights: byReference });
  return { zeros, weights: byReference };
}

/** The reference's n:m prunes n of m; ours keeps. */
function selectionOf(run: { n: number; m: number; ratio: number }, columns: number): RowSelection {
  if (run.m > 0) return { kind: 'group', keep: run.m - run.n, group: run.m };
  return { kind: 'row', prunedPerRow: prunedPerRow(columns, run.ratio) };
}

describe('unit selection cases', () => {
  const tensors = readSafetensors(fixture('unit/selection.safetensors'));
  const cases = json<SelectionCase[]>('unit/selection.json').filter((each) => each.method === 'wanda');
  const exact = cases.filter((each) => each.m === 0 || each.boundary_ties === 0);
  const tied = cases.filter((each) => each.m > 0 && each.boundary_ties > 0);

  function pruneCase(each: SelectionCase) {
    const tensor = tensorOf(tensors, `${each.case}/W`);
    const matrix = matrixOf(each.case, tensor);
    const weights = storedWeights(tensor);
    const scaler = new Float32Array(tensorOf(tensors, `${each.case}/scaler_row`).bytes.buffer);
    const norms = columnNormsFromScaler(scaler, each.case);
    const mask = unpackMask(tensorOf(tensors, each.key), each.rows, each.cols);
    const { weights: pruned, zeros } = pruneBoth(matrix, weights, norms, selectionOf(each, each.cols));
    return { matrix, weights, norms, mask, pruned, zeros };
  }

  test('there are as many as were made', () => {
    expect({ exact: exact.length, tied: tied.length }).toEqual({ exact: 268, tied: 83 });
  });

  test.each(exact)('$key is the reference mask', (each) => {
    const { weights, mask, pruned, zeros } = pruneCase(each);
    expect(pruned).toEqual(applyMask(weights, mask));
    expect(zeros).toBe(each.zeros_after);
  });

  test.each(tied)('$key, tied at the boundary, prunes the same metrics in every group', (each) => {
    const { matrix, weights, norms, mask, pruned } = pruneCase(each);
    // What an element loses: its metric where it was pruned, nothing where it stays.
    const lost = (after: StoredWeights) =>
      Float32Array.from(weights, (stored, i) => {
        const metric = Math.abs(widenWeight(matrix.dtype, stored)) * norms[i % each.cols]!;
        return after[i] === stored ? 0 : metric;
      });
    const ours = lost(pruned);
    const theirs = lost(applyMask(weights, mask));
    for (let first = 0; first < ours.length; first += each.m) {
      expect(ours.slice(first, first + each.m).sort()).toEqual(theirs.slice(first, first + each.m).sort());
    }
  });
});

describe('whole runs on micro-llama, given the statistics of the reference', () => {
  const results = json<{ runs: Record<string, Run> }>('micro/results.json');
  const runs = Object.entries(results.runs).filter(([, run]) => run.method === 'wanda');
  const scalerDense = readSafetensors(fixture('micro/scaler_dense.safetensors'));
  const scalerRef = readSafetensors(fixture('micro/scaler_ref.safetensors'));
  const stored = ['50', '2-4', '4-8'].flatMap((kind) => [`wanda_${kind}_ref`, `wanda_${kind}_dense`]);
  const masks = new Map(stored.map((name) => [name, readSafetensors(fixture(`micro/masks/${name}.safetensors`))]));
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

  test('there are as many as were made', () => {
    expect(runs.length).toBe(20);
    for (const [, run] of runs) expect(Object.keys(run.matrices).length).toBe(28);
  });

  test.each(runs)('%s: every mask and every weight is identical', (name, run) => {
    for (const [linear, expected] of Object.entries(run.matrices)) {
      const tensor = tensorOf(model, `model.${linear}.weight`);
      const matrix = matrixOf(linear, tensor);
      const weights = storedWeights(tensor);
      const scaler = name.endsWith('_dense') ? tensorOf(scalerDense, linear) : tensorOf(scalerRef, `${name}/${linear}`);
      const norms = columnNormsFromScaler(new Float32Array(scaler.bytes.buffer), linear);
      const selection = selectionOf({ ...run, ratio: run.sparsity_ratio }, matrix.columns);
      const pruned = pruneBoth(matrix, weights, norms, selection);
      const mask = Uint8Array.from(pruned.weights, (bits) => Number(bits === 0));
      expect(pruned.zeros, linear).toBe(expected.zeros);
      expect(sha256(mask), linear).toBe(expected.mask_sha256);
      expect(sha256(new Uint8Array(pruned.weights.buffer)), linear).toBe(expected.weight_sha256);
      const golden = masks.get(name);
      if (golden !== undefined) {
        expect(mask, linear).toEqual(unpackMask(tensorOf(golden, linear), matrix.rows, matrix.columns));
      }
    }
  });

  test('the method makes the same norms of float64 sums as the reference of its float32 statistic', () => {
    const [linear, scaler] = [...scalerDense][0]!;
    const values = new Float32Array(scaler.bytes.buffer);
    const inputNormSquared = Float64Array.from(values, (value) => value * 16);
    expect(columnNorms({ linear, inputNormSquared, samples: 16 })).toEqual(columnNormsFromScaler(values, linear));
  });
});
