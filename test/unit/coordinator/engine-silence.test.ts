/** Of an engine that says nothing, watchers hear within ten seconds; of one that says nothing as long as always, once. */
import { describe, expect, it } from 'vitest';
import { EngineSilence } from '../../../coordinator/api/engine-silence.ts';

describe('the silence of an engine', () => {
  it('is told of from 7 s on', () => {
    const silence = new EngineSilence();
    expect([0, 1_000, 6_999, 7_000, 8_000].map((ms) => silence.isToldOf(ms))).toEqual([
      false,
      false,
      false,
      true,
      true,
    ]);
    expect(silence.isToldOf(0)).toBe(false);
  });

  it('is told of again where it is longer than any before by half', () => {
    const silence = new EngineSilence();
    for (const ms of [0, 5_000, 10_000]) silence.isToldOf(ms);
    expect([500, 7_000, 12_000, 14_999].map((ms) => silence.isToldOf(ms))).toEqual([false, false, false, false]);
    expect(silence.isToldOf(15_000)).toBe(true);
    // Longer than ever, and it ended: that is how long its runs take.
    expect([200, 15_000, 22_000].map((ms) => silence.isToldOf(ms))).toEqual([false, false, false]);
    expect(silence.isToldOf(22_500)).toBe(true);
  });
});
