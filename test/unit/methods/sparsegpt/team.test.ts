import fc from 'fast-check';
import { expect, test } from 'vitest';
import { partsOf, ReusedFloats } from '../../../../worker/methods/sparsegpt/team.ts';

test('parts follow one another from end to end; none is shorter than a unit, nor longer than the most by a unit', () => {
  fc.assert(
    fc.property(
      fc.record({
        begin: fc.nat(300),
        length: fc.integer({ min: 1, max: 5000 }),
        wanted: fc.integer({ min: 1, max: 70 }),
      }),
      fc.constantFrom([32, 5000 * 32], [64, 512], [128, 128]),
      ({ begin, length, wanted }, [unit, lengthMax]) => {
        const parts = partsOf({ begin, end: begin + length }, wanted, unit as number, lengthMax as number);
        expect(parts[0]?.begin).toBe(begin);
        expect(parts.at(-1)?.end).toBe(begin + length);
        for (const [index, part] of parts.entries()) {
          if (index > 0) expect(part.begin).toBe(parts[index - 1]?.end);
          expect(part.end - part.begin).toBeGreaterThanOrEqual(Math.min(length, unit as number));
          expect(part.end - part.begin).toBeLessThan((lengthMax as number) + (unit as number));
        }
        if (length >= wanted * (unit as number)) expect(parts.length).toBeGreaterThanOrEqual(wanted);
      },
    ),
  );
});

test('memory that is reused is the same each time, and zero', () => {
  const reused = new ReusedFloats(10);
  const first = reused.zeros(10);
  first.fill(3);
  const second = reused.zeros(4);
  expect([second.buffer === first.buffer, ...second]).toEqual([true, 0, 0, 0, 0]);
  expect(() => reused.zeros(11)).toThrow('there is room for as many');
});
