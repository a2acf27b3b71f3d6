/**
 * Weights that are made where they are needed: any range of bytes of a tensor is a pure function of the seed, the
 * tensor's name and its type, the same on every machine. Nothing is kept but a table.
 *
 * The four bytes at 4 i are a hash of i, keyed by seed and name: the finalizer `lowbias32` of Chris Wellons' hash
 * prospector (https://github.com/skeeto/hash-prospector) with a second key between its two multiplications, so that no
 * tensor is a shifted piece of another. Twelve bits of the hash choose one of 4096 quantiles of the normal
 * distribution for each weight (BF16 and F16: two weights a hash). Mean 0, standard deviation that of `spread`, at most
 * 3.7 of them.
 *
 * Not for secrets, and not for statistics that look further than a model's weights do.
 */
import { createHash } from 'node:crypto';
import type { FloatDtype } from '../safetensors/dtype.ts';

const WORD_BYTES = 4;
const QUANTILE_BITS = 12;
const QUANTILES = 1 << QUANTILE_BITS;
const QUANTILE_MASK = QUANTILES - 1;
/** The highest twelve bits of a hash, for the second weight of a word. */
const HIGH_SHIFT = 32 - QUANTILE_BITS;

export interface WeightsSpec {
  readonly seed: number;
  /** Of the tensor. */
  readonly name: string;
  readonly dtype: FloatDtype;
  readonly mean: number;
  readonly standardDeviation: number;
}

export class SyntheticWeights {
  private readonly keys: readonly [number, number];
  /** Bits of a weight, by quantile. */
  private readonly table: Uint16Array | Uint32Array;

  constructor({ seed, name, dtype, mean, standardDeviation }: WeightsSpec) {
    const digest = createHash('sha256').update(`${seed}/${name}`).digest();
    this.keys = [digest.readInt32LE(0), digest.readInt32LE(4)];
    this.table = bitsOf(
      normalQuantiles().map((quantile) => mean + standardDeviation * quantile),
      dtype,
    );
  }

  /** Fills `target` with the tensor's bytes from `offset` on. */
  fill(target: Uint8Array, offset: number): void {
    const first = Math.floor(offset / WORD_BYTES);
    const end = Math.ceil((offset + target.length) / WORD_BYTES);
    const isWhole = offset % WORD_BYTES === 0 && target.length % WORD_BYTES === 0;
    if (isWhole && target.byteOffset % WORD_BYTES === 0) {
      this.fillWords(new Uint32Array(target.buffer, target.byteOffset, end - first), first);
      return;
    }
    const words = new Uint32Array(end - first);
    this.fillWords(words, first);
    const begin = offset - first * WORD_BYTES;
    target.set(new Uint8Array(words.buffer).subarray(begin, begin + target.length));
  }

  private fillWords(words: Uint32Array, first: number): void {
    const [before, between] = this.keys;
    // Two loops, each with a table of one kind: a call, or a test, for each word would take longer than the hash.
    if (this.table instanceof Uint16Array) fillPairs(words, first, before, between, this.table);
    else fillSingles(words, first, before, between, this.table);
  }
}

function fillPairs(words: Uint32Array, first: number, before: number, between: number, table: Uint16Array): void {
  for (let index = 0; index < words.length; index++) {
    let hash = Math.imul((first + index) ^ before, 0x7feb352d);
    hash ^= hash >>> 15;
    hash = Math.imul((hash + between) | 0, 0x846ca68b);
    hash ^= hash >>> 16;
    const [low, high] = [table[hash & QUANTILE_MASK] as number, table[hash >>> HIGH_SHIFT] as number];
    words[index] = low | (high << 16);
  }
}

function fillSingles(words: Uint32Array, first: number, before: number, between: number, table: Uint32Array): void {
  for (let index = 0; index < words.length; index++) {
    let hash = Math.imul((first + index) ^ before, 0x7feb352d);
    hash ^= hash >>> 15;
    hash = Math.imul((hash + between) | 0, 0x846ca68b);
    hash ^= hash >>> 16;
    words[index] = table[hash & QUANTILE_MASK] as number;
  }
}

/** Bits of numbers in a type, each rounded to the nearest, ties to even. */
function bitsOf(values: Float64Array, dtype: FloatDtype): Uint16Array | Uint32Array {
  const float32 = Float32Array.from(values);
  const bits = new Uint32Array(float32.buffer);
  switch (dtype) {
    case 'F32':
      return bits;
    case 'F16':
      return new Uint16Array(Float16Array.from(values).buffer);
    case 'BF16':
      return Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
  }
}

/** Of the middles of equal shares, in order; their standard deviation is made 1. */
function normalQuantiles(): Float64Array {
  const half = Float64Array.from({ length: QUANTILES / 2 }, (_, index) => -inverseNormal((index + 0.5) / QUANTILES));
  const deviation = Math.sqrt(half.reduce((sum, value) => sum + value * value, 0) / half.length);
  return Float64Array.from({ length: QUANTILES }, (_, index) =>
    index < half.length ? -(half[index] as number) / deviation : (half[QUANTILES - 1 - index] as number) / deviation,
  );
}

/**
 * The quantile of a probability up to one half, by the rational approximation of P. J. Acklam (2003), relative error below
 * 1.15e-9: far below what a weight can show.
 */
function inverseNormal(probability: number): number {
  if (probability < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(probability));
    const numerator =
      ((((-7.784894002430293e-3 * q - 3.223964580411365e-1) * q - 2.400758277161838) * q - 2.549732539343734) * q +
        4.374664141464968) *
        q +
      2.938163982698783;
    const denominator =
      (((7.784695709041462e-3 * q + 3.224671290700398e-1) * q + 2.445134137142996) * q + 3.754408661907416) * q + 1;
    return numerator / denominator;
  }
  const q = probability - 0.5;
  const r = q * q;
  const numerator =
    ((((-3.969683028665376e1 * r + 2.209460984245205e2) * r - 2.759285104469687e2) * r + 1.38357751867269e2) * r -
      3.066479806614716e1) *
      r +
    2.506628277459239;
  const denominator =
    ((((-5.447609879822406e1 * r + 1.615858368580409e2) * r - 1.556989798598866e2) * r + 6.680131188771972e1) * r -
      1.328068155288572e1) *
      r +
    1;
  return (numerator * q) / denominator;
}
