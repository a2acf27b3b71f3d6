/** The WebAssembly kernel against the plain reference, byte for byte. */
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { compileKernel } from '../../../worker/kernels/kernel.ts';
import { pruneReference, type StoredWeights } from '../../../worker/kernels/reference.ts';
import { storeWeight } from '../../../worker/kernels/sample-weights.ts';
import type { RowSelection } from '../../../worker/kernels/selection.ts';
import { FAMILIES, type KernelCase, makeCase, selectionsFor } from '../../support/kernel-cases.ts';
import { InMemoryKernel } from '../../support/kernel-in-memory.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const DTYPES = ['BF16', 'F16', 'F32'] as const;
const COLUMNS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 36, 64, 65, 100, 129, 256, 300, 768];
const NON_FINITE_BITS = { BF16: [0x7f80, 0xff80, 0xffc1], F16: [0x7c00, 0xfc00, 0x7e01] } as const;

let kernel: InMemoryKernel;
beforeAll(async () => {
  kernel = new InMemoryKernel(await compileKernel());
});

/** What differs, or null: a comparison of thousands of matrices must not print them. */
function difference({ matrix, weights, columnNorms }: KernelCase, selection: RowSelection): string | null {
  const expected = weights.slice();
  const { zeros } = pruneReference(matrix, expected, columnNorms, selection);
  const found = kernel.prune(matrix, weights, columnNorms, selection);
  if (found.kind !== 'done') return `non-finite weight at ${found.row}, ${found.column}`;
  if (found.zeros !== zeros) return `${found.zeros} zeros, not ${zeros}`;
  const at = bytesOf(found.weights).findIndex((byte, i) => byte !== bytesOf(expected)[i]);
  return at < 0 ? null : `byte ${at}`;
}

function widenBits(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0]!;
}

function bytesOf(weights: StoredWeights): Uint8Array {
  return new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
}

describe.each(Object.keys(FAMILIES))('%s', (family) => {
  test.each(DTYPES)('%s: every width and selection gives the bytes of the reference', (dtype) => {
    const wrong: string[] = [];
    for (const columns of COLUMNS) {
      const made = makeCase(family, dtype, 3, columns, columns);
      for (const selection of selectionsFor(columns)) {
        const found = difference(made, selection);
        if (found !== null) wrong.push(`${made.name} ${JSON.stringify(selection)}: ${found}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe('rows that teach each other', () => {
  test.each(DTYPES)('%s: many rows of different families in one chunk change nothing in the result', (dtype) => {
    const columns = 1000;
    const parts = Object.keys(FAMILIES).map((family) => makeCase(family, dtype, 2, columns, 7));
    const values = parts.flatMap((part) => [...part.weights]);
    const random = seededRandom(3);
    const columnNorms = Float32Array.from({ length: columns }, () => Math.exp(random()));
    const weights = dtype === 'F32' ? Float32Array.from(values) : Uint16Array.from(values);
    const matrix = { ...parts[0]!.matrix, rows: parts.length * 2 };
    for (const prunedPerRow of [100, 500, 900]) {
      expect(difference({ name: 'mixed', matrix, weights, columnNorms }, { kind: 'row', prunedPerRow })).toBeNull();
    }
  });
});

describe('very long rows', () => {
  test.each<[string, RowSelection]>([
    ['gaussian', { kind: 'row', prunedPerRow: 1 << 19 }],
    ['all equal', { kind: 'row', prunedPerRow: 1 << 19 }],
    ['mostly pruned already', { kind: 'group', keep: 2, group: 4 }],
  ])('%s, 1048576 columns: counters do not wrap', (family, selection) => {
    expect(difference(makeCase(family, 'BF16', 1, 1 << 20, 1), selection)).toBeNull();
  });

  test('1048576 columns of zeros: all are counted', () => {
    const columns = 1 << 20;
    const matrix = { tensor: 't', dtype: 'BF16', rows: 1, columns } as const;
    const ones = new Float32Array(columns).fill(1);
    for (const selection of selectionsFor(columns)) {
      const found = kernel.prune(matrix, new Uint16Array(columns), ones, selection);
      expect(found).toMatchObject({ kind: 'done', zeros: columns });
    }
  });
});

describe('every finite magnitude', () => {
  test.each(['BF16', 'F16'] as const)('%s: all of them, shuffled, in one row', (dtype) => {
    const columns = dtype === 'BF16' ? 0x7f80 : 0x7c00;
    const random = seededRandom(77);
    const weights = Uint16Array.from({ length: columns }, (_, i) => i | (random() < 0.5 ? 0x8000 : 0));
    for (let i = columns - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [weights[i], weights[j]] = [weights[j]!, weights[i]!];
    }
    const matrix = { tensor: 't', dtype, rows: 1, columns };
    for (const norm of [() => 1, () => Math.exp(6 * (random() - 0.5)), () => (random() < 0.3 ? 0 : 1e-30 * random())]) {
      const columnNorms = Float32Array.from({ length: columns }, norm);
      for (const share of [0.05, 0.5, 0.95]) {
        const selection = { kind: 'row', prunedPerRow: Math.floor(columns * share) } as const;
        expect(difference({ name: dtype, matrix, weights, columnNorms }, selection)).toBeNull();
      }
    }
  });
});

describe('a non-finite weight', () => {
  const selections: RowSelection[] = [
    { kind: 'keepAll' },
    { kind: 'row', prunedPerRow: 20 },
    { kind: 'row', prunedPerRow: 0 },
    { kind: 'row', prunedPerRow: 76 },
    { kind: 'group', keep: 2, group: 4 },
    { kind: 'group', keep: 38, group: 76 },
  ];
  test.each(DTYPES)('%s: is found in any column, whatever its norm, by its row and column', (dtype) => {
    const columns = 76;
    const matrix = { tensor: 't', dtype, rows: 5, columns };
    const bad = dtype === 'F32' ? [Infinity, -Infinity, Number.NaN] : NON_FINITE_BITS[dtype];
    for (const value of bad) {
      for (const column of [0, 5, 17, 63, 71, 72, 75]) {
        for (const norm of [0, 1]) {
          for (const selection of selections) {
            const length = 5 * columns;
            const weights = dtype === 'F32' ? new Float32Array(length) : new Uint16Array(length);
            weights.fill(storeWeight(dtype, 0.5));
            weights[3 * columns + column] = value;
            weights[4 * columns] = value;
            if (column < 70) weights[3 * columns + column + 2] = value;
            const norms = new Float32Array(columns).fill(norm);
            const found = kernel.prune(matrix, weights, norms, selection);
            expect(found).toEqual({ kind: 'nonFinite', row: 3, column });
            expect(() => pruneReference(matrix, weights, norms, selection)).toThrow(`row 3, column ${column} `);
          }
        }
      }
    }
  });

  test.each(['BF16', 'F32'] as const)('%s: a row whose metrics overflow is no such weight', (dtype) => {
    const made = makeCase('metrics that overflow', dtype, 2, 100, 1);
    expect(kernel.prune(made.matrix, made.weights, made.columnNorms, { kind: 'row', prunedPerRow: 50 }).kind).toBe(
      'done',
    );
  });
});

describe('properties', () => {
  const finite16 = fc
    .integer({ min: 0, max: 0xffff })
    .map((bits) => ((bits & 0x7c00) === 0x7c00 ? bits & ~0x4000 : bits));
  const matrices = fc
    .record({ columns: fc.integer({ min: 1, max: 90 }), rows: fc.integer({ min: 1, max: 4 }) })
    .chain(({ columns, rows }) =>
      fc.record({
        dtype: fc.constantFrom('BF16', 'F16'),
        rows: fc.constant(rows),
        columns: fc.constant(columns),
        // Few distinct values: ties at the threshold are the rule.
        weights: fc.array(fc.oneof(fc.constantFrom(0, 0x8000, 0x3c00, 0xbc00), finite16), {
          minLength: rows * columns,
          maxLength: rows * columns,
        }),
        norms: fc.array(fc.oneof(fc.constantFrom(0, 1), fc.float({ min: 0, noNaN: true, noDefaultInfinity: true })), {
          minLength: columns,
          maxLength: columns,
        }),
        selection: fc.constantFrom(...selectionsFor(columns)),
      }),
    );

  test('any matrix: the bytes of the reference, zeros only where chosen, the rest untouched', () => {
    fc.assert(
      fc.property(matrices, ({ dtype, rows, columns, weights, norms, selection }) => {
        const made = {
          name: 'any',
          matrix: { tensor: 't', dtype, rows, columns },
          weights: Uint16Array.from(weights),
          columnNorms: Float32Array.from(norms),
        } as const;
        expect(difference(made, selection)).toBeNull();
        const found = kernel.prune(made.matrix, made.weights, made.columnNorms, selection);
        if (found.kind !== 'done') throw new Error('finite weights');
        const changed = found.weights.filter((bits, i) => bits !== made.weights[i]);
        expect(changed.every((bits) => bits === 0)).toBe(true);
      }),
      { numRuns: 600 },
    );
  });

  test('F32: any numbers, among them many that share their upper 16 bits: the bytes of the reference', () => {
    const near = fc.integer({ min: 0, max: 0xffff }).map((low) => widenBits(0x3f800000 | low));
    const magnitude = fc.float({ noNaN: true, noDefaultInfinity: true });
    const made = fc.integer({ min: 1, max: 90 }).chain((columns) =>
      fc.record({
        weights: fc.array(fc.oneof(fc.constantFrom(0, -0, 1, -1), near, magnitude), {
          minLength: 2 * columns,
          maxLength: 2 * columns,
        }),
        norms: fc.array(fc.constantFrom(0, 1, 1 + 2 ** -20, 3), { minLength: columns, maxLength: columns }),
        selection: fc.constantFrom(...selectionsFor(columns)),
      }),
    );
    fc.assert(
      fc.property(made, ({ weights, norms, selection }) => {
        const matrix = { tensor: 't', dtype: 'F32', rows: 2, columns: norms.length } as const;
        const columnNorms = Float32Array.from(norms);
        expect(
          difference({ name: 'any', matrix, weights: Float32Array.from(weights), columnNorms }, selection),
        ).toBeNull();
      }),
      { numRuns: 600 },
    );
  });

  test('pruning again changes nothing', () => {
    fc.assert(
      fc.property(matrices, ({ dtype, rows, columns, weights, norms, selection }) => {
        const matrix = { tensor: 't', dtype, rows, columns };
        const columnNorms = Float32Array.from(norms);
        const once = kernel.prune(matrix, Uint16Array.from(weights), columnNorms, selection);
        if (once.kind !== 'done') throw new Error('finite weights');
        expect(kernel.prune(matrix, once.weights, columnNorms, selection)).toEqual(once);
        if (selection.kind === 'row') expect(once.zeros).toBeGreaterThanOrEqual(rows * selection.prunedPerRow);
      }),
      { numRuns: 300 },
    );
  });
});
