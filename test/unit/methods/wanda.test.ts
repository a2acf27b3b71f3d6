import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { METHOD_NAMES } from '../../../shared/manifest/method-options.ts';
import { columnNorms, columnNormsFromScaler } from '../../../worker/methods/column-norms.ts';
import { methodByName } from '../../../worker/methods/registry.ts';
import { prunedPerRow, rowSelection, thresholdRank } from '../../../worker/methods/selection-of.ts';
import { wanda } from '../../../worker/methods/wanda.ts';

function errorOf(run: () => unknown): SecateurError {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof SecateurError) return thrown;
    throw thrown;
  }
  throw new Error('expected an error');
}

const linear = 'model.layers.3.mlp.down_proj.weight';

describe('column norms', () => {
  test('are the float32 root of the float32 mean over sequences', () => {
    const norms = columnNorms({ linear, inputNormSquared: Float64Array.of(0, 32, 1, 1e-60), samples: 16 });
    expect([...norms]).toEqual([0, Math.fround(Math.SQRT2), 0.25, 0]);
  });

  test('rounding twice gives the nearest float32 to the true root', () => {
    const positive = fc.float({ min: 0, noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(positive, (value) => {
        const [norm] = columnNormsFromScaler(Float32Array.of(value), linear) as unknown as [number];
        const bits = new Uint32Array(Float32Array.of(norm).buffer)[0] as number;
        const [below, above] = new Float32Array(Uint32Array.of(Math.max(0, bits - 1), bits + 1).buffer);
        // Halfway points have 25 bits: their squares are exact in float64.
        expect(((below! + norm) / 2) ** 2).toBeLessThanOrEqual(value);
        expect(((above! + norm) / 2) ** 2).toBeGreaterThanOrEqual(value);
      }),
    );
  });

  test.each([Number.NaN, Infinity, -1, 1e39])('a statistic of %d is refused, with linear and column', (value) => {
    const error = errorOf(() =>
      columnNorms({ linear, inputNormSquared: Float64Array.of(1, 2, value, Number.NaN), samples: 1 }),
    );
    expect(error.code).toBe('NonFiniteValue');
    expect(error.details).toMatchObject({ linear, column: 2 });
    expect(error.message).toContain(`${linear}: `);
    expect(error.message).toContain('column 2');
  });

  test('the statistic itself is left as it is', () => {
    const scaler = Float32Array.of(4, 9);
    expect([...columnNormsFromScaler(scaler, linear)]).toEqual([2, 3]);
    expect([...scaler]).toEqual([4, 9]);
  });
});

describe('selection', () => {
  test.each([
    [64, 0.1, 6],
    [64, 0.5, 32],
    [7, 0.5, 3],
    [100, 0.29, 28],
    [688, 0.7, 481],
    [10, 0, 0],
    [10, 1, 10],
  ])('%i columns at %d are int(columns * sparsity) = %i', (columns, sparsity, pruned) => {
    expect(prunedPerRow(columns, sparsity)).toBe(pruned);
    const selection = rowSelection({ kind: 'unstructured', sparsity }, columns, linear);
    expect(selection).toEqual({ kind: 'row', prunedPerRow: pruned });
  });

  test.each([
    [4096, 0.5, 2048],
    [4097, 0.5, 2048],
    [10, 1, 9],
  ])('of %i sorted metrics, %d has its threshold at %i', (elements, sparsity, rank) => {
    expect(thresholdRank(elements, sparsity)).toBe(rank);
  });

  test('a pattern keeps as many of a group as the manifest says', () => {
    const selection = rowSelection({ kind: 'pattern', keep: 1, group: 4 }, 64, linear);
    expect(selection).toEqual({ kind: 'group', keep: 1, group: 4 });
  });

  test('what is kept whole is kept whole', () => {
    expect(rowSelection({ kind: 'keepAll' }, 7, linear)).toEqual({ kind: 'keepAll' });
  });

  test('columns that are no multiple of the group are refused by name', () => {
    const error = errorOf(() => rowSelection({ kind: 'pattern', keep: 2, group: 4 }, 66, linear));
    expect(error.code).toBe('ArgumentInvalid');
    expect(error.message).toBe(
      `${linear}: pattern 2:4 needs input features in multiples of 4; found 66. Exclude this linear, or choose a ` +
        'pattern whose group divides its input features.',
    );
  });

  test.each([
    [4, 4],
    [0, 4],
    [5, 4],
    [1.5, 4],
    [2, 2048],
  ])('a pattern of %d:%d is none', (keep, group) => {
    expect(errorOf(() => rowSelection({ kind: 'pattern', keep, group }, 4096, linear)).code).toBe('ArgumentInvalid');
  });

  test.each([-0.1, 1.1, Number.NaN])('a sparsity of %d is none', (sparsity) => {
    const error = errorOf(() => rowSelection({ kind: 'unstructured', sparsity }, 64, linear));
    expect(error.code).toBe('ArgumentInvalid');
  });
});

describe('the registry', () => {
  test('has Wanda', () => {
    expect(methodByName('wanda')).toBe(wanda);
  });

  test('has every method of the manifest, and no other', () => {
    expect(METHOD_NAMES.map((name) => methodByName(name).name)).toEqual([...METHOD_NAMES]);
    expect(errorOf(() => methodByName('')).details.known).toEqual([...METHOD_NAMES]);
  });

  test('an unknown name is answered with the known ones', () => {
    const error = errorOf(() => methodByName('magnitud'));
    expect(error.code).toBe('ArgumentInvalid');
    expect(error.message).toContain('(wanda, magnitude, sparsegpt, ria, random)');
    expect(error.message).toContain('"magnitud"');
  });
});
