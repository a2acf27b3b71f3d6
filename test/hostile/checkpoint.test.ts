/** Attacks by a checkpoint folder: an index that names what it must not, links, shards that disagree with it. */

import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../shared/checkpoint/open-checkpoint.ts';
import { parseWeightMap } from '../../shared/checkpoint/weight-map.ts';
import { expectRefusal, fileBytes, makeNamedPipe, temporaryFolder, validFile, writeFolder } from './hostile-files.ts';

const INDEX = 'model.safetensors.index.json';
const [FIRST, SECOND] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];

const folder = temporaryFolder();

function shard(...names: string[]): Uint8Array {
  return validFile(names.map((name) => ({ name, dtype: 'F32', shape: [2] })));
}

function index(weightMap: Record<string, string>): object {
  return { metadata: { total_size: 16 }, weight_map: weightMap };
}

describe('a weight map is refused when a shard', () => {
  test.each([
    ['stands in a subfolder', 'a/b.safetensors', 'slash'],
    ['climbs out of the folder', '../b.safetensors', 'slash'],
    ['climbs out of the folder in two steps', 'a/../../b.safetensors', 'slash'],
    ['is an absolute path', '/etc/passwd.safetensors', 'slash'],
    ['climbs out with backslashes', '..\\b.safetensors', 'backslash'],
    ['is a network share', '\\\\host\\b.safetensors', 'backslash'],
    ['names a drive', 'C:b.safetensors', 'drive'],
    ['is the folder above', '..', '..'],
    ['is the folder itself', '.', 'hidden'],
    ['holds two dots', 'a..safetensors', '..'],
    ['holds a NUL that would end the name early', 'b\u0000.safetensors', 'control'],
    ['holds a line break', 'b\n.safetensors', 'control'],
    ['is a hidden file', '.b.safetensors', 'hidden'],
    ['is empty', '', 'empty'],
    ['is a pickle', 'pytorch_model-00001-of-00002.bin', '.safetensors'],
  ])('%s', async (_, name, says) => {
    const bytes = Buffer.from(JSON.stringify({ weight_map: { good: 'a.safetensors', t: name } }));
    await expectRefusal(() => parseWeightMap(bytes, INDEX), 'CheckpointInvalid', INDEX, says, '"weight_map"."t"');
  });
});

describe('a weight map is refused when it', () => {
  test.each([
    ['places a tensor twice', '{"weight_map":{"t":"a.safetensors","t":"b.safetensors"}}', '"t" twice'],
    ['has two maps', '{"weight_map":{"t":"a.safetensors"},"weight_map":{}}', '"weight_map" twice'],
    ['has two totals', '{"metadata":{"total_size":1,"total_size":2},"weight_map":{"t":"a.safetensors"}}', 'twice'],
    ['is empty', '', 'end of the text'],
    ['is a list', '[]', 'an object'],
    ['has no map', '{"metadata":{}}', 'weight_map'],
    ['maps nothing', '{"weight_map":{}}', 'at least one tensor'],
    ['maps to a number', '{"weight_map":{"t":1}}', 'a string'],
    ['nests without end', `{"x":${'['.repeat(200_000)}`, 'nesting'],
    ['is cut', '{"weight_map":{"t":"a.safetensors"', 'end of the text'],
    ['goes on behind its end', '{"weight_map":{"t":"a.safetensors"}}}', 'the end of the text'],
  ])('%s', async (_, text, says) => {
    await expectRefusal(() => parseWeightMap(Buffer.from(text), INDEX), 'CheckpointInvalid', INDEX, says);
  });

  test('is no UTF-8', async () => {
    const bytes = Buffer.from('{"weight_map":{"t\xff":"a.safetensors"}}', 'latin1');
    await expectRefusal(() => parseWeightMap(bytes, INDEX), 'CheckpointInvalid', INDEX, 'UTF-8');
  });
});

describe('a checkpoint is refused when', () => {
  test('its index leads out of the folder to a file that exists', async () => {
    const path = await writeFolder(folder.path('traversal', 'inner'), { [INDEX]: index({ t: '../out.safetensors' }) });
    await writeFile(folder.path('traversal', 'out.safetensors'), shard('t'));
    await expectRefusal(() => openCheckpoint(path), 'CheckpointInvalid', INDEX, 'slash');
  });

  test('its index names shards that are not there, and all of them are named', async () => {
    const files = { [INDEX]: index({ a: FIRST, b: SECOND, c: 'third.safetensors' }), [FIRST]: shard('a') };
    const path = await writeFolder(folder.path('missing'), files);
    const error = await expectRefusal(
      () => openCheckpoint(path),
      'CheckpointInvalid',
      path,
      SECOND,
      'third.safetensors',
    );
    expect(error.details.names).toEqual([SECOND, 'third.safetensors']);
  });

  test('its index places a tensor in a shard that lacks it', async () => {
    const files = { [INDEX]: index({ a: FIRST, b: FIRST, c: SECOND }), [FIRST]: shard('a'), [SECOND]: shard('c') };
    const path = await writeFolder(folder.path('absent'), files);
    await expectRefusal(() => openCheckpoint(path), 'CheckpointInvalid', INDEX, `b (not in ${FIRST})`);
  });

  test('its index places a tensor in the wrong shard', async () => {
    const files = { [INDEX]: index({ a: FIRST, b: FIRST, c: SECOND }), [FIRST]: shard('a'), [SECOND]: shard('b', 'c') };
    const path = await writeFolder(folder.path('wrong'), files);
    await expectRefusal(() => openCheckpoint(path), 'CheckpointInvalid', INDEX, `b (not in ${FIRST} but in ${SECOND})`);
  });

  test('a shard hides a tensor from the index', async () => {
    const files = { [INDEX]: index({ a: FIRST, b: SECOND }), [FIRST]: shard('a', 'hidden'), [SECOND]: shard('b') };
    const path = await writeFolder(folder.path('hiding'), files);
    await expectRefusal(() => openCheckpoint(path), 'CheckpointInvalid', INDEX, `hidden (in ${FIRST})`);
  });

  test('two shards hold one tensor, whichever the index names', async () => {
    for (const named of [FIRST, SECOND]) {
      const files = {
        [INDEX]: index({ a: FIRST, t: named, b: SECOND }),
        [FIRST]: shard('a', 't'),
        [SECOND]: shard('t', 'b'),
      };
      const path = await writeFolder(folder.path('twice'), files);
      const error = await expectRefusal(() => openCheckpoint(path), 'CheckpointInvalid', INDEX, 'two shards hold t');
      expect(error.details.names).toHaveLength(1);
    }
  });

  test('two names of its index are links to the same shard', async () => {
    const path = await writeFolder(folder.path('same'), {
      [INDEX]: index({ a: FIRST, b: SECOND }),
      [FIRST]: shard('a', 'b'),
    });
    await rm(folder.path('same', SECOND), { force: true });
    await symlink(FIRST, folder.path('same', SECOND));
    await expectRefusal(() => openCheckpoint(path), 'CheckpointInvalid', INDEX, 'two shards hold');
  });

  test('one of its shards is damaged, and that one is named', async () => {
    const files = {
      [INDEX]: index({ a: FIRST, b: SECOND }),
      [FIRST]: shard('a'),
      [SECOND]: shard('b').subarray(0, -1),
    };
    const path = await writeFolder(folder.path('damaged'), files);
    await expectRefusal(() => openCheckpoint(path), 'SafetensorsInvalid', SECOND, '"b"');
  });

  test('a shard, its configuration or a tokenizer file is a link to nothing or a loop', async () => {
    for (const target of ['no-such-blob', 'loop']) {
      for (const name of ['model.safetensors', 'config.json', 'tokenizer.json']) {
        const path = folder.path(`links-${target}-${name}`);
        await writeFolder(path, { 'model.safetensors': shard('t') });
        await rm(`${path}/${name}`, { force: true });
        await symlink(target === 'loop' ? name : target, `${path}/${name}`);
        const says = target === 'loop' ? 'a loop of links' : 'a link to a file that is not there';
        await expectRefusal(() => openCheckpoint(path), 'CheckpointInvalid', `${path}/${name}`, says);
      }
    }
  });

  test('a shard or its configuration is a named pipe or a folder', async () => {
    const path = await writeFolder(folder.path('kinds'), {});
    makeNamedPipe(`${path}/model.safetensors`);
    await expectRefusal(() => openCheckpoint(path), 'SafetensorsInvalid', `${path}/model.safetensors`, 'a named pipe');
    const other = await writeFolder(folder.path('kinds-config'), { 'model.safetensors': shard('t') });
    await rm(`${other}/config.json`);
    await mkdir(`${other}/config.json`);
    await expectRefusal(() => openCheckpoint(other), 'CheckpointInvalid', `${other}/config.json`, 'a folder');
  });

  test.each([
    ['text', 'not JSON', 'a JSON object'],
    ['a list', '[]', 'a JSON object'],
    ['null', 'null', 'a JSON object'],
    ['two objects', '{}{}', 'the end of the text'],
    ['no number', '{"a":NaN}', 'a value'],
    ['nested without end', `{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`, 'nesting'],
    ['no UTF-8', Buffer.from('{"\xff":1}', 'latin1'), 'UTF-8'],
    ['too large', `{"a":"${'x'.repeat(16 * 1024 * 1024)}"}`, 'at most 16777216 bytes'],
  ])('its configuration is %s', async (_, content, says) => {
    const path = await writeFolder(folder.path('config'), { 'config.json': content, 'model.safetensors': shard('t') });
    await expectRefusal(() => openCheckpoint(path), 'CheckpointInvalid', `${path}/config.json`, says);
  });

  test('it has no tensor at all', async () => {
    const path = await writeFolder(folder.path('none'), { 'model.safetensors': fileBytes('{}', 0) });
    await expectRefusal(() => openCheckpoint(path), 'CheckpointInvalid', path, 'no tensor in model.safetensors');
  });

  test('it is not there, or no folder', async () => {
    const missing = folder.path('no-such-folder');
    await expectRefusal(() => openCheckpoint(missing), 'SourceMissing', missing, 'nothing there');
    const path = await writeFolder(folder.path('file'), { 'model.safetensors': shard('t') });
    const file = `${path}/model.safetensors`;
    await expectRefusal(
      () => openCheckpoint(file),
      'SourceMissing',
      dirname(file),
      'a file',
      'the folder that holds config.json',
    );
  });
});
