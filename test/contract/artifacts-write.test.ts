import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { clientStream } from '../../shared/rpc/client-stream.ts';
import type { TaskIdentity } from '../../shared/rpc/generated/secateur/v1/TaskIdentity.ts';
import type { WriteArtifactRequest } from '../../shared/rpc/generated/secateur/v1/WriteArtifactRequest.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { writeArtifact } from '../../shared/storage/artifact-transfer.ts';
import {
  codeOf,
  errorOf,
  IDENTITY,
  JOB,
  type JobFolder,
  makeJobFolder,
  openHandles,
  type RunningArtifacts,
  serveFolder,
  stagedRef,
  until,
} from './artifacts-fixture.ts';

const CONTENT = randomBytes(2_500_000);
const NAME = 'layers/00003.safetensors';

let folder: JobFolder;
let running: RunningArtifacts;
let local: string;

beforeEach(async () => {
  folder = makeJobFolder(1000);
  running = await serveFolder(folder);
  local = join(folder.root, 'finished');
  writeFileSync(local, CONTENT);
});
afterEach(() => {
  running.close();
  folder.remove();
});

function upload(ref = stagedRef(NAME, CONTENT), identity: TaskIdentity = IDENTITY): Promise<void> {
  return writeArtifact({ client: running.client, job: JOB, patienceMs: 0 }, identity, ref, local);
}

function send(messages: Iterable<WriteArtifactRequest> | AsyncIterable<WriteArtifactRequest>): Promise<unknown> {
  const all = async function* (): AsyncGenerator<WriteArtifactRequest> {
    yield* messages;
  };
  return clientStream(running.client, SERVICES.Artifacts.service.Write, all(), { timeoutMs: 20_000 });
}

const chunk = (offset: number, end: number, over = {}): WriteArtifactRequest => {
  const data = CONTENT.subarray(offset, end);
  return { chunk: { offset, data, crc32: crc32(data), ...over } };
};

const header = (over = {}): WriteArtifactRequest => ({
  header: { identity: IDENTITY, file: { ...stagedRef(NAME, CONTENT), ...over } },
});

const CHUNKS = [chunk(0, 1_000_000), chunk(1_000_000, 2_000_000), chunk(2_000_000, 2_500_000)];

/** Everything under staging but the probe, with what is hidden. */
function stagedNames(): string[] {
  const entries = readdirSync(folder.staging, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && entry.name !== 'probe.txt').map((entry) => entry.name);
}

describe('Artifacts.Write', () => {
  it('makes the file appear, whole, and leaves nothing beside it', async () => {
    await upload();
    expect(readFileSync(join(folder.staging, NAME)).equals(CONTENT)).toBe(true);
    expect(stagedNames()).toEqual(['00003.safetensors']);
  });

  it('makes folders that are not there yet', async () => {
    await upload(stagedRef('snapshots/00016/m00003.safetensors', CONTENT));
    expect(readFileSync(join(folder.staging, 'snapshots/00016/m00003.safetensors')).equals(CONTENT)).toBe(true);
  });

  it('puts a file in the place of the one that an earlier attempt made', async () => {
    writeFileSync(join(folder.staging, NAME), 'earlier');
    await upload();
    expect(readFileSync(join(folder.staging, NAME)).equals(CONTENT)).toBe(true);
  });

  it('answers with what it has taken', async () => {
    expect(await send([header(), ...CHUNKS])).toEqual({ file: stagedRef(NAME, CONTENT) });
  });

  it.each([
    ['a chunk before the header', [...CHUNKS], 'ArgumentInvalid'],
    ['nothing', [], 'ArgumentInvalid'],
    ['a header without an identity', [{ header: { file: stagedRef(NAME, CONTENT) } }, ...CHUNKS], 'ArgumentInvalid'],
    ['a second header', [header(), ...CHUNKS.slice(0, 2), header(), ...CHUNKS.slice(2)], 'ArgumentInvalid'],
    ['an empty message', [header(), {}, ...CHUNKS], 'ArgumentInvalid'],
    ['a gap', [header(), ...CHUNKS.slice(1)], 'ArgumentInvalid'],
    ['a chunk twice', [header(), chunk(0, 1000), chunk(0, 1000)], 'ArgumentInvalid'],
    ['an empty chunk', [header(), chunk(0, 0)], 'ArgumentInvalid'],
    ['a chunk over 1 MiB', [header(), chunk(0, 1024 * 1024 + 1)], 'ArgumentInvalid'],
    ['more bytes than announced', [header({ sizeBytes: 2_499_999 }), ...CHUNKS], 'ArgumentInvalid'],
    ['fewer bytes than announced', [header({ sizeBytes: 2_500_001 }), ...CHUNKS], 'ChecksumMismatch'],
    ['an end in the middle', [header(), ...CHUNKS.slice(0, 2)], 'ChecksumMismatch'],
    ['a bit flipped on the way', [header(), chunk(0, 1000, { crc32: 1 })], 'ChecksumMismatch'],
    ['another digest than announced', [header({ sha256: 'a'.repeat(64) }), ...CHUNKS], 'ChecksumMismatch'],
    ['no digest', [header({ sha256: '' }), ...CHUNKS], 'ArgumentInvalid'],
    ['no size', [header({ sizeBytes: 0 }), ...CHUNKS], 'ArgumentInvalid'],
    ['a size past every disk', [header({ sizeBytes: 2 ** 52 }), ...CHUNKS], 'StorageFull'],
    ['another root', [header({ root: 'FILE_ROOT_SOURCE' }), ...CHUNKS], 'ArgumentInvalid'],
  ])('refuses %s, and nothing is left of it', async (_, messages, code) => {
    expect(await codeOf(send(messages))).toBe(code);
    expect(stagedNames()).toEqual([]);
    expect(openHandles(folder.staging)).toBe(0);
  });

  it.each([
    '../escaped',
    'layers/../../escaped',
    '/tmp/escaped',
    'layers\\escaped',
    'layers/\0',
    'layers/',
    'probe.txt',
    'job.json',
    'publish.json',
    'publish/model.safetensors',
    'layers',
    'layers/.tmp-other',
  ])('refuses the name %j', async (name) => {
    expect(await codeOf(upload(stagedRef(name, CONTENT)))).toBe('ArgumentInvalid');
    expect(readFileSync(join(folder.staging, 'probe.txt'), 'utf8')).toBe(JOB);
    expect(stagedNames()).toEqual([]);
  });

  it('does not write through a folder that is a link out of staging', async () => {
    const outside = join(folder.root, 'outside');
    mkdirSync(outside);
    rmSync(join(folder.staging, 'layers'), { recursive: true });
    symlinkSync(outside, join(folder.staging, 'layers'));
    expect(await codeOf(upload())).toBe('ArgumentInvalid');
    expect(readdirSync(outside)).toEqual([]);
  });

  it('refuses an attempt whose epoch, number or task is not the leased one', async () => {
    for (const stale of [{ epoch: 6 }, { attempt: 2 }, { task: 'prune-00004' }]) {
      const error = await errorOf(upload(stagedRef(NAME, CONTENT), { ...IDENTITY, ...stale }));
      expect(error.code).toBe('StaleEpoch');
      expect(error.retryable).toBe(false);
    }
    expect(await codeOf(upload(stagedRef(NAME, CONTENT), { ...IDENTITY, job: 'another' }))).toBe('JobNotFound');
    expect(stagedNames()).toEqual([]);
  });

  it('refuses an attempt that loses its lease while it sends', async () => {
    running.close();
    let holdsLease = true;
    running = await serveFolder(folder, { isCurrent: () => holdsLease });
    const messages = async function* (): AsyncGenerator<WriteArtifactRequest> {
      yield header();
      yield* CHUNKS;
      await until(() => stagedNames().length === 1);
      holdsLease = false;
    };
    expect(await codeOf(send(messages()))).toBe('StaleEpoch');
    expect(stagedNames()).toEqual([]);
  });

  it('leaves nothing of a sender that dies in the middle', async () => {
    const messages = async function* (): AsyncGenerator<WriteArtifactRequest> {
      yield header();
      yield* CHUNKS.slice(0, 2);
      await until(() => openHandles(folder.staging) === 1);
      running.client.close();
      throw new Error('died');
    };
    await expect(send(messages())).rejects.toThrow('died');
    await until(() => stagedNames().length === 0 && openHandles(folder.staging) === 0);
  });

  it('takes two senders of one name at once, and the file is whole', async () => {
    await Promise.all([upload(), upload(), send([header(), ...CHUNKS])]);
    expect(readFileSync(join(folder.staging, NAME)).equals(CONTENT)).toBe(true);
    expect(stagedNames()).toEqual(['00003.safetensors']);
  });

  it('removes what senders left behind that died with the coordinator, once it is old, and nothing younger', async () => {
    const left = (name: string, ageMs: number): void => {
      const path = join(folder.staging, 'layers', name);
      writeFileSync(path, 'left');
      utimesSync(path, new Date(), new Date(Date.now() - ageMs));
    };
    left('.tmp-00001.safetensors-aaa', 3_600_000);
    left('.tmp-00002.safetensors-bbb', 1000);
    await upload();
    expect(stagedNames().sort()).toEqual(['.tmp-00002.safetensors-bbb', '00003.safetensors']);
  });
});
