import { describe, expect, test } from 'vitest';
import { deviation, fitExponent } from '../../../bench/growth-fit.ts';

describe('the exponent of a growth', () => {
  test.each([
    ['linear', 1],
    ['quadratic', 2],
    ['constant', 0],
    ['inverse', -1],
  ])('%s', (_, exponent) => {
    const xs = [4, 8, 16, 32];
    const ys = xs.map((x) => 3 * x ** exponent);
    expect(fitExponent(xs, ys)).toBeCloseTo(exponent, 12);
  });

  test('a constant part makes it less, noise moves it little', () => {
    expect(fitExponent([4, 8, 16, 32], [5, 9, 17, 33])).toBeCloseTo(0.91, 2);
    expect(fitExponent([4, 8, 16, 32], [4.4, 7.2, 17.6, 28.8])).toBeCloseTo(0.94, 2);
  });
});

test('what is quadratic and should be linear is named with both', () => {
  const expectation = { what: 'time against layers', least: 0.5, most: 1.3 };
  const quadratic = fitExponent([4, 8, 16], [16, 64, 256]);
  expect(deviation(expectation, quadratic)).toBe(
    'time against layers: expected an exponent from 0.5 to 1.3; found 2.00',
  );
  expect(deviation(expectation, 1.1)).toBeNull();
});
