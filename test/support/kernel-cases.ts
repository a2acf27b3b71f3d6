/** Matrices that are hard for a selection by keys and brackets: ties, dead columns, subnormals, overflow, two scales. */

import { type StoredWeights, widenWeight } from '../../worker/kernels/reference.ts';
import { gaussian, storeWeight } from '../../worker/kernels/sample-weights.ts';
import type { MatrixDescription, RowSelection } from '../../worker/kernels/selection.ts';
import { type Random, seededRandom } from './seeded-random.ts';

type Dtype = MatrixDescription['dtype'];

export interface KernelCase {
  readonly name: string;
  readonly matrix: MatrixDescription;
  readonly weights: StoredWeights;
  readonly columnNorms: Float32Array;
}

interface Family {
  /** The value of one weight; what a dtype cannot hold is rounded. */
  readonly weight?: (random: Random, row: number, column: number, columns: number) => number;
  /** Or its bits, of a 16-bit dtype's width. */
  readonly bits?: (random: Random, dtype: Dtype, column: number) => number;
  readonly norm: (random: Random, column: number) => number;
}

const spread: Family['norm'] = (random) => Math.exp(0.5 * gaussian(random)) * (random() < 0.01 ? 20 : 1);
const one: Family['norm'] = () => 1;

export const FAMILIES: Readonly<Record<string, Family>> = {
  gaussian: { weight: (random) => 0.02 * gaussian(random), norm: spread },
  'all equal': { weight: () => 0.5, norm: one },
  'equal but for the sign': { weight: (_, row, column) => ((row + column) % 3 ? 0.5 : -0.5), norm: one },
  'all zero': { weight: () => 0, norm: spread },
  'zeros of both signs': {
    weight: (_, __, column) => (column % 2 ? -0 : column % 4 ? 0 : 0.1 * (column % 7)),
    norm: spread,
  },
  'dead columns': { weight: (random) => 0.02 * gaussian(random), norm: (_, column) => (column % 3 === 1 ? 1 : 0) },
  'no live column': { weight: (random) => gaussian(random), norm: () => 0 },
  'norms of minus zero': { weight: (random) => gaussian(random), norm: (_, column) => (column % 3 ? -0 : 1) },
  'five values': { weight: (random) => Math.floor(random() * 5) * 0.25, norm: one },
  subnormal: {
    bits: (random, dtype) => Math.floor(random() * (dtype === 'BF16' ? 128 : 1024)) | (random() < 0.5 ? 0x8000 : 0),
    norm: (_, column) => (column % 2 ? 1 : 1e-3),
  },
  'metrics that underflow': {
    weight: (random) => 0.02 * gaussian(random),
    norm: (_, column) => (column % 5 ? 1e-38 : 1e-43),
  },
  'metrics that overflow': {
    weight: (random) => 1e4 * gaussian(random),
    norm: (_, column) => (column % 5 ? 1e5 : 3e38),
  },
  sorted: { weight: (_, __, column) => 0.001 * (column + 1), norm: one },
  reversed: { weight: (_, __, column, columns) => 0.001 * (columns - column), norm: one },
  'any bits': {
    bits: (random, dtype) => {
      const bits = Math.floor(random() * 65536);
      const exponent = dtype === 'BF16' ? 0x7f80 : 0x7c00;
      return (bits & exponent) === exponent ? bits & ~0x4000 : bits;
    },
    norm: (random) => Math.exp(20 * (random() - 0.5)),
  },
  'rows of different scales': {
    weight: (random, row) => gaussian(random) * (row % 2 ? 1e-3 : 10),
    norm: spread,
  },
  'two scales in a row': {
    weight: (random, _, column) => (column % 2 ? 1e-4 * gaussian(random) : 100 + gaussian(random)),
    norm: one,
  },
  'mostly pruned already': { weight: (random) => (random() < 0.7 ? 0 : gaussian(random)), norm: spread },
};

export function makeCase(family: string, dtype: Dtype, rows: number, columns: number, seed: number): KernelCase {
  const { weight, bits, norm } = FAMILIES[family]!;
  const random = seededRandom(seed);
  const columnNorms = Float32Array.from({ length: columns }, (_, column) => norm(random, column));
  const stored = Array.from({ length: rows * columns }, (_, i) => {
    const column = i % columns;
    if (bits !== undefined) {
      const found = bits(random, dtype, column);
      return dtype === 'F32' ? widenWeight('BF16', found) : found;
    }
    return storeWeight(dtype, weight!(random, Math.floor(i / columns), column, columns));
  });
  return {
    name: `${family}, ${dtype} [${rows}, ${columns}], seed ${seed}`,
    matrix: { tensor: 'layers.0.q_proj.weight', dtype, rows, columns },
    weights: dtype === 'F32' ? Float32Array.from(stored) : Uint16Array.from(stored),
    columnNorms,
  };
}

/** Every selection worth trying on rows of so many columns. */
export function selectionsFor(columns: number): RowSelection[] {
  const counts = new Set([0, 1, 0.3, 0.5, 0.7, columns - 1, columns].map((k) => Math.floor(k < 1 ? k * columns : k)));
  const patterns = [
    [2, 4],
    [1, 4],
    [3, 4],
    [4, 8],
    [7, 8],
    [1, 8],
    [1, 2],
    [2, 3],
    [5, 16],
    [3, 32],
    [columns >> 1, columns],
  ] as const;
  return [
    { kind: 'keepAll' },
    ...[...counts].map((prunedPerRow): RowSelection => ({ kind: 'row', prunedPerRow })),
    ...patterns
      .filter(([keep, group]) => keep >= 1 && keep < group && group <= 1024 && columns % group === 0)
      .map(([keep, group]): RowSelection => ({ kind: 'group', keep, group })),
  ];
}
