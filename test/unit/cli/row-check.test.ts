/** Rows and groups are judged the same however the bytes are cut, for every sparsity. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RowCheck, zerosMin } from '../../../cli/verify/row-check.ts';

describe('RowCheck', () => {
  it('takes int(columns * sparsity) as the reference does', () => {
    expect(zerosMin(64, 0.1)).toBe(6);
    expect(zerosMin(4096, 0.5)).toBe(2048);
  });

  it('counts both zeros of every width, and nothing else', () => {
    const halves = new RowCheck(4, { kind: 'keepAll' });
    halves.take(Uint16Array.of(0, 0x8000, 1, 0x8001));
    expect(halves.finish().zeros).toBe(2);
    const singles = new RowCheck(4, { kind: 'keepAll' });
    singles.take(Uint32Array.of(0, 0x80000000, 1, 0x80000001));
    expect(singles.finish().zeros).toBe(2);
  });

  it('judges the whole where the sparsity is the matrix’s, and nothing where it is only aimed at', () => {
    const report = (choice: ConstructorParameters<typeof RowCheck>[1], zeros: readonly number[]) => {
      const check = new RowCheck(4, choice);
      check.take(Uint16Array.from({ length: 8 }, (_, index) => (zeros.includes(index) ? 0 : 1)));
      return check.finish().deviations;
    };
    const half = { kind: 'unstructured', sparsity: 0.5 } as const;
    expect(report(half, [0, 1, 2, 3])).toEqual(['row 1: expected at least 2 zeros of 4, found 0']);
    expect(report({ ...half, scope: 'matrix' }, [0, 1, 2, 3])).toEqual([]);
    expect(report({ ...half, scope: 'matrix' }, [0, 1, 2])).toEqual(['expected at least 4 zeros of 8, found 3']);
    expect(report({ ...half, scope: 'none' }, [])).toEqual([]);
  });

  it('reports the same for any cut of the same matrix', () => {
    const cases = fc.record({
      rows: fc.integer({ min: 1, max: 6 }),
      groups: fc.integer({ min: 1, max: 4 }),
      bits: fc.array(fc.constantFrom(0, 0x8000, 1, 2), { minLength: 96, maxLength: 96 }),
      cuts: fc.array(fc.integer({ min: 0, max: 96 }), { maxLength: 5 }),
      isPattern: fc.boolean(),
    });
    fc.assert(
      fc.property(cases, ({ rows, groups, bits, cuts, isPattern }) => {
        const columns = groups * 4;
        const choice = isPattern
          ? ({ kind: 'pattern', keep: 2, group: 4 } as const)
          : ({ kind: 'unstructured', sparsity: 0.5 } as const);
        const matrix = Uint16Array.from(bits.slice(0, rows * columns));
        const whole = new RowCheck(columns, choice);
        whole.take(matrix);
        const cut = new RowCheck(columns, choice);
        const places = [0, ...cuts.map((place) => Math.min(place, matrix.length)).sort((a, b) => a - b), matrix.length];
        for (let index = 1; index < places.length; index++) cut.take(matrix.subarray(places[index - 1], places[index]));
        expect(cut.finish()).toEqual(whole.finish());
        expect(whole.finish().zeros).toBe(matrix.filter((value) => (value & 0x7fff) === 0).length);
        const isFine = isPattern
          ? chunks([...matrix], 4).every((group) => group.filter((value) => (value & 0x7fff) !== 0).length <= 2)
          : chunks([...matrix], columns).every(
              (row) => row.filter((value) => (value & 0x7fff) === 0).length >= columns / 2,
            );
        expect(whole.finish().deviations.length === 0).toBe(isFine);
      }),
    );
  });
});

function chunks(values: readonly number[], size: number): number[][] {
  return Array.from({ length: values.length / size }, (_, index) => values.slice(index * size, (index + 1) * size));
}
