/** How many weights of a pruned micro-llama are masked otherwise than by the reference, or than in another pruning. */
import { join } from 'node:path';
import { fixture } from './golden-masks.ts';
import { type GoldenTensor, readSafetensors, tensorOf } from './read-safetensors.ts';

/** Without the sign: zero is zero. */
const MAGNITUDE = 0x7fff;

/** Tensors in 16 bits, by their name. */
export type Weights = ReadonlyMap<string, GoldenTensor>;

export interface MaskDifferences {
  readonly differing: number;
  readonly weights: number;
}

/**
 * Against a mask of the reference (fixtures/micro/masks). A weight that was zero already shows no mask: it counts as agreeing.
 *
 * @param before the model, and `after` what was made of it
 */
export function differencesToReference(run: string, before: Weights, after: Weights): MaskDifferences {
  let [differing, weights] = [0, 0];
  for (const [key, { bytes: mask }] of readSafetensors(fixture(`micro/masks/${run}.safetensors`))) {
    const name = [key, `model.${key}.weight`, `${key}.weight`].find((each) => after.has(each)) ?? key;
    const [old, pruned] = [bits(tensorOf(before, name)), bits(tensorOf(after, name))];
    const [rows, columns] = tensorOf(after, name).shape as [number, number];
    const rowBytes = Math.ceil(columns / 8);
    for (let at = 0; at < rows * columns; at++) {
      const column = at % columns;
      const reference = ((mask[Math.floor(at / columns) * rowBytes + (column >> 3)] ?? 0) >> (column & 7)) & 1;
      if (isZero(old, at)) continue;
      if (isZero(pruned, at) !== (reference === 1)) differing += 1;
    }
    weights += rows * columns;
  }
  return { differing, weights };
}

/** Of two prunings of one model: weights that are zero in one alone, of those of the decoder's matrices. */
export function differencesBetween(left: Weights, right: Weights): MaskDifferences {
  let [differing, weights] = [0, 0];
  for (const [name, tensor] of left) {
    if (!/\.layers\..*_proj\.weight$/.test(name)) continue;
    const [a, b] = [bits(tensor), bits(tensorOf(right, name))];
    for (let at = 0; at < a.length; at++) if (isZero(a, at) !== isZero(b, at)) differing += 1;
    weights += a.length;
  }
  return { differing, weights };
}

/** Of a folder's one shard. */
export function weightsOf(folder: string): Weights {
  return readSafetensors(join(folder, 'model.safetensors'));
}

function bits({ bytes }: GoldenTensor): Uint16Array {
  return new Uint16Array(bytes.buffer);
}

function isZero(values: Uint16Array, at: number): boolean {
  return ((values[at] ?? 0) & MAGNITUDE) === 0;
}
