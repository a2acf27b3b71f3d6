/** A model of any shape for the benchmarks: as large as one that matters, of no use. */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { layoutSafetensors } from '../shared/safetensors/layout.ts';
import { writeSafetensorsFile } from '../shared/safetensors/write-file.ts';

export interface Shape {
  readonly hidden: number;
  readonly intermediate: number;
  readonly heads: number;
  readonly layers: number;
  readonly samples: number;
  readonly sequence: number;
}

/**
 * A checkpoint of that shape in bf16, weights from a small pool of random numbers, scaled like a trained model's; beside
 * it `ids.safetensors` with that many samples.
 */
export async function writeModel(folder: string, shape: Shape): Promise<void> {
  const { hidden, intermediate, layers, heads } = shape;
  const vocabulary = 512;
  const tensors: { name: string; dtype: 'BF16'; shape: number[] }[] = [
    { name: 'model.embed_tokens.weight', dtype: 'BF16', shape: [vocabulary, hidden] },
  ];
  for (let layer = 0; layer < layers; layer++) {
    const add = (name: string, ...dims: number[]): void =>
      void tensors.push({ name: `model.layers.${layer}.${name}.weight`, dtype: 'BF16', shape: dims });
    for (const name of ['q', 'k', 'v', 'o']) add(`self_attn.${name}_proj`, hidden, hidden);
    for (const name of ['gate', 'up']) add(`mlp.${name}_proj`, intermediate, hidden);
    add('mlp.down_proj', hidden, intermediate);
    add('input_layernorm', hidden);
    add('post_attention_layernorm', hidden);
  }
  tensors.push(
    { name: 'model.norm.weight', dtype: 'BF16', shape: [hidden] },
    { name: 'lm_head.weight', dtype: 'BF16', shape: [vocabulary, hidden] },
  );
  const layout = layoutSafetensors(tensors);
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  writeSync(file, layout.headerBytes);
  const pool = randomPool(1 << 20);
  const ones = new Uint16Array(hidden).fill(0x3f80);
  for (const tensor of tensors) {
    const bytes = tensor.shape.reduce((a, b) => a * b, 1) * 2;
    const source = Buffer.from(tensor.shape.length === 1 ? ones.buffer : pool.buffer);
    for (let done = 0; done < bytes; ) done += writeSync(file, source, 0, Math.min(source.length, bytes - done));
  }
  closeSync(file);
  const config = {
    architectures: ['LlamaForCausalLM'],
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: heads,
    vocab_size: vocabulary,
    rms_norm_eps: 1e-5,
    max_position_embeddings: 4096,
    hidden_act: 'silu',
    torch_dtype: 'bfloat16',
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const ids = Int32Array.from({ length: shape.samples * shape.sequence }, (_, index) => (index * 7919) % vocabulary);
  await writeSafetensorsFile(join(folder, 'ids.safetensors'), [
    { name: 'input_ids', dtype: 'I32', shape: [shape.samples, shape.sequence], data: new Uint8Array(ids.buffer) },
  ]);
}

/** bf16 numbers about as large as 1/sqrt(4096), by a small generator. */
function randomPool(count: number): Uint16Array {
  const pool = new Uint16Array(count);
  let state = 0x9e3779b9;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pool[index] = (state & 0x80000000 ? 0x8000 : 0) | (0x3c00 + ((state >>> 8) & 0xff));
  }
  return pool;
}
