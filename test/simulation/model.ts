/**
 * A model of which only the arithmetic of dependence is left: every value is a hash of what it was computed from, per
 * sample, as ARCHITECTURE.md has it. `expectedShards` is what any run must publish, whatever happened to it.
 */
import { type BudgetedLayer, layerSparsities, prunedPerRow, shareOf } from '../../coordinator/core/owl.ts';
import { planOutputShards } from '../../coordinator/core/plan.ts';
import type { AssembledShard, JobIntake } from '../../coordinator/core/state.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { hashOf } from './hash.ts';

export interface ModelOptions {
  readonly layers: number;
  readonly samples: number;
  readonly microbatch: number;
  readonly propagate: 'pruned' | 'dense';
  readonly stages: number | 'auto';
  readonly replicas: number | 'auto';
  readonly snapshotInterval: number | 'auto';
  /** One that needs Hessians, or one that does not. */
  readonly method: 'wanda' | 'sparsegpt';
  /** Texts that perplexity is measured on. */
  readonly texts: number;
  /** Whether each layer has its own sparsity, by its outliers. */
  readonly layerwise?: boolean;
}

const SPARSITY = 0.5;
const LAYERWISE = { layerwise: 'owl', outlierThreshold: 5, deviation: 0.2 };
/** Three tensors. */
const SHARD_BYTES_MAX = 120;
const SOURCE = '/model';
export const OUTPUT = '/out';
export const STATE = '/state';

export function manifestOf(
  options: Omit<ModelOptions, 'layers' | 'microbatch'> & { readonly microbatch: number | 'auto' },
  { name, shardBytesMax } = { name: 'simulated', shardBytesMax: SHARD_BYTES_MAX },
): Manifest {
  const { samples, microbatch, propagate, stages, replicas, snapshotInterval, method, texts, layerwise } = options;
  return {
    apiVersion: 'secateur/v1',
    kind: 'PruneJob',
    metadata: { name, namespace: 'default' },
    spec: {
      model: { source: `file://${SOURCE}` },
      output: { destination: `file://${OUTPUT}`, maxShardSize: shardBytesMax },
      calibration: { text: ['file:///a.txt'], samples, sequenceLength: 8, seed: 0, microbatch },
      pruning: { method, sparsity: SPARSITY, propagate, ...(layerwise ? LAYERWISE : {}) },
      placement: { stages, replicas, snapshotInterval },
      ...(texts === 0
        ? {}
        : {
            evaluation: {
              text: textFiles(texts).map((path) => `file://${path}`),
              sequenceLength: 8,
              outputError: true,
            },
          }),
    },
  } as unknown as Manifest;
}

function textFiles(texts: number): string[] {
  return Array.from({ length: texts }, (_, text) => `/text-${text}.txt`);
}

export function intakeOf(options: Pick<ModelOptions, 'layers' | 'texts' | 'layerwise'>): JobIntake {
  const slot = (name: string) => ({
    name,
    dtype: 'F32' as const,
    shape: [10],
    file: 'model.safetensors',
    offset: 0,
    sizeBytes: 40,
  });
  return {
    sourceDirectory: SOURCE,
    outputDirectory: OUTPUT,
    model: {
      hiddenSize: 10,
      intermediateSize: 10,
      headCount: 1,
      keyValueHeadCount: 1,
      headDim: 10,
    } as JobIntake['model'],
    shards: [
      { file: 'a.safetensors', sizeBytes: 100, mtimeMs: 1 },
      { file: 'b.safetensors', sizeBytes: 100, mtimeMs: 1 },
    ],
    auxiliaryFiles: [],
    calibrationFiles: [{ file: '/a.txt', sizeBytes: 10, mtimeMs: 1 }],
    evaluationFiles: textFiles(options.texts).map((path) => ({ file: path, sizeBytes: 10, mtimeMs: 1 })),
    givenTokens: null,
    layers: Array.from({ length: options.layers }, (_, layer) => ({
      linears: [
        {
          tensor: `l${layer}.w`,
          statistic: 'x',
          outFeatures: 1,
          inFeatures: WEIGHTS,
          choice: { kind: 'unstructured', sparsity: SPARSITY, ...(options.layerwise ? { layerwise: true } : {}) },
        },
      ],
      tensors: [slot(`l${layer}.w`)],
    })),
    outside: [slot('embed'), slot('head')],
    embedding: slot('embed'),
    warnings: [],
  };
}

/** Of one sample in one layer: ten floats wide, as the linears are. */
export const STATISTIC_BYTES = 40;
/** Of a layer: one row. */
const WEIGHTS = STATISTIC_BYTES / Float32Array.BYTES_PER_ELEMENT;

/** Of a file's content; stands where a SHA-256 does. */
export function digestOf(content: string): string {
  return hashOf('file', content).padStart(64, '0');
}

export function calibrationContent(samples: number): string {
  return `calibration of ${samples} samples`;
}

export function textContent(text: number, windows: number): string {
  return `${windows} windows of text ${text}`;
}

/** Of the text with these ids. */
export function windowsOf(text: number): number {
  return 3 + 4 * text;
}

/** Σ -log p(token) of a window: any number above 0 that depends on everything that it depends on. */
export function likelihoodOf(engine: string, ids: string, window: number, layers: readonly string[]): number {
  const hidden = layers.reduce((state, weights) => forward(engine, weights, state), embed(ids, window));
  return Number.parseInt(hidden.slice(0, 6), 16) / 2 ** 20;
}

/** Engines of different versions round differently: `engine` is part of whatever they compute. */
export function embed(calibration: string, sample: number): string {
  return hashOf('embed', calibration, sample);
}

/** The source's weights of a layer, as content. */
export function sourceLayer(layer: number): string {
  return `source layer ${layer}`;
}

export function forward(engine: string, weights: string, hidden: string): string {
  return hashOf('forward', engine, weights, hidden);
}

export function statisticOf(engine: string, layer: number, hidden: string): string {
  return hashOf('statistic', engine, layer, hidden).padEnd(STATISTIC_BYTES, '.');
}

/** In the order of the samples. */
export function sumOf(layer: number, statistics: readonly string[]): string {
  return hashOf('sum', layer, ...statistics);
}

/** Products of one sample's input columns, normalised by the sums over all samples. */
export function productsOf(engine: string, layer: number, sum: string, hidden: string): string {
  return hashOf('products', engine, layer, sum, hidden);
}

/** Of the ten weights of a layer with this sum, how many stand out. */
export function outliersOf(sum: string): number {
  return Number.parseInt(sum.slice(0, 8), 16) % (WEIGHTS + 1);
}

/** A committed layer's content. `products`: of every sample, in any order; none where the method needs no Hessian. */
export function prunedLayer(layer: number, sum: string, products: readonly string[], sparsity: number): string {
  return `pruned layer ${layer} ${hashOf('prune', layer, sum, sparsity, ...[...products].sort())}`;
}

/** An output shard's content: its tensors in order, each by its name or by its committed layer. */
export function shardContent(tensors: readonly string[], layerContent: (layer: number) => string): string {
  return tensors
    .map((tensor) => {
      const layer = /^l(\d+)\.w$/.exec(tensor)?.[1];
      return layer === undefined ? tensor : layerContent(Number(layer));
    })
    .join('\n');
}

/** Of each layer, by a dense sweep. */
function expectedSparsities(options: ModelOptions, engine: string): number[] {
  if (!options.layerwise) return Array.from({ length: options.layers }, () => SPARSITY);
  let hidden = embedded(options);
  const layers: BudgetedLayer[] = [];
  for (let layer = 0; layer < options.layers; layer++) {
    const statistics = hidden.map((each) => statisticOf(engine, layer, each));
    layers.push({ outlierRatio: outliersOf(sumOf(layer, statistics)) / WEIGHTS, weights: WEIGHTS });
    hidden = hidden.map((each) => forward(engine, sourceLayer(layer), each));
  }
  const linears = layers.map((_, layer) => ({ layer, outFeatures: 1, inFeatures: WEIGHTS }));
  const sparsities = layerSparsities(layers, SPARSITY, LAYERWISE.deviation);
  // It does not prune row by row.
  if (options.method === 'sparsegpt') return sparsities;
  return prunedPerRow(linears, sparsities, SPARSITY).map((count) => shareOf(count, WEIGHTS));
}

function embedded({ samples }: ModelOptions): string[] {
  const calibration = calibrationContent(samples);
  return Array.from({ length: samples }, (_, sample) => embed(calibration, sample));
}

function expectedLayers(options: ModelOptions, engine: string): string[] {
  const sparsities = expectedSparsities(options, engine);
  let hidden = embedded(options);
  const layers: string[] = [];
  for (let layer = 0; layer < options.layers; layer++) {
    const sum = sumOf(
      layer,
      hidden.map((each) => statisticOf(engine, layer, each)),
    );
    const products = options.method === 'sparsegpt' ? hidden.map((each) => productsOf(engine, layer, sum, each)) : [];
    const pruned = prunedLayer(layer, sum, products, sparsities[layer] as number);
    layers.push(pruned);
    const weights = options.propagate === 'pruned' ? pruned : sourceLayer(layer);
    hidden = hidden.map((each) => forward(engine, weights, each));
  }
  return layers;
}

/** Of the dense and of the pruned model, text by text. */
export function expectedPerplexities(options: ModelOptions, engine: string): { dense: number; pruned: number }[] {
  const pruned = expectedLayers(options, engine);
  const dense = pruned.map((_, layer) => sourceLayer(layer));
  return Array.from({ length: options.texts }, (_, text) => {
    const ids = textContent(text, windowsOf(text));
    const perplexity = (layers: readonly string[]): number => {
      const windows = Array.from({ length: windowsOf(text) }, (_, window) => window);
      return Math.exp(
        windows.reduce((sum, each) => sum + likelihoodOf(engine, ids, each, layers) / 7, 0) / windows.length,
      );
    };
    return { dense: perplexity(dense), pruned: perplexity(pruned) };
  });
}

/** File → content. */
export function expectedShards(options: ModelOptions, engine: string): Map<string, string> {
  const layers = expectedLayers(options, engine);
  return new Map(
    planOutputShards(intakeOf(options), SHARD_BYTES_MAX).map(({ file, tensors }) => [
      file,
      shardContent(tensors, (layer) => layers[layer] as string),
    ]),
  );
}

export function assembled(file: string, content: string): AssembledShard {
  return { file, sizeBytes: content.length, sha256: digestOf(content) };
}
