import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { handleClientStream } from '../../shared/rpc/client-stream.ts';
import type { ArtifactChunk } from '../../shared/rpc/generated/secateur/v1/ArtifactChunk.ts';
import type { FileRef } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { ReadArtifactRequest__Output } from '../../shared/rpc/generated/secateur/v1/ReadArtifactRequest.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { handleServerStream, serverStream } from '../../shared/rpc/server-stream.ts';
import { readArtifact } from '../../shared/storage/artifact-transfer.ts';
import {
  codeOf,
  download,
  errorOf,
  JOB,
  type JobFolder,
  makeJobFolder,
  openHandles,
  type RunningArtifacts,
  serve,
  serveFolder,
  until,
} from './artifacts-fixture.ts';

const SHARD: FileRef = { root: 'FILE_ROOT_SOURCE', name: 'model.safetensors' };

let folder: JobFolder;
let running: RunningArtifacts;

beforeEach(async () => {
  folder = makeJobFolder();
  running = await serveFolder(folder);
});
afterEach(() => {
  running.close();
  folder.remove();
});

describe('Artifacts.Read', () => {
  it('gives a whole file, bit for bit', async () => {
    const content = readFileSync(join(folder.source, 'model.safetensors'));
    expect((await download(running, SHARD)).equals(content)).toBe(true);
    expect((await download(running, { ...SHARD, sizeBytes: content.length })).equals(content)).toBe(true);
  });

  it.each([
    [0, 1],
    [1_048_575, 2],
    [1_048_576, 1_048_576],
    [2_999_999, 1],
    [17, 2_999_983],
  ])('gives the range at %i of %i bytes', async (offset, length) => {
    const content = readFileSync(join(folder.source, 'model.safetensors'));
    const found = await download(running, SHARD, offset, length);
    expect(found.equals(content.subarray(offset, offset + length))).toBe(true);
  });

  it('gives an empty file, and the empty rest of one', async () => {
    writeFileSync(join(folder.source, 'tokenizer.json'), '');
    expect(await download(running, { root: 'FILE_ROOT_SOURCE', name: 'tokenizer.json' })).toHaveLength(0);
    expect(await download(running, SHARD, 3_000_000)).toHaveLength(0);
  });

  it('gives calibration files by their number', async () => {
    const found = await download(running, { root: 'FILE_ROOT_CALIBRATION', name: '0' });
    expect(found.toString()).toBe('some text');
  });

  it('sends chunks of at most 1 MiB, each with its place and CRC-32', async () => {
    const request = { job: JOB, file: SHARD, offset: 5, length: 2_500_000 };
    let offset = 5;
    for await (const chunk of serverStream(running.client, SERVICES.Artifacts.service.Read, request, {
      timeoutMs: 10_000,
    })) {
      expect(chunk.offset).toBe(offset);
      expect(chunk.data.length).toBeLessThanOrEqual(1024 * 1024);
      expect(chunk.crc32).toBe(crc32(chunk.data));
      offset += chunk.data.length;
    }
    expect(offset).toBe(2_500_005);
  });

  it.each([
    ['a parent', '../secret', 'ArgumentInvalid'],
    ['a parent further in', 'layers/../../../secret', 'ArgumentInvalid'],
    ['an absolute path', '/etc/passwd', 'ArgumentInvalid'],
    ['a drive', 'C:/secret', 'ArgumentInvalid'],
    ['a backslash', '..\\secret', 'ArgumentInvalid'],
    ['a NUL', 'layers/a\0b', 'ArgumentInvalid'],
    ['nothing', '', 'ArgumentInvalid'],
    ['a dot', './layers', 'ArgumentInvalid'],
    ['a double slash', 'layers//a', 'ArgumentInvalid'],
    ['the folder itself', '.', 'ArgumentInvalid'],
    ['a folder in it', 'layers', 'StorageFailed'],
    ['a file that is not there', 'layers/00099.safetensors', 'StorageFailed'],
    ['a path through a file', 'probe.txt/x', 'StorageFailed'],
  ])('refuses a name that is %s: %j', async (_, name, code) => {
    expect(await codeOf(download(running, { root: 'FILE_ROOT_STAGING', name }))).toBe(code);
  });

  it('refuses a root that it does not know', async () => {
    expect(await codeOf(download(running, { name: 'model.safetensors' }))).toBe('ArgumentInvalid');
  });

  it('refuses calibration files that the job does not have', async () => {
    for (const name of ['1', '-1', '0x0', '1e0', 'length', '99999999999999']) {
      expect(await codeOf(download(running, { root: 'FILE_ROOT_CALIBRATION', name }))).toBe('ArgumentInvalid');
    }
  });

  it('refuses a file that lies in the source directory but is none of the listed ones', async () => {
    writeFileSync(join(folder.source, 'credentials.json'), 'secret');
    const error = await errorOf(download(running, { root: 'FILE_ROOT_SOURCE', name: 'credentials.json' }));
    expect(error.code).toBe('SourceMissing');
  });

  it('follows a listed source file to a cache outside the directory, as Hugging Face lays them out', async () => {
    mkdirSync(join(folder.root, 'blobs'));
    writeFileSync(join(folder.root, 'blobs', 'abc'), 'blob');
    symlinkSync('../blobs/abc', join(folder.source, 'linked.safetensors'));
    const found = await download(running, { root: 'FILE_ROOT_SOURCE', name: 'linked.safetensors' });
    expect(found.toString()).toBe('blob');
  });

  it('refuses a link in staging that leads out of it, by file or by folder', async () => {
    writeFileSync(join(folder.root, 'secret'), 'secret');
    symlinkSync('../../../secret', join(folder.staging, 'layers', 'link'));
    symlinkSync(folder.root, join(folder.staging, 'snapshots'));
    for (const name of ['layers/link', 'snapshots/secret']) {
      expect(await codeOf(download(running, { root: 'FILE_ROOT_STAGING', name }))).toBe('ArgumentInvalid');
    }
  });

  it('refuses a link that leads to itself, and one that leads nowhere', async () => {
    symlinkSync('linked.safetensors', join(folder.source, 'linked.safetensors'));
    symlinkSync('nowhere', join(folder.source, 'absent.json'));
    for (const name of ['linked.safetensors', 'absent.json']) {
      expect(await codeOf(download(running, { root: 'FILE_ROOT_SOURCE', name }))).toBe('SourceMissing');
    }
  });

  it('refuses a pipe in the place of a file rather than wait for it', async () => {
    execFileSync('sh', ['-c', 'mkfifo "$0"', join(folder.source, 'fifo')]);
    expect(await codeOf(download(running, { root: 'FILE_ROOT_SOURCE', name: 'fifo' }))).toBe('SourceMissing');
  });

  it('refuses ranges past the end of the file', async () => {
    for (const [offset, length] of [
      [3_000_001, null],
      [0, 3_000_001],
      [2_999_999, 2],
      [2 ** 52, 2 ** 52],
    ] as const) {
      expect(await codeOf(download(running, SHARD, offset, length))).toBe('ArgumentInvalid');
    }
  });

  it('tells a source file whose size is not the expected one', async () => {
    const error = await errorOf(download(running, { ...SHARD, sizeBytes: 2_999_999 }));
    expect(error.code).toBe('SourceChanged');
    expect(error.message).toContain('model.safetensors');
    expect(error.message).toContain('3000000');
  });

  it('does not know other jobs', async () => {
    const request = { job: 'another', file: SHARD };
    const stream = serverStream(running.client, SERVICES.Artifacts.service.Read, request, { timeoutMs: 10_000 });
    expect(await codeOf(stream.next())).toBe('JobNotFound');
  });

  it('tells that a file is cut short while it is read', async () => {
    folder.remove();
    running.close();
    folder = makeJobFolder(100_000_000);
    running = await serveFolder(folder);
    const path = join(folder.source, 'model.safetensors');
    const peer = { client: running.client, job: JOB, patienceMs: 0 };
    const reading = readArtifact(peer, SHARD, { offset: 0, length: null }, async () => truncateSync(path, 1_500_000));
    expect(await codeOf(reading)).toBe('SourceChanged');
  });

  it('closes its file when the reader cancels in the middle, and when it is through', async () => {
    folder.remove();
    running.close();
    folder = makeJobFolder(100_000_000);
    running = await serveFolder(folder);
    // A handle that is forgotten is closed by the garbage collector, with a warning.
    const warnings: Error[] = [];
    process.on('warning', (warning) => warnings.push(warning));
    const request = { job: JOB, file: SHARD };
    const reader = serverStream(running.client, SERVICES.Artifacts.service.Read, request, { timeoutMs: 10_000 });
    await reader.next();
    expect(openHandles(folder.source)).toBe(1);
    await reader.return();
    await until(() => openHandles(folder.source) === 0);
    await download(running, SHARD, 0, 5_000_000);
    await until(() => openHandles(folder.source) === 0);
    expect(warnings).toEqual([]);
  });
});

describe('a reader', () => {
  const GOOD = Buffer.alloc(1000, 7);

  /** What a server that sends these chunks makes of a download of 2000 bytes. */
  async function readFrom(chunks: ArtifactChunk[]): Promise<string> {
    running.close();
    running = await serve({
      Read: handleServerStream(async function* () {
        yield* chunks;
      }),
      Write: handleClientStream(async () => ({})),
    });
    return codeOf(download(running, SHARD, 0, 2000));
  }

  const chunk = (offset: number, data = GOOD, crc = crc32(data)): ArtifactChunk => ({ offset, data, crc32: crc });

  it.each([
    ['a bit flipped on the way', [chunk(0, Buffer.alloc(1000, 6), crc32(GOOD)), chunk(1000)], 'ChecksumMismatch'],
    ['no checksum', [{ offset: 0, data: GOOD }, chunk(1000)], 'ChecksumMismatch'],
    ['an end before the end', [chunk(0)], 'ChecksumMismatch'],
    ['nothing at all', [], 'ChecksumMismatch'],
    ['a gap', [chunk(0), chunk(1001)], 'ArgumentInvalid'],
    ['a chunk twice', [chunk(0), chunk(0)], 'ArgumentInvalid'],
    ['more than was asked for', [chunk(0), chunk(1000), chunk(2000)], 'ArgumentInvalid'],
    ['a chunk of no bytes', [chunk(0, Buffer.alloc(0))], 'ArgumentInvalid'],
    ['a chunk over 1 MiB', [chunk(0, Buffer.alloc(1024 * 1024 + 1))], 'ArgumentInvalid'],
  ])('does not take from a server: %s', async (_, chunks, code) => {
    expect(await readFrom(chunks)).toBe(code);
  });

  it('goes on from the last byte that it has when the coordinator comes back', async () => {
    const asked: number[] = [];
    running.close();
    const content = readFileSync(join(folder.source, 'model.safetensors'));
    running = await serve({
      Read: handleServerStream(async function* ({ offset, length }: ReadArtifactRequest__Output) {
        asked.push(offset);
        const data = content.subarray(offset, offset + Math.min(length, 1_000_000));
        yield { offset, data, crc32: crc32(data) };
        if (offset + data.length < content.length) {
          throw new SecateurError('Unavailable', 'restarting');
        }
      }),
      Write: handleClientStream(async () => ({})),
    });
    const pieces: Buffer[] = [];
    const peer = { client: running.client, job: JOB, patienceMs: 30_000 };
    await readArtifact(peer, SHARD, { offset: 0, length: content.length }, async (data) => {
      pieces.push(data);
    });
    expect(Buffer.concat(pieces).equals(content)).toBe(true);
    expect(asked).toEqual([0, 1_000_000, 2_000_000]);
  });
});
