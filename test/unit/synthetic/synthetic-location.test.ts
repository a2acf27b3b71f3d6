/** The grammar of what is made rather than stored. */
import { describe, expect, it } from 'vitest';
import {
  isSynthetic,
  parseSyntheticModel,
  parseSyntheticTokens,
  showSyntheticModel,
  showSyntheticTokens,
  syntheticProblem,
} from '../../../shared/synthetic/synthetic-location.ts';

describe('a synthetic model', () => {
  it.each([
    ['synthetic:llama-65b', 'synthetic:llama-65b?layers=80&seed=0&dtype=bf16'],
    ['Synthetic:tiny?seed=007&layers=2', 'synthetic:tiny?layers=2&seed=7&dtype=bf16'],
    ['synthetic:tinyllama-1.1b?dtype=f16', 'synthetic:tinyllama-1.1b?layers=22&seed=0&dtype=f16'],
    ['synthetic:llama-7b?', 'synthetic:llama-7b?layers=32&seed=0&dtype=bf16'],
  ])('%s is %s, which is itself', (written, canonical) => {
    expect(isSynthetic(written)).toBe(true);
    expect(syntheticProblem(written, 'model')).toBeUndefined();
    expect(showSyntheticModel(parseSyntheticModel(written))).toBe(canonical);
    expect(showSyntheticModel(parseSyntheticModel(canonical))).toBe(canonical);
  });

  it.each([
    ['synthetic:llama-65', /no synthetic model of shape "llama-65"; did you mean "synthetic:llama-65b"\? known: tiny,/],
    ['synthetic:', /no synthetic model of shape "" known: tiny/],
    ['synthetic:toString', /no synthetic model of shape "toString"/],
    ['synthetic:tiny?layer=2', /no key "layer"; did you mean "layers"\? known: layers, seed, dtype$/],
    ['synthetic:tiny?layers=0', /^layers: expected a whole number from 1 to 4096, found "0"$/],
    ['synthetic:tiny?layers=2.5', /^layers: expected a whole number from 1 to 4096, found "2.5"$/],
    ['synthetic:tiny?seed=4294967296', /^seed: expected a whole number from 0 to 4294967295, found "4294967296"$/],
    ['synthetic:tiny?dtype=int8', /^dtype: expected one of bf16, f16, f32, found "int8"$/],
    ['synthetic:tiny?dtype=constructor', /^dtype: expected one of/],
    ['synthetic:tiny?seed=1&seed=1', /^seed is given twice$/],
    ['synthetic:tiny?__proto__=1', /no key "__proto__"/],
  ])('%s is refused', (location, problem) => {
    expect(syntheticProblem(location, 'model')).toMatch(problem);
    expect(() => parseSyntheticModel(location)).toThrow(expect.objectContaining({ code: 'ArgumentInvalid' }));
  });
});

describe('synthetic token ids', () => {
  it('have the samples and the length of text calibration unless given', () => {
    expect(showSyntheticTokens(parseSyntheticTokens('synthetic:tokens'))).toBe(
      'synthetic:tokens?samples=128&sequenceLength=2048&seed=0',
    );
    expect(parseSyntheticTokens('synthetic:tokens?seed=3&samples=4&sequenceLength=64')).toEqual({
      samples: 4,
      sequenceLength: 64,
      seed: 3,
    });
  });

  it.each([
    ['synthetic:tiny', /^synthetic token ids are "synthetic:tokens\?samples=128&sequenceLength=2048&seed=0"$/],
    ['synthetic:tokens?length=64', /no key "length" known: samples, sequenceLength, seed$/],
    ['synthetic:tokens?samples=1000000&sequenceLength=1048576', /expected at most 134217728 tokens/],
  ])('%s is refused', (location, problem) => {
    expect(syntheticProblem(location, 'tokens')).toMatch(problem);
  });
});
