/** Files of a synthetic model: made when a task names them, gone when none needs them. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TensorLocation } from '../../../shared/checkpoint/tensor-location.ts';
import type { TensorRef } from '../../../shared/rpc/generated/secateur/v1/TensorRef.ts';
import { DirectJobFiles } from '../../../shared/storage/direct-job-files.ts';
import { SyntheticJobFiles } from '../../../shared/storage/synthetic-job-files.ts';
import { syntheticCheckpoint, syntheticTensor } from '../../../shared/synthetic/synthetic-checkpoint.ts';
import { parseSyntheticModel } from '../../../shared/synthetic/synthetic-location.ts';

const LOCATION = 'synthetic:tiny?layers=3&seed=5&dtype=bf16';
const { tensors } = syntheticCheckpoint(LOCATION);

function refOf({ name, dtype, shape, file, offset, sizeBytes }: TensorLocation): TensorRef {
  return { name, dtype, shape: [...shape], file: { root: 'FILE_ROOT_SOURCE', name: file }, offset, sizeBytes };
}

function refsOf(file: string): TensorRef[] {
  return [...tensors.values()].filter((tensor) => tensor.file === file).map(refOf);
}

describe('files of a synthetic model', () => {
  let folder: string;
  let files: SyntheticJobFiles;
  const made = (): string[] => readdirSync(join(folder, 'made')).map((name) => name.replace(/-[0-9a-f]{8}$/, ''));

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-synthetic-'));
    const direct = new DirectJobFiles({
      sourceDirectory: LOCATION,
      stagingDirectory: folder,
      calibrationFiles: [],
      evaluationFiles: [],
    });
    files = await SyntheticJobFiles.open(direct, LOCATION, join(folder, 'made'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('hold the bytes of their tensors, whichever of them are asked for', async () => {
    const refs = refsOf('layer-00001');
    const located = await files.fetchTensors(refs.slice(2, 4));
    expect([...located.keys()]).toEqual(refs.slice(2, 4).map(({ name }) => name));
    for (const [name, { file, offset, sizeBytes, dtype, shape }] of located) {
      const expected = new Uint8Array(sizeBytes);
      syntheticTensor(parseSyntheticModel(LOCATION), { name, dtype: 'BF16', shape }).fill(expected, 0);
      expect(dtype).toBe('BF16');
      expect(new Uint8Array(readFileSync(file).subarray(offset, offset + sizeBytes))).toEqual(expected);
    }
    const whole = refs.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0);
    const [first] = located.values();
    expect(readFileSync(first?.file ?? '').length).toBe(whole);
  });

  it('stay while their task runs, and the last one for the next task; then they go', async () => {
    files.setIdentity(null);
    await files.fetchTensors([...refsOf('model.embed_tokens.weight'), ...refsOf('layer-00000')]);
    expect(made()).toEqual(['layer-00000', 'model.embed_tokens.weight']);
    files.setIdentity(null);
    const [again] = (await files.fetchTensors(refsOf('layer-00000'))).values();
    expect(made()).toEqual(['layer-00000', 'model.embed_tokens.weight']);
    files.setIdentity(null);
    await files.fetchTensors(refsOf('layer-00001'));
    expect(made()).toEqual(['layer-00001']);
    expect(again?.file).toMatch(/layer-00000-[0-9a-f]{8}$/);
  });

  it('go in the midst of a long task that has released them', async () => {
    for (const layer of [0, 1, 2]) {
      const refs = refsOf(`layer-0000${layer}`);
      await files.fetchTensors(refs);
      expect(made()).toEqual([`layer-0000${layer}`]);
      files.releaseTensors(refs);
    }
  });

  it('stand beside those of staging', async () => {
    writeFileSync(join(folder, 'committed'), new Uint8Array(8));
    const committed: TensorRef = {
      name: 'w',
      dtype: 'BF16',
      shape: [4],
      file: { root: 'FILE_ROOT_STAGING', name: 'committed', sizeBytes: 8 },
      offset: 0,
      sizeBytes: 8,
    };
    const located = await files.fetchTensors([committed, ...refsOf('model.norm.weight')]);
    expect([...located.keys()]).toEqual(['w', 'model.norm.weight']);
    expect(located.get('w')?.file).toBe(join(folder, 'committed'));
  });

  it.each<[string, Partial<TensorRef>]>([
    ['a tensor that the model lacks', { name: 'model.layers.9.mlp.up_proj.weight' }],
    ['another place', { offset: 2 }],
    ['another file', { file: { root: 'FILE_ROOT_SOURCE', name: 'layer-00002' } }],
    ['another type', { dtype: 'F16' }],
  ])('are not made for %s', async (_, over) => {
    const [ref] = refsOf('layer-00001');
    await expect(files.fetchTensors([{ ...ref, ...over }])).rejects.toThrow(`${LOCATION} has no source/`);
    expect(made()).toEqual([]);
    await expect(files.localPath({ root: 'FILE_ROOT_SOURCE', name: 'layer-00001' })).rejects.toThrow(/has no source/);
  });
});
