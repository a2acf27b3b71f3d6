/** Named shapes of LLaMA models: the dimensions of their published config.json, and one that is next to nothing. */

export interface Shape {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly headCount: number;
  readonly keyValueHeadCount: number;
  readonly layerCount: number;
  readonly vocabularySize: number;
}

const TINY: Shape = {
  hiddenSize: 64,
  intermediateSize: 176,
  headCount: 4,
  keyValueHeadCount: 2,
  layerCount: 4,
  vocabularySize: 256,
};

export const SHAPES = {
  tiny: TINY,
  'tinyllama-1.1b': llama(2048, 5632, 32, 22, 4),
  'llama-7b': llama(4096, 11008, 32, 32),
  'llama-13b': llama(5120, 13824, 40, 40),
  'llama-30b': llama(6656, 17920, 52, 60),
  'llama-65b': llama(8192, 22016, 64, 80),
  'llama-2-70b': llama(8192, 28672, 64, 80, 8),
} as const satisfies Record<string, Shape>;

export type ShapeName = keyof typeof SHAPES;

export const SHAPE_NAMES = Object.keys(SHAPES) as ShapeName[];

export function isShapeName(name: string): name is ShapeName {
  return Object.hasOwn(SHAPES, name);
}

function llama(
  hiddenSize: number,
  intermediateSize: number,
  headCount: number,
  layerCount: number,
  keyValueHeadCount = headCount,
): Shape {
  return { hiddenSize, intermediateSize, headCount, keyValueHeadCount, layerCount, vocabularySize: 32_000 };
}
