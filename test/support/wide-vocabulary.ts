/**
 * micro-llama with a vocabulary of twice the size: the same layers, and tables outside them that are larger than a layer.
 * So with a limit of a layer's size every layer is an output shard of its own (and is linked, not copied), beside
 * shards that are copied.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import { readSafetensors } from './read-safetensors.ts';
import { REPOSITORY } from './secateur-process.ts';

/** The bytes of one layer of micro-llama. */
export const LAYER_SIZE = '110848B';

const SOURCE = join(REPOSITORY, 'examples/micro-llama/model');
const TABLES = new Set(['model.embed_tokens.weight', 'lm_head.weight']);

/** Writes the model into a new folder. Token ids of the golden calibration mean what they meant. */
export async function writeWideVocabulary(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const file of readdirSync(SOURCE)) {
    if (!file.endsWith('.safetensors')) copyFileSync(join(SOURCE, file), join(folder, file));
  }
  const config = JSON.parse(readFileSync(join(SOURCE, 'config.json'), 'utf8')) as { vocab_size: number };
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, vocab_size: 2 * config.vocab_size }));
  const tensors = [...readSafetensors(join(SOURCE, 'model.safetensors'))].map(([name, { dtype, shape, bytes }]) =>
    TABLES.has(name)
      ? { name, dtype, shape: [2 * (shape[0] as number), shape[1] as number], data: Buffer.concat([bytes, bytes]) }
      : { name, dtype, shape, data: bytes },
  );
  await writeSafetensorsFile(join(folder, 'model.safetensors'), tensors);
}
