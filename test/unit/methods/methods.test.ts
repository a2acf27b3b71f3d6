/** Every method, as the engine runs it, against its formula (test/support/naive-methods.ts): byte for byte. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { type StoredWeights, widenWeight } from '../../../worker/kernels/reference.ts';
import { columnNormsFromScaler } from '../../../worker/methods/column-norms.ts';
import type { LinearJob, MethodOptions } from '../../../worker/methods/method.ts';
import { FAMILIES, type KernelCase, makeCase } from '../../support/kernel-cases.ts';
import { naiveCumulative, naiveMetrics, naiveThreshold, naiveWithin } from '../../support/naive-methods.ts';
import { MethodBench, noStatistic, statisticOf } from '../../support/prune-by-method.ts';

type Choice = LinearJob['choice'];

interface Asked {
  readonly method: string;
  readonly options: MethodOptions;
  readonly choice: Choice;
}

/** Row scopes, matrix scopes and the variant, with the options that each method has. */
const METHODS: readonly Omit<Asked, 'choice'>[] = [
  { method: 'wanda', options: {} },
  { method: 'wanda', options: { variant: 'cumulative' } },
  { method: 'magnitude', options: { scope: 'matrix' } },
  { method: 'magnitude', options: { scope: 'row' } },
  { method: 'ria', options: { scope: 'matrix', activationPower: 0.5 } },
  { method: 'ria', options: { scope: 'row', activationPower: 0.5 } },
  { method: 'ria', options: { scope: 'row', activationPower: 1 } },
  { method: 'random', options: { seed: 0 } },
  { method: 'random', options: { seed: 4294967295 } },
];
const DTYPES = ['BF16', 'F16', 'F32'] as const;
const PATTERNS = [
  [2, 4],
  [4, 8],
  [1, 3],
  [5, 16],
] as const;
/** What a norm may be squared to without leaving float32. */
const NORM_MAX = 1e18;

let benches: MethodBench[];
beforeAll(async () => {
  benches = await Promise.all([1, 2].map((threads) => MethodBench.create(threads)));
});
afterAll(async () => {
  await Promise.all(benches.map((bench) => bench.close()));
});

const needsStatistic = (method: string) => method === 'wanda' || method === 'ria';

/** Scaler [I], as the reference's scaler_row: norms are its roots. */
function scalerOf({ columnNorms }: KernelCase): Float32Array {
  return columnNorms.map((norm) => Math.min(Math.abs(norm), NORM_MAX) ** 2);
}

function naively({ method, options, choice }: Asked, made: KernelCase): StoredWeights {
  const { matrix, weights } = made;
  const norms = columnNormsFromScaler(scalerOf(made), 'linear');
  const metrics = naiveMetrics(method, matrix, weights, norms, options);
  const goes = maskOf(metrics, { method, options, choice }, matrix.columns);
  return weights.map((stored, i) => (goes[i] ? 0 : stored));
}

function maskOf(metrics: readonly number[], { options, choice }: Asked, columns: number): boolean[] {
  if (choice.kind === 'pattern') return naiveWithin(metrics, choice.group, choice.group - choice.keep);
  if (options.scope === 'matrix') return naiveThreshold(metrics, choice.sparsity);
  if (options.variant === 'cumulative') return naiveCumulative(metrics, columns, choice.sparsity);
  return naiveWithin(metrics, columns, Math.floor(columns * choice.sparsity));
}

function bytesOf(weights: StoredWeights): Buffer {
  return Buffer.from(weights.buffer, weights.byteOffset, weights.byteLength);
}

/** What differs on some number of threads, or null. */
async function difference(asked: Asked, made: KernelCase): Promise<string | null> {
  const expected = naively(asked, made);
  const zeros = expected.filter((stored) => widenWeight(made.matrix.dtype, stored) === 0).length;
  for (const [index, bench] of benches.entries()) {
    const statistic = needsStatistic(asked.method) ? statisticOf(scalerOf(made)) : noStatistic;
    const found = await bench.prune(asked.method, made.matrix, made.weights, asked.choice, asked.options, statistic);
    const what = `${made.name}, ${JSON.stringify(asked)}, ${index + 1} threads`;
    const at = bytesOf(found.weights).findIndex((byte, i) => byte !== bytesOf(expected)[i]);
    if (at >= 0) return `${what}: byte ${at}`;
    if (found.zeros !== zeros) return `${what}: ${found.zeros} zeros, not ${zeros}`;
  }
  return null;
}

const sparsity = fc.oneof(fc.constantFrom(0.1, 0.5, 0.9, 0.999), fc.double({ min: 0.001, max: 0.999, noNaN: true }));

describe.each(METHODS)('$method $options', ({ method, options }) => {
  test('any matrix: the bytes of the formula, whatever the threads', async () => {
    const families = fc.constantFrom(...Object.keys(FAMILIES));
    const shape = { rows: fc.integer({ min: 1, max: 9 }), columns: fc.integer({ min: 1, max: 70 }) };
    const given = fc.record({
      family: families,
      dtype: fc.constantFrom(...DTYPES),
      ...shape,
      seed: fc.nat(),
      sparsity,
    });
    await fc.assert(
      fc.asyncProperty(given, async ({ family, dtype, rows, columns, seed, sparsity }) => {
        const made = makeCase(family, dtype, rows, columns, seed);
        const choice = { kind: 'unstructured', sparsity } as const;
        expect(await difference({ method, options, choice }, made)).toBeNull();
      }),
      { numRuns: 40 },
    );
  });

  test.each(Object.keys(FAMILIES))('%s', async (family) => {
    for (const dtype of DTYPES) {
      const made = makeCase(family, dtype, 6, 101, 5);
      expect(await difference({ method, options, choice: { kind: 'unstructured', sparsity: 0.5 } }, made)).toBeNull();
    }
  });

  test('rows of several chunks', async () => {
    const made = makeCase('gaussian', 'F32', 600, 1030, 1);
    const choice = { kind: 'unstructured', sparsity: 0.5 } as const;
    expect(await difference({ method, options, choice }, made)).toBeNull();
  }, 60_000);
});

describe.each(METHODS.filter(({ options }) => options.variant === undefined))('$method $options, patterns', (asked) => {
  test.each(PATTERNS)('%i:%i', async (keep, group) => {
    for (const family of ['gaussian', 'all equal', 'zeros of both signs', 'dead columns', 'five values', 'any bits']) {
      for (const dtype of DTYPES) {
        const made = makeCase(family, dtype, 4, group * 3, 3);
        expect(await difference({ ...asked, choice: { kind: 'pattern', keep, group } }, made)).toBeNull();
      }
    }
  });
});

describe('a draw', () => {
  const made = makeCase('gaussian', 'BF16', 64, 256, 1);
  const choice = { kind: 'unstructured', sparsity: 0.5 } as const;
  const digest = async (tensor: string, seed: number) => {
    const { weights } = await benches[0]!.prune('random', { ...made.matrix, tensor }, made.weights, choice, { seed });
    return createHash('sha256').update(bytesOf(weights)).digest('hex');
  };

  test('is another for another seed and another tensor, and the same again', async () => {
    const digests = [await digest('a', 0), await digest('a', 1), await digest('b', 0)];
    expect(new Set(digests).size).toBe(3);
    expect(await digest('a', 0)).toBe(digests[0]);
  });

  test('is near a half in every column, and rows differ', async () => {
    const { weights } = await benches[0]!.prune('random', made.matrix, made.weights, choice, { seed: 7 });
    const rows = new Set<string>();
    const perColumn = new Uint32Array(256);
    for (let row = 0; row < 64; row++) {
      const mask = Array.from(weights.subarray(row * 256, (row + 1) * 256), (stored) => Number(stored === 0));
      rows.add(mask.join(''));
      for (const [column, zero] of mask.entries()) perColumn[column]! += zero;
    }
    expect(rows.size).toBe(64);
    // 64 draws of a half: six standard deviations are 24.
    for (const zeros of perColumn) expect(Math.abs(zeros - 32)).toBeLessThan(24);
  });
});

describe('relative importance', () => {
  test.each(['row', 'matrix'] as const)('over sums that float32 cannot hold, scope %s', async (scope) => {
    const made = {
      name: 'sums beyond float32',
      matrix: { tensor: 't', dtype: 'F32', rows: 2, columns: 5 },
      weights: Float32Array.of(3e38, 3e38, 1, 2, 3, 3e38, 1, 2, 0, 4),
      columnNorms: Float32Array.of(1, 2, 3, 4, 5),
    } as const;
    const choice = { kind: 'unstructured', sparsity: 0.5 } as const;
    expect(await difference({ method: 'ria', options: { scope }, choice }, made)).toBeNull();
  });
});

describe('the variant', () => {
  test('says which alpha it found', async () => {
    const made = makeCase('gaussian', 'BF16', 64, 256, 1);
    const bench = benches[1]!;
    bench.notices.length = 0;
    const choice = { kind: 'unstructured', sparsity: 0.5 } as const;
    const statistic = statisticOf(scalerOf(made));
    const { zeros } = await bench.prune(
      'wanda',
      made.matrix,
      made.weights,
      choice,
      { variant: 'cumulative' },
      statistic,
    );
    expect(bench.notices).toHaveLength(1);
    expect(bench.notices[0]).toContain(`gives sparsity ${Math.fround(zeros / 64 / 256).toFixed(6)} (of 0.5)`);
    expect(Math.abs(zeros / 64 / 256 - 0.5)).toBeLessThanOrEqual(0.0011);
  });

  test('prunes nothing of a row whose least metric is more than its share', async () => {
    const weights = Float32Array.of(5, 5, 5, 0.1, 0.1, 10);
    const matrix = { tensor: 't', dtype: 'F32', rows: 2, columns: 3 } as const;
    const choice = { kind: 'unstructured', sparsity: 1 / 3 } as const;
    const options = { variant: 'cumulative' } as const;
    const found = await benches[0]!.prune('wanda', matrix, weights, choice, options, statisticOf([1, 1, 1]));
    // At alpha 0.4 a third of the first row fits, and with it all that equals it; at 0.2 nothing does.
    expect([...found.weights]).toEqual([5, 5, 5, 0, 0, 10]);
  });
});

describe('what cannot be pruned', () => {
  const errorOf = (promise: Promise<unknown>) =>
    promise.then(
      () => expect.fail('expected a rejection'),
      (error: SecateurError) => error,
    );

  test.each(METHODS)('$method $options: the first non-finite weight is named', async ({ method, options }) => {
    const made = makeCase('gaussian', 'BF16', 600, 1030, 1);
    for (const [row, column] of [
      [599, 3],
      [570, 1029],
    ] as const) {
      made.weights[row * 1030 + column] = 0x7f80;
      for (const bench of benches) {
        const choice = { kind: 'unstructured', sparsity: 0.5 } as const;
        const pruned = bench.prune(method, made.matrix, made.weights, choice, options, statisticOf(scalerOf(made)));
        const error = await errorOf(pruned);
        expect(error.code).toBe('NonFiniteValue');
        expect(error.details).toEqual({ tensor: made.matrix.tensor, row, column });
      }
    }
  });

  test.each(METHODS)('$method $options: a pattern that does not divide the columns', async ({ method, options }) => {
    const made = makeCase('gaussian', 'BF16', 2, 66, 1);
    const choice = { kind: 'pattern', keep: 2, group: 4 } as const;
    const pruned = benches[0]!.prune(method, made.matrix, made.weights, choice, options, statisticOf(scalerOf(made)));
    const error = await errorOf(pruned);
    expect(error.code).toBe('ArgumentInvalid');
    expect(error.message).toContain(made.matrix.tensor);
  });

  test.each(['wanda', 'ria'])('%s: a statistic that is no number', async (method) => {
    const made = makeCase('gaussian', 'BF16', 2, 4, 1);
    const choice = { kind: 'unstructured', sparsity: 0.5 } as const;
    const pruned = benches[0]!.prune(method, made.matrix, made.weights, choice, {}, statisticOf([1, Number.NaN, 1, 1]));
    expect((await errorOf(pruned)).details).toMatchObject({ linear: 'linear', column: 1 });
  });
});
