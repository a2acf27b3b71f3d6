/** micro-llama with the reference's masks, and what the engine's tasks through the whole model are given for it. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeModel } from '../../shared/models/registry.ts';
import type { FileRef__Output } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import { DirectJobFiles } from '../../shared/storage/direct-job-files.ts';
import { RunSize } from '../../worker/engine/run-size.ts';
import type { TaskContext } from '../../worker/engine/task-context.ts';
import { readSafetensors } from './read-safetensors.ts';

export const MICRO_LLAMA = fileURLToPath(new URL('../../examples/micro-llama/model/', import.meta.url));
const MICRO_FIXTURES = fileURLToPath(new URL('../golden/fixtures/micro/', import.meta.url));
const CALIBRATION_SAMPLES = 16;
/** Of the golden ids, evaluation and calibration. */
export const SEQUENCE_LENGTH = 128;
export const microLlama = describeModel(JSON.parse(readFileSync(join(MICRO_LLAMA, 'config.json'), 'utf8')));

/** What the reference measured: fixtures/micro/results.json. */
export interface ReferenceResults {
  readonly dense: { readonly ppl: number };
  readonly runs: {
    readonly [run: string]: {
      readonly ppl: number;
      readonly matrices: { readonly [linear: string]: { readonly rel_err_dense_inputs: number } };
    };
  };
}

export const referenceResults = JSON.parse(
  readFileSync(join(MICRO_FIXTURES, 'results.json'), 'utf8'),
) as ReferenceResults;

/** Writes the model into folder/run, its weights zeroed where the run's mask has a 1. @returns the new folder */
export async function maskedMicroLlama(folder: string, run: string): Promise<string> {
  const masks = readSafetensors(join(MICRO_FIXTURES, `masks/${run}.safetensors`));
  const source = readSafetensors(join(MICRO_LLAMA, 'model.safetensors'));
  const tensors = [...source].map(([name, { dtype, shape, bytes }]) => {
    const mask = masks.get(name.replace(/^model\./, '').replace(/\.weight$/, ''))?.bytes;
    const weights = new Uint16Array(bytes.slice().buffer);
    const columns = shape[1] ?? 1;
    const rowBytes = Math.ceil(columns / 8);
    for (let index = 0; mask !== undefined && index < weights.length; index++) {
      const column = index % columns;
      if (((mask[Math.floor(index / columns) * rowBytes + (column >> 3)] as number) >> (column & 7)) & 1)
        weights[index] = 0;
    }
    return { name, dtype, shape, data: new Uint8Array(weights.buffer) };
  });
  const masked = join(folder, run);
  mkdirSync(masked);
  await writeSafetensorsFile(join(masked, 'model.safetensors'), tensors);
  return masked;
}

/** Every tensor of a folder's file as tasks name them, the file under this root. */
export async function tensorRefs(
  folder: string,
  root: 'FILE_ROOT_SOURCE' | 'FILE_ROOT_STAGING',
  name = 'model.safetensors',
) {
  const file = { root, name, sizeBytes: 0, sha256: '' };
  const { tensors } = await readSafetensorsHeader(join(folder, file.name));
  const refs = [...tensors.values()].map(({ file: _, ...tensor }) => ({ ...tensor, shape: [...tensor.shape], file }));
  return {
    named: (names: readonly string[]) => refs.filter((ref) => names.includes(ref.name)),
    layers: Array.from({ length: microLlama.layerCount }, (_, layer) => ({
      tensors: refs.filter((ref) => ref.name.startsWith(`model.layers.${layer}.`)),
    })),
  };
}

const GOLDEN_IDS = ['evaluation', 'calibration'] as const;

/** The golden windows, or the golden calibration ids, in a microContext. */
export function goldenIds(which: (typeof GOLDEN_IDS)[number]): FileRef__Output {
  return { root: 'FILE_ROOT_EVALUATION', name: String(GOLDEN_IDS.indexOf(which)), sizeBytes: 0, sha256: '' };
}

export function microContext(sourceDirectory: string, stagingDirectory: string, threads = 2): TaskContext {
  const evaluationFiles = GOLDEN_IDS.map((name) => join(MICRO_FIXTURES, `${name}.safetensors`));
  return {
    job: { samples: CALIBRATION_SAMPLES },
    model: microLlama,
    files: new DirectJobFiles({ sourceDirectory, stagingDirectory, calibrationFiles: [], evaluationFiles }),
    provider: 'cpu',
    deviceId: 0,
    threads,
    runSizes: { layer: new RunSize(), head: new RunSize() },
    notice: () => undefined,
    progress: () => undefined,
    isYielding: () => false,
  } as unknown as TaskContext;
}
