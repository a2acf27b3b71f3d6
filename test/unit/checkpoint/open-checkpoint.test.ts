/** Checkpoints as people have them: one file, shards, a Hugging Face cache, other formats beside the weights. */

import { existsSync } from 'node:fs';
import { mkdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../../shared/checkpoint/open-checkpoint.ts';
import type { TensorLocation } from '../../../shared/checkpoint/tensor-location.ts';
import { readTensorBytes } from '../../../shared/safetensors/read-tensor.ts';
import { expectRefusal, temporaryFolder, validFile, writeFolder } from '../../hostile/hostile-files.ts';

const INDEX = 'model.safetensors.index.json';
const EXAMPLE = fileURLToPath(new URL('../../../examples/micro-llama/model', import.meta.url));
const SHARED_MODEL = fileURLToPath(new URL('../../../../shared/models/tiny-llama', import.meta.url));
const hasShared = existsSync(SHARED_MODEL);

const folder = temporaryFolder();

function shard(...names: string[]): Uint8Array {
  return validFile(names.map((name) => ({ name, dtype: 'F32', shape: [2] })));
}

describe('openCheckpoint', () => {
  test('opens one file without an index', async () => {
    const path = await writeFolder(folder.path('single'), { 'model.safetensors': shard('b', 'a') });
    const checkpoint = await openCheckpoint(path);
    expect(checkpoint.config).toEqual({ model_type: 'llama' });
    expect(checkpoint.shards.map(({ file }) => file)).toEqual(['model.safetensors']);
    expect([...checkpoint.tensors.keys()]).toEqual(['b', 'a']);
    expect(checkpoint.totalSizeBytes).toBe(16);
    expect(checkpoint.weightMapFile).toBeUndefined();
    expect(checkpoint.warnings).toEqual([]);
  });

  test('opens shards by their index, in the order of names and bytes', async () => {
    const path = await writeFolder(folder.path('sharded'), {
      [INDEX]: {
        metadata: { total_size: 24 },
        weight_map: { z: 'b.safetensors', a: 'b.safetensors', m: 'a.safetensors' },
      },
      'a.safetensors': shard('m'),
      'b.safetensors': shard('z', 'a'),
    });
    const checkpoint = await openCheckpoint(path);
    expect(checkpoint.shards.map(({ file }) => file)).toEqual(['a.safetensors', 'b.safetensors']);
    expect([...checkpoint.tensors.keys()]).toEqual(['m', 'z', 'a']);
    expect(checkpoint.totalSizeBytes).toBe(24);
    expect(checkpoint.weightMapFile).toBe(INDEX);
    expect(checkpoint.warnings).toEqual([]);
    for (const { path: shardPath, sizeBytes } of checkpoint.shards) {
      expect((await readFile(shardPath)).length).toBe(sizeBytes);
    }
    const location = checkpoint.tensors.get('a') as TensorLocation;
    expect(location.file).toBe(checkpoint.shards[1]?.path);
    expect(await readTensorBytes(location)).toEqual(new Uint8Array(8).fill(2));
  });

  test('opens 20 shards, more than are read at once', async () => {
    const names = Array.from(
      { length: 20 },
      (_, shardIndex) => `model-${String(shardIndex).padStart(2, '0')}.safetensors`,
    );
    const weightMap = Object.fromEntries(names.map((name, shardIndex) => [`t${shardIndex}`, name]));
    const path = await writeFolder(folder.path('many'), {
      [INDEX]: { weight_map: weightMap },
      ...Object.fromEntries(names.map((name, shardIndex) => [name, shard(`t${shardIndex}`)])),
    });
    const checkpoint = await openCheckpoint(path);
    expect([...checkpoint.tensors.keys()]).toEqual(names.map((_, shardIndex) => `t${shardIndex}`));
  });

  test('lets the index win over a single file, and says so', async () => {
    const path = await writeFolder(folder.path('both'), {
      [INDEX]: { weight_map: { a: 'a.safetensors' } },
      'a.safetensors': shard('a'),
      'model.safetensors': shard('other'),
      'consolidated.safetensors': shard('a'),
    });
    const checkpoint = await openCheckpoint(path);
    expect([...checkpoint.tensors.keys()]).toEqual(['a']);
    expect(checkpoint.warnings).toEqual([expect.stringContaining('consolidated.safetensors, model.safetensors')]);
  });

  test.each([
    ['another number', 17, 'metadata.total_size is 17, the tensors have 8 bytes'],
    ['text', '8', 'number of bytes'],
    ['a fraction', 8.5, '8.5'],
  ])('warns of a total_size that is %s, and goes on', async (_, total, says) => {
    const path = await writeFolder(folder.path('total'), {
      [INDEX]: { metadata: { total_size: total }, weight_map: { a: 'a.safetensors' } },
      'a.safetensors': shard('a'),
    });
    const checkpoint = await openCheckpoint(path);
    expect(checkpoint.totalSizeBytes).toBe(8);
    expect(checkpoint.warnings).toEqual([expect.stringContaining(says)]);
  });

  test('takes a total_size that is written as 8.0', async () => {
    const path = await writeFolder(folder.path('point-zero'), {
      [INDEX]: '{"metadata":{"total_size":8.0,"x":[1]},"weight_map":{"a":"a.safetensors"},"more":{}}',
      'a.safetensors': shard('a'),
    });
    expect((await openCheckpoint(path)).warnings).toEqual([]);
  });

  test('follows the links of a Hugging Face cache to the blobs', async () => {
    const [blobs, snapshot] = [folder.path('hub', 'blobs'), folder.path('hub', 'snapshots', 'abc')];
    await mkdir(blobs, { recursive: true });
    await mkdir(snapshot, { recursive: true });
    const contents = { 'model.safetensors': shard('a'), 'config.json': '{}', 'tokenizer.json': '{}' };
    for (const [index, [name, content]] of Object.entries(contents).entries()) {
      await writeFile(`${blobs}/hash${index}`, content);
      await symlink(`../../blobs/hash${index}`, `${snapshot}/${name}`);
    }
    const checkpoint = await openCheckpoint(snapshot);
    expect(checkpoint.shards).toEqual([
      {
        file: 'model.safetensors',
        path: await realpath(`${blobs}/hash0`),
        sizeBytes: contents['model.safetensors'].length,
      },
    ]);
    expect(checkpoint.tensors.get('a')?.file).toBe(checkpoint.shards[0]?.path);
    expect(checkpoint.auxiliaryFiles).toEqual(['config.json', 'tokenizer.json']);
  });

  test('carries over what belongs to the model and no other weights', async () => {
    const kept = [
      'LICENSE',
      'README.md',
      'USE_POLICY.md',
      'added_tokens.json',
      'chat_template.jinja',
      'config.json',
      'generation_config.json',
      'merges.txt',
      'modeling_llama.py',
      'special_tokens_map.json',
      'tokenizer.json',
      'tokenizer.model',
      'tokenizer_config.json',
      'vocab.json',
    ];
    const left = [
      'pytorch_model.bin',
      'pytorch_model.bin.index.json',
      'model.safetensors.index.fp16.json',
      'consolidated.00.pth',
      'rng_state.pt',
      'model.Q4_K_M.GGUF',
      'model.onnx',
      'model.onnx_data',
      'flax_model.msgpack',
      'tf_model.h5',
      '.gitattributes',
      '.secateur.json.tmp',
      'secateur.json',
    ];
    const files = Object.fromEntries([...kept, ...left].map((name) => [name, '{}']));
    const path = await writeFolder(folder.path('auxiliary'), { ...files, 'model.safetensors': shard('a') });
    await mkdir(`${path}/original`);
    expect((await openCheckpoint(path)).auxiliaryFiles).toEqual(kept);
  });

  test('gives an absolute folder for a relative one', async () => {
    const { directory, shards } = await openCheckpoint('examples/micro-llama/model');
    expect(directory).toBe(EXAMPLE);
    expect(shards[0]?.path).toBe(await realpath(`${EXAMPLE}/model.safetensors`));
  });

  test('says how to convert a checkpoint of another format', async () => {
    const path = await writeFolder(folder.path('pickle'), {
      'pytorch_model.bin': 'x',
      'pytorch_model.bin.index.json': {},
    });
    await expectRefusal(
      () => openCheckpoint(path),
      'CheckpointInvalid',
      path,
      'pytorch_model.bin',
      'Convert them to safetensors',
    );
  });

  test('says what is missing: the configuration, the index, the weights', async () => {
    const none = await writeFolder(folder.path('none'), {});
    await expectRefusal(() => openCheckpoint(none), 'CheckpointInvalid', none, 'found no weights', 'Download');
    const indexless = await writeFolder(folder.path('indexless'), { 'model-00001-of-00002.safetensors': shard('a') });
    await expectRefusal(
      () => openCheckpoint(indexless),
      'CheckpointInvalid',
      indexless,
      'model-00001-of-00002',
      'no index',
    );
    await mkdir(folder.path('bare'));
    await expectRefusal(
      () => openCheckpoint(folder.path('bare')),
      'CheckpointInvalid',
      folder.path('bare'),
      'config.json',
    );
  });

  test('opens the example model of this repository', async () => {
    const checkpoint = await openCheckpoint(EXAMPLE);
    expect(checkpoint.tensors.size).toBe(39);
    expect(checkpoint.tensors.get('model.embed_tokens.weight')).toMatchObject({ dtype: 'F16', shape: [512, 64] });
    expect(checkpoint.warnings).toEqual([]);
  });

  test.skipIf(!hasShared)(
    `opens the sharded model beside the repository${hasShared ? '' : ' (skipped: ../shared is not there)'}`,
    async () => {
      const checkpoint = await openCheckpoint(SHARED_MODEL);
      expect(checkpoint.shards).toHaveLength(4);
      const index = JSON.parse(await readFile(`${SHARED_MODEL}/${INDEX}`, 'utf8'));
      expect(checkpoint.totalSizeBytes).toBe(index.metadata.total_size);
      expect(checkpoint.tensors.size).toBe(Object.keys(index.weight_map).length);
      expect(checkpoint.warnings).toEqual([]);
    },
  );
});
