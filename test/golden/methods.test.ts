/**
 * Magnitude and Wanda, as the engine runs them, against the reference implementation (locuslab/wanda at 8e8fc87): every
 * case of fixtures/unit and every whole run on micro-llama, given its statistics.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type StoredWeights, widenWeight } from '../../worker/kernels/reference.ts';
import type { MatrixDescription } from '../../worker/kernels/selection.ts';
import type { LinearJob } from '../../worker/methods/method.ts';
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
import { MethodBench, noStatistic, statisticOf } from '../support/prune-by-method.ts';
import { readSafetensors, tensorOf } from '../support/read-safetensors.ts';

const MODEL = readSafetensors(new URL('../../examples/micro-llama/model/model.safetensors', import.meta.url));

let bench: MethodBench;
beforeAll(async () => {
  bench = await MethodBench.create(2);
});
afterAll(() => bench.close());

/** The reference's n:m prunes n of m; ours keeps. */
function choiceOf({ n, m }: { n: number; m: number }, sparsity: number): LinearJob['choice'] {
  return m > 0 ? { kind: 'pattern', keep: m - n, group: m } : { kind: 'unstructured', sparsity };
}

function prune(
  method: string,
  matrix: MatrixDescription,
  weights: StoredWeights,
  choice: LinearJob['choice'],
  scaler: Float32Array | null,
) {
  const options = method === 'magnitude' ? ({ scope: 'matrix' } as const) : {};
  return bench.prune(method, matrix, weights, choice, options, scaler === null ? noStatistic : statisticOf(scaler));
}

/** The magnitudes that a group keeps, in order: what two implementations agree on where magnitudes are equal. */
function keptMagnitudes(matrix: MatrixDescription, weights: StoredWeights, group: number): number[][] {
  const magnitudes = Array.from(weights, (stored) => Math.abs(widenWeight(matrix.dtype, stored)));
  return Array.from({ length: magnitudes.length / group }, (_, i) =>
    magnitudes.slice(i * group, (i + 1) * group).sort((a, b) => a - b),
  );
}

describe('unit selection cases', () => {
  const tensors = readSafetensors(fixture('unit/selection.safetensors'));
  const cases = json<SelectionCase[]>('unit/selection.json');

  test('there are as many as were made', () => {
    const count = (method: string, isGroups: boolean) =>
      cases.filter((each) => each.method === method && each.m > 0 === isGroups).length;
    expect([count('wanda', false), count('wanda', true)]).toEqual([234, 117]);
    expect([count('magnitude', false), count('magnitude', true)]).toEqual([78, 39]);
  });

  test.each([...new Set(cases.map((each) => each.case))])('%s: every ratio and pattern', async (name) => {
    const tensor = tensorOf(tensors, `${name}/W`);
    const matrix = matrixOf(name, tensor);
    const weights = storedWeights(tensor);
    for (const each of cases.filter((other) => other.case === name)) {
      const { method, key, m } = each;
      const scaler = method === 'wanda' ? new Float32Array(tensorOf(tensors, `${name}/scaler_row`).bytes.buffer) : null;
      const found = await prune(method, matrix, weights, choiceOf(each, each.ratio), scaler);
      const expected = applyMask(weights, unpackMask(tensorOf(tensors, key), each.rows, each.cols));
      const isTied = m > 0 && each.boundary_ties !== 0;
      if (!isTied) expect(found.weights, key).toEqual(expected);
      else if (method === 'magnitude')
        expect(keptMagnitudes(matrix, found.weights, m), key).toEqual(keptMagnitudes(matrix, expected, m));
      if (!isTied) expect(found.zeros, key).toBe(each.zeros_after);
    }
  });
});

describe('whole runs on micro-llama, given the statistics of the reference', () => {
  const runs = Object.entries(json<{ runs: Record<string, Run> }>('micro/results.json').runs);
  const scalerDense = readSafetensors(fixture('micro/scaler_dense.safetensors'));
  const scalerRef = readSafetensors(fixture('micro/scaler_ref.safetensors'));
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

  function scalerOf(name: string, run: Run, linear: string): Float32Array | null {
    if (run.method === 'magnitude') return null;
    const scaler = name.endsWith('_dense') ? tensorOf(scalerDense, linear) : tensorOf(scalerRef, `${name}/${linear}`);
    return new Float32Array(scaler.bytes.buffer);
  }

  const ours = runs.filter(([, run]) => run.method === 'wanda' || run.method === 'magnitude');
  const isExact = (run: Run) => run.method === 'wanda' || run.m === 0;

  test('there are as many as were made', () => {
    expect(ours.length).toBe(30);
    expect(ours.filter(([, run]) => !isExact(run)).length).toBe(2);
  });

  test.each(ours.filter(([, run]) => isExact(run)))(
    '%s: every mask and every weight is identical',
    async (name, run) => {
      for (const [linear, expected] of Object.entries(run.matrices)) {
        const tensor = tensorOf(MODEL, `model.${linear}.weight`);
        const choice = choiceOf(run, run.sparsity_ratio);
        const scaler = scalerOf(name, run, linear);
        const found = await prune(run.method, matrixOf(linear, tensor), storedWeights(tensor), choice, scaler);
        expect(found.zeros, linear).toBe(expected.zeros);
        expect(sha256(Uint8Array.from(found.weights, (bits) => Number(bits === 0))), linear).toBe(expected.mask_sha256);
        expect(sha256(new Uint8Array(found.weights.buffer)), linear).toBe(expected.weight_sha256);
      }
    },
  );

  test.each(ours.filter(([, run]) => !isExact(run)))('%s: every group keeps the same magnitudes', async (name, run) => {
    const masks = readSafetensors(fixture(`micro/masks/${name}.safetensors`));
    for (const [linear, { zeros }] of Object.entries(run.matrices)) {
      const tensor = tensorOf(MODEL, `model.${linear}.weight`);
      const matrix = matrixOf(linear, tensor);
      const weights = storedWeights(tensor);
      const found = await prune('magnitude', matrix, weights, choiceOf(run, run.sparsity_ratio), null);
      const expected = applyMask(weights, unpackMask(tensorOf(masks, linear), matrix.rows, matrix.columns));
      expect(keptMagnitudes(matrix, found.weights, run.m), linear).toEqual(keptMagnitudes(matrix, expected, run.m));
      expect(found.zeros, linear).toBe(zeros);
    }
  });
});
