/**
 * The pseudo-random numbers that draw calibration windows: xoshiro128** seeded by SplitMix64, in 32-bit integers only,
 * so that one seed draws the same windows on every machine. Rust's `Xoshiro128StarStar::seed_from_u64` gives the same
 * numbers. Source: Blackman and Vigna, https://prng.di.unimi.it/xoshiro128starstar.c (1.1) and splitmix64.c.
 *
 * Not for secrets.
 */
import { invariant } from '../../shared/errors/secateur-error.ts';

const UINT32_COUNT = 2 ** 32;

export interface Random {
  /** The next integer of 0 .. 2^32 - 1. */
  nextUint32(): number;
  /** An integer of 0 .. count - 1, each as likely as any other; 1 <= count <= 2^32. */
  below(count: number): number;
}

/** The generator of a seed: an integer of 0 .. 2^53 - 1. */
export function seededRandom(seed: number): Random {
  invariant(Number.isSafeInteger(seed) && seed >= 0, `a seed is a non-negative integer, not ${seed}`);
  const words = splitMix64(BigInt(seed));
  const [low, high] = [words(), words()];
  return xoshiro128StarStar([
    Number(low & 0xffffffffn),
    Number(low >> 32n),
    Number(high & 0xffffffffn),
    Number(high >> 32n),
  ]);
}

/** The generator at a given state: four 32-bit words, not all zero. */
export function xoshiro128StarStar(state: readonly [number, number, number, number]): Random {
  invariant(
    state.some((word) => word !== 0),
    'the state of xoshiro128** is not all zero',
  );
  let [s0, s1, s2, s3] = state;
  function nextUint32(): number {
    const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
    const shifted = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= shifted;
    s3 = rotateLeft(s3, 11);
    return result;
  }
  function below(count: number): number {
    invariant(
      Number.isInteger(count) && count >= 1 && count <= UINT32_COUNT,
      `a draw is among 1 .. 2^32, not ${count}`,
    );
    // The numbers beyond the last whole multiple of `count` would favour the small results: they are drawn again.
    const fair = UINT32_COUNT - (UINT32_COUNT % count);
    let drawn = nextUint32();
    while (drawn >= fair) drawn = nextUint32();
    return drawn % count;
  }
  return { nextUint32, below };
}

/** SplitMix64 from a 64-bit state: a function that gives the next 64-bit number. */
export function splitMix64(seed: bigint): () => bigint {
  let state = BigInt.asUintN(64, seed);
  return () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let mixed = state;
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n);
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
    return mixed ^ (mixed >> 31n);
  };
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
