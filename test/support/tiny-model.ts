/** A checkpoint of many very small layers, its token ids, and the manifest that prunes it: what matters is that the files are real. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseManifest } from '../../shared/manifest/parse-manifest.ts';
import { resolveLocations } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { layerTensors, outsideTensors } from '../../shared/models/family.ts';
import { describeModel } from '../../shared/models/registry.ts';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';

const VOCABULARY = 32;
const HIDDEN = 8;
const SEQUENCE = 4;

export interface TinyModel {
  readonly layers: number;
  /** Samples of calibration data; each is a microbatch. */
  readonly samples: number;
  /** Wide layers have wide statistics: a sample's are (3 x 8 + this) numbers. */
  readonly intermediate?: number;
}

export interface TinyJob {
  readonly name: string;
  readonly output: string;
  readonly propagate: 'pruned' | 'dense';
  readonly stages?: number;
}

/** Writes model and token ids into `folder`, which is made. */
export async function writeTinyModel(folder: string, { layers, samples, intermediate = 16 }: TinyModel): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const config = {
    architectures: ['LlamaForCausalLM'],
    hidden_size: HIDDEN,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: 1,
    num_key_value_heads: 1,
    vocab_size: VOCABULARY,
    max_position_embeddings: 64,
    hidden_act: 'silu',
    torch_dtype: 'bfloat16',
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const model = describeModel(config);
  const named = [
    ...outsideTensors(model),
    ...Array.from({ length: layers }, (_, layer) => {
      const { linears, others } = layerTensors(model, layer);
      return [...linears.map((each) => ({ name: each.name, shape: [each.outFeatures, each.inFeatures] })), ...others];
    }).flat(),
  ];
  const tensors = named.map(({ name, shape }, index) => {
    const weights = bfloat16s(
      shape.reduce((a, b) => a * b, 1),
      index,
    );
    return { name, dtype: 'BF16' as const, shape, data: new Uint8Array(weights.buffer) };
  });
  await writeSafetensorsFile(join(folder, 'model.safetensors'), tensors);
  const ids = Int32Array.from({ length: samples * SEQUENCE }, (_, index) => (index * 7) % VOCABULARY);
  await writeSafetensorsFile(join(folder, 'ids.safetensors'), [
    { name: 'input_ids', dtype: 'I32', shape: [samples, SEQUENCE], data: new Uint8Array(ids.buffer) },
  ]);
}

/** Finite numbers of both signs, by a small generator. */
function bfloat16s(count: number, seed: number): Uint16Array<ArrayBuffer> {
  const numbers = new Uint16Array(count);
  let state = (seed + 1) * 0x9e3779b9;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    numbers[index] = (state & 0x80000000 ? 0x8000 : 0) | (0x3c00 + ((state >>> 8) & 0xff));
  }
  return numbers;
}

/** @param folder of the model (`writeTinyModel`) */
export function tinyManifest(folder: string, { name, output, propagate, stages = 1 }: TinyJob): Manifest {
  const manifest = {
    apiVersion: 'secateur/v1',
    kind: 'PruneJob',
    metadata: { name },
    spec: {
      model: { source: folder },
      output: { destination: output },
      calibration: { tokens: join(folder, 'ids.safetensors'), microbatch: 1 },
      pruning: { method: 'wanda', sparsity: 0.5, propagate },
      placement: { stages },
    },
  };
  return resolveLocations(parseManifest(JSON.stringify(manifest), 'manifest'), folder);
}
