/** OWL's arithmetic: the reference's numbers, and what must hold whatever the outliers are. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { layerSparsities, prunedPerRow, shareOf } from '../../../coordinator/core/owl.ts';

const layersOf = (ratios: readonly number[], weights: readonly number[] = []) =>
  ratios.map((outlierRatio, at) => ({ outlierRatio, weights: weights[at] ?? 100 }));

function weighedMean(values: readonly number[], layers: readonly { readonly weights: number }[]): number {
  const total = layers.reduce((sum, { weights }) => sum + weights, 0);
  return values.reduce((sum, value, at) => sum + (value * (layers[at]?.weights ?? 0)) / total, 0);
}

describe('layerSparsities', () => {
  test("are the reference's", () => {
    // Made with numpy, line by line as prune_wanda_outlier has it: ratios in percent, Lamda 0.08, sparsity 0.7.
    const expected = [
      0.6112727272727272, 0.6549090909090909, 0.7167272727272727, 0.7458181818181817, 0.7712727272727272,
    ];
    const found = layerSparsities(layersOf([5.1, 3.9, 2.2, 1.4, 0.7]), 0.7, 0.08);
    for (const [layer, sparsity] of found.entries()) expect(sparsity).toBeCloseTo(expected[layer] as number, 14);
  });

  test.each([[[]], [[0.1]], [[0.2, 0.2, 0.2]]])('are all the same where no layer stands out: %j', (ratios) => {
    expect(layerSparsities(layersOf(ratios), 0.6, 0.08)).toEqual(ratios.map(() => 0.6));
  });

  test('of a larger layer counts more', () => {
    const layers = layersOf([0.1, 0.2], [300, 100]);
    const [first = 0, second = 0] = layerSparsities(layers, 0.5, 0.1);
    expect(first - second).toBeCloseTo(0.2, 14);
    expect(weighedMean([first, second], layers)).toBeCloseTo(0.5, 14);
  });

  test('keep the mean, the order and the bounds, whatever is counted', () => {
    const layer = fc.record({
      outlierRatio: fc.double({ min: 0, max: 1, noNaN: true }),
      weights: fc.integer({ min: 1, max: 1e9 }),
    });
    const share = fc.double({ min: 0, max: 0.999, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(layer, { minLength: 1, maxLength: 90 }),
        share,
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        (layers, sparsity, deviation) => {
          const found = layerSparsities(layers, sparsity, deviation);
          expect(weighedMean(found, layers)).toBeCloseTo(sparsity, 9);
          expect(Math.max(...found) - Math.min(...found)).toBeLessThanOrEqual(2 * deviation + 1e-9);
          for (const [at, each] of found.entries()) {
            expect(each).toBeGreaterThanOrEqual(0);
            expect(each).toBeLessThanOrEqual(1);
            for (const [other, ratio] of layers.entries()) {
              if (ratio.outlierRatio > (layers[at]?.outlierRatio ?? 0))
                expect(found[other]).toBeLessThanOrEqual(each + 1e-12);
            }
          }
        },
      ),
    );
  });
});

describe('prunedPerRow', () => {
  test('prunes as many weights in all as one sparsity, but for less than one a row of one linear', () => {
    const shape = fc.record({
      outFeatures: fc.integer({ min: 1, max: 400 }),
      inFeatures: fc.integer({ min: 1, max: 400 }),
    });
    fc.assert(
      fc.property(
        fc.array(fc.array(shape, { minLength: 1, maxLength: 7 }), { minLength: 1, maxLength: 12 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 12, maxLength: 12 }),
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        (model, ratios, sparsity) => {
          const layers = model.map((linears, at) => ({
            outlierRatio: ratios[at] as number,
            weights: linears.reduce((sum, { outFeatures, inFeatures }) => sum + outFeatures * inFeatures, 0),
          }));
          const linears = model.flatMap((each, layer) => each.map((linear) => ({ ...linear, layer })));
          const sparsities = layerSparsities(layers, sparsity, 0.08);
          const counts = prunedPerRow(linears, sparsities, sparsity);
          const uniform = linears.reduce(
            (sum, { outFeatures, inFeatures }) => sum + outFeatures * Math.floor(inFeatures * sparsity),
            0,
          );
          const found = linears.reduce((sum, { outFeatures }, at) => sum + outFeatures * (counts[at] as number), 0);
          const widest = Math.max(...linears.map(({ outFeatures }) => outFeatures));
          expect(found).toBeLessThanOrEqual(uniform);
          expect(uniform - found).toBeLessThan(widest);
          for (const [at, { inFeatures }] of linears.entries()) {
            expect(counts[at]).toBeGreaterThanOrEqual(0);
            expect(counts[at]).toBeLessThanOrEqual(inFeatures);
          }
        },
      ),
    );
  });

  test('with one sparsity for all it is that of every row', () => {
    const linears = [64, 224, 49].map((inFeatures) => ({ layer: 0, outFeatures: 10, inFeatures }));
    expect(prunedPerRow(linears, [0.7], 0.7)).toEqual([44, 156, 34]);
  });
});

test('shareOf: what a row loses by it is the count, of any number of columns', () => {
  for (let columns = 1; columns <= 512; columns++) {
    for (let count = 0; count <= columns; count++) expect(Math.floor(columns * shareOf(count, columns))).toBe(count);
  }
});
