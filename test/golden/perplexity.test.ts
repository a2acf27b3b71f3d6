/**
 * Perplexity against the reference (locuslab/wanda at 8e8fc87, lib/eval.py, in float32), on micro-llama as it is and with
 * the reference's own masks: the whole way from token ids to likelihoods, as the engine goes it.
 */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { describeModel } from '../../shared/models/registry.ts';
import { headTensorNames } from '../../shared/onnx/language-head.ts';
import type { EvaluateTask__Output } from '../../shared/rpc/generated/secateur/v1/EvaluateTask.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import { DirectJobFiles } from '../../shared/storage/direct-job-files.ts';
import type { TaskContext } from '../../worker/engine/task-context.ts';
import { runEvaluate } from '../../worker/engine/tasks/run-evaluate.ts';
import { readSafetensors } from '../support/read-safetensors.ts';

const MODEL_FOLDER = fileURLToPath(new URL('../../examples/micro-llama/model/', import.meta.url));
const FIXTURES = fileURLToPath(new URL('fixtures/micro/', import.meta.url));
const WINDOWS = 64;

const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'secateur-test-')));
afterAll(() => rmSync(scratch, { recursive: true }));

const model = describeModel(JSON.parse(readFileSync(join(MODEL_FOLDER, 'config.json'), 'utf8')));
const results = JSON.parse(readFileSync(join(FIXTURES, 'results.json'), 'utf8')) as {
  dense: { ppl: number };
  runs: Record<string, { ppl: number }>;
};

/** A folder with the model, its weights zeroed where the run's mask has a 1. */
async function maskedModel(run: string): Promise<string> {
  const masks = readSafetensors(new URL(`./fixtures/micro/masks/${run}.safetensors`, import.meta.url));
  const source = readSafetensors(new URL('../../examples/micro-llama/model/model.safetensors', import.meta.url));
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
    return { name, dtype: dtype as 'F16', shape, data: new Uint8Array(weights.buffer) };
  });
  const folder = join(scratch, run);
  mkdirSync(folder);
  await writeSafetensorsFile(join(folder, 'model.safetensors'), tensors);
  return folder;
}

async function perplexity(
  sourceDirectory: string,
  batch: number,
  windows: readonly [number, number][],
): Promise<number> {
  const file = { root: 'FILE_ROOT_SOURCE' as const, name: 'model.safetensors', sizeBytes: 0, sha256: '' };
  const { tensors } = await readSafetensorsHeader(join(sourceDirectory, file.name));
  const refs = [...tensors.values()].map(({ file: _, ...tensor }) => ({ ...tensor, shape: [...tensor.shape], file }));
  const named = (names: readonly string[]) => refs.filter((ref) => names.includes(ref.name));
  const layers = Array.from({ length: model.layerCount }, (_, layer) => ({
    tensors: refs.filter((ref) => ref.name.startsWith(`model.layers.${layer}.`)),
  }));
  const folders = { sourceDirectory, stagingDirectory: FIXTURES, calibrationFiles: [], evaluationFiles: [] };
  const context = {
    model,
    files: new DirectJobFiles(folders),
    provider: 'cpu',
    deviceId: 0,
    threads: 2,
    progress: () => undefined,
    isYielding: () => false,
  } as unknown as TaskContext;
  const nll: number[] = [];
  for (const [first, end] of windows) {
    const task: EvaluateTask__Output = {
      ids: { root: 'FILE_ROOT_STAGING', name: 'evaluation.safetensors', sizeBytes: 0, sha256: '' },
      sequenceLength: 128,
      windows: [{ first, end }],
      batch,
      embedding: named(['model.embed_tokens.weight'])[0] ?? null,
      layers,
      head: named(headTensorNames(model)),
    };
    nll.push(...((await runEvaluate(task, context)).evaluate?.nll ?? []));
  }
  expect(nll).toHaveLength(WINDOWS);
  return Math.exp(nll.reduce((sum, each) => sum + each / 127, 0) / WINDOWS);
}

describe('perplexity on micro-llama', () => {
  it('of the dense model is the reference’s, whatever the batch and however the windows are shared', async () => {
    const whole = await perplexity(MODEL_FOLDER, 16, [[0, WINDOWS]]);
    expect(Math.abs(whole / results.dense.ppl - 1)).toBeLessThan(1e-5);
    expect(
      await perplexity(MODEL_FOLDER, 1, [
        [0, 1],
        [1, 40],
        [40, WINDOWS],
      ]),
    ).toBe(whole);
  });

  it.each(
    ['wanda', 'magnitude'].flatMap((method) =>
      ['50', '2-4', '4-8'].map((pattern) => `${method}_${pattern}${method === 'wanda' ? '_ref' : ''}`),
    ),
  )('with the masks of %s is the reference’s', async (run) => {
    const found = await perplexity(await maskedModel(run), 16, [[0, WINDOWS]]);
    expect(Math.abs(found / (results.runs[run]?.ppl ?? 0) - 1)).toBeLessThan(1e-5);
  });
});
