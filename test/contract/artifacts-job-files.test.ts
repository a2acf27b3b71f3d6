import { randomBytes } from 'node:crypto';
import {
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import { bindServer, createServer } from '../../shared/rpc/channel.ts';
import type { FileRef } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { TensorRef } from '../../shared/rpc/generated/secateur/v1/TensorRef.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { chooseJobFiles } from '../../shared/storage/choose-job-files.ts';
import { CoordinatorJobFiles } from '../../shared/storage/coordinator-job-files.ts';
import { DirectJobFiles } from '../../shared/storage/direct-job-files.ts';
import type { JobFiles } from '../../shared/storage/job-files.ts';
import {
  codeOf,
  errorOf,
  IDENTITY,
  JOB,
  type JobFolder,
  jobFilesThrough,
  makeJobFolder,
  type RunningArtifacts,
  serveFolder,
  serviceFor,
  stagedRef,
} from './artifacts-fixture.ts';

const SHARD: FileRef = { root: 'FILE_ROOT_SOURCE', name: 'model.safetensors', sizeBytes: 3_000_000 };
const CONTENT = randomBytes(700_000);
const NAME = 'layers/00003.safetensors';

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

function tensor(name: string, rows: number, columns: number, offset: number, file: FileRef = SHARD): TensorRef {
  return { name, dtype: 'BF16', shape: [rows, columns], file, offset, sizeBytes: rows * columns * 2 };
}

const TENSORS = [
  tensor('q', 1000, 500, 1_500_001),
  tensor('norm', 1, 7, 11),
  tensor('empty', 0, 4, 64),
  tensor('k', 50, 10, 25),
];

async function bytesAt({ file, offset, sizeBytes }: TensorLocation): Promise<Buffer> {
  return (await readFile(file)).subarray(offset, offset + sizeBytes);
}

/** What a task does to make a file. */
async function commit(files: JobFiles, name = NAME, content = CONTENT): Promise<FileRef> {
  const scratch = await files.scratchPath(name);
  expect(existsSync(scratch)).toBe(false);
  writeFileSync(scratch, content);
  return files.commit(stagedRef(name, content), scratch);
}

function tensorBytes(ref: TensorRef): Buffer {
  const shard = readFileSync(join(folder.source, 'model.safetensors'));
  return shard.subarray(ref.offset, (ref.offset ?? 0) + (ref.sizeBytes ?? 0));
}

describe.each(['direct', 'coordinator'] as const)("a job's files, %s", (kind) => {
  let files: JobFiles;

  beforeEach(async () => {
    files = kind === 'direct' ? new DirectJobFiles(folder.context) : await jobFilesThrough(running, folder);
    files.setIdentity(IDENTITY);
  });

  it('are of that kind', () => {
    expect(files.kind).toBe(kind);
  });

  it("have a local path, absolute and free of links, with the file's content", async () => {
    writeFileSync(join(folder.root, 'blob'), 'blob');
    symlinkSync('../blob', join(folder.source, 'linked.safetensors'));
    const expected = [
      [SHARD, readFileSync(join(folder.source, 'model.safetensors'))],
      [{ root: 'FILE_ROOT_SOURCE', name: 'linked.safetensors' }, Buffer.from('blob')],
      [{ root: 'FILE_ROOT_CALIBRATION', name: '0' }, Buffer.from('some text')],
      [{ root: 'FILE_ROOT_STAGING', name: 'probe.txt' }, Buffer.from(JOB)],
    ] as const;
    for (const [ref, content] of expected) {
      const path = await files.localPath(ref);
      expect(realpathSync(path)).toBe(path);
      expect(readFileSync(path).equals(content)).toBe(true);
      files.release(ref);
    }
  });

  it('are refused where the size is another than expected, or the name leads away', async () => {
    expect(await codeOf(files.localPath({ ...SHARD, sizeBytes: 3_000_001 }))).toBe('SourceChanged');
    expect(await codeOf(files.localPath({ root: 'FILE_ROOT_STAGING', name: 'probe.txt', sizeBytes: 1 }))).toBe(
      'ChecksumMismatch',
    );
    expect(await codeOf(files.localPath({ root: 'FILE_ROOT_STAGING', name: '../../source/tokenizer.json' }))).toBe(
      'ArgumentInvalid',
    );
    expect(await codeOf(files.scratchPath('../escaped'))).toBe('ArgumentInvalid');
  });

  it("tell a file that is not there: the user's for good, a task's only for now", async () => {
    const source = await errorOf(files.localPath({ root: 'FILE_ROOT_SOURCE', name: 'absent.json' }));
    expect([source.code, source.retryable]).toEqual(['SourceMissing', false]);
    const staging = await errorOf(files.localPath({ root: 'FILE_ROOT_STAGING', name: 'layers/9' }));
    expect([staging.code, staging.retryable]).toEqual(['StorageFailed', true]);
  });

  it('of staging are named where they are gone, cut or other than what was committed', async () => {
    const [path, ref] = [join(folder.staging, NAME), stagedRef(NAME, CONTENT)];
    const flipped = Buffer.from(CONTENT);
    flipped[7] = (flipped[7] as number) ^ 1;
    const found: [Buffer | null, string][] = [
      [flipped, 'ChecksumMismatch'],
      [CONTENT.subarray(1), 'ChecksumMismatch'],
      [null, 'StorageFailed'],
    ];
    for (const [content, code] of found) {
      if (content === null) rmSync(path);
      else writeFileSync(path, content);
      const error = await errorOf(files.localPath(ref));
      expect([error.code, error.retryable, error.details.staged]).toEqual([code, true, NAME]);
    }
    writeFileSync(path, CONTENT);
    expect(readFileSync(await files.localPath(ref)).equals(CONTENT)).toBe(true);
  });

  it('give tensors in local files, in the order asked for, at any offset', async () => {
    const located = await files.fetchTensors(TENSORS);
    expect([...located.keys()]).toEqual(['q', 'norm', 'empty', 'k']);
    for (const ref of TENSORS) {
      const location = located.get(ref.name ?? '') as TensorLocation;
      expect(location).toMatchObject({ name: ref.name, dtype: 'BF16', shape: ref.shape, sizeBytes: ref.sizeBytes });
      expect((await bytesAt(location)).equals(tensorBytes(ref))).toBe(true);
    }
  });

  it('refuse tensors whose size is not that of dtype and shape', async () => {
    const [ref] = TENSORS as [TensorRef];
    const bad = [
      { sizeBytes: 2 },
      { shape: [1000, 501] },
      { dtype: 'F4' },
      { name: '' },
      { file: null },
      { offset: -2 },
    ];
    for (const over of bad) {
      expect(await codeOf(files.fetchTensors([{ ...ref, ...over }]))).toBe('ArgumentInvalid');
    }
  });

  it('appear in staging when they are committed, whole, with nothing beside them', async () => {
    expect(await commit(files)).toEqual(stagedRef(NAME, CONTENT));
    expect(readFileSync(join(folder.staging, NAME)).equals(CONTENT)).toBe(true);
    await commit(files, 'calibration/ids-e1-a1.safetensors');
    await commit(files, 'snapshots/00016/m00000.safetensors');
    const names = readdirSync(folder.staging, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    expect(names.map((entry) => entry.name).sort()).toEqual([
      '00003.safetensors',
      'ids-e1-a1.safetensors',
      'm00000.safetensors',
      'probe.txt',
    ]);
  });

  it('are not committed with another size than announced', async () => {
    const scratch = await files.scratchPath(NAME);
    writeFileSync(scratch, CONTENT.subarray(1));
    expect(['ChecksumMismatch', 'SourceChanged']).toContain(
      await codeOf(files.commit(stagedRef(NAME, CONTENT), scratch)),
    );
    expect(existsSync(join(folder.staging, NAME))).toBe(false);
  });

  it('have scratch paths that never meet', async () => {
    const paths = await Promise.all(Array.from({ length: 20 }, () => files.scratchPath(NAME)));
    expect(new Set(paths).size).toBe(20);
  });

  it('stand, those of the source that are asked for, under their names in one directory', async () => {
    const directory = await files.sourceDirectory(['tokenizer.json', 'absent.json']);
    expect(readFileSync(join(directory, 'tokenizer.json'), 'utf8')).toBe('{"tokens":true}');
    expect(existsSync(join(directory, 'absent.json'))).toBe(false);
  });
});

describe('files in place', () => {
  it('are looked at again when somebody was there, also where size and time of change are as before', async () => {
    const files = new DirectJobFiles(folder.context);
    const committed = await commit(files);
    const path = await files.localPath(committed);
    const { atime, mtime } = statSync(path);
    const flipped = Buffer.from(CONTENT);
    flipped[7] = (flipped[7] as number) ^ 1;
    // Kernels stamp files with the time of their last tick.
    await pause(20);
    writeFileSync(path, flipped);
    utimesSync(path, atime, mtime);
    expect(await codeOf(files.localPath(committed))).toBe('ChecksumMismatch');
  });
});

describe('files through the coordinator', () => {
  let files: CoordinatorJobFiles;

  beforeEach(async () => {
    files = await jobFilesThrough(running, folder);
    files.setIdentity(IDENTITY);
  });

  it('carry only the bytes of the asked tensors, in one file that is a safetensors file', async () => {
    const located = await files.fetchTensors(TENSORS);
    const paths = new Set([...located.values()].map((location) => location.file));
    expect(paths.size).toBe(1);
    const header = await readSafetensorsHeader([...paths][0] as string);
    expect([...header.tensors.keys()].sort()).toEqual(['empty', 'k', 'norm', 'q']);
    expect(header.sizeBytes).toBeLessThan(1_001_014 + 1000);
  });

  it('are downloaded once: a second task finds them', async () => {
    const before = await files.fetchTensors(TENSORS);
    const path = await files.localPath(SHARD);
    files.setIdentity(IDENTITY);
    running.close();
    expect(await files.fetchTensors(TENSORS)).toEqual(before);
    expect(await files.localPath(SHARD)).toBe(path);
  });

  it('are fetched again where their copy in the cache has been damaged', async () => {
    writeFileSync(join(folder.staging, NAME), CONTENT);
    const ref = stagedRef(NAME, CONTENT);
    const first = await files.localPath(ref);
    files.setIdentity(IDENTITY);
    expect(await files.localPath(ref)).toBe(first);
    writeFileSync(first, CONTENT.subarray(1));
    const second = await files.localPath(ref);
    expect(second).not.toBe(first);
    expect(readFileSync(second).equals(CONTENT)).toBe(true);
    expect(existsSync(first)).toBe(false);
  });

  it('are there already for whoever made them: a committed layer is not downloaded', async () => {
    const committed = await commit(files);
    running.close();
    const located = await files.fetchTensors([tensor('w', 10, 10, 100, committed)]);
    expect((await bytesAt(located.get('w') as TensorLocation)).equals(CONTENT.subarray(100, 300))).toBe(true);
  });

  it('with a digest are downloaded whole and checked against it', async () => {
    writeFileSync(join(folder.staging, NAME), CONTENT);
    const good = stagedRef(NAME, CONTENT);
    const located = await files.fetchTensors([tensor('w', 10, 10, 100, good)]);
    expect((await bytesAt(located.get('w') as TensorLocation)).equals(CONTENT.subarray(100, 300))).toBe(true);
    const error = await errorOf(files.localPath({ ...good, sha256: 'b'.repeat(64) }));
    expect([error.code, error.retryable]).toEqual(['ChecksumMismatch', true]);
    expect(readdirSync(join(folder.cache, 'files'))).toHaveLength(1);
  });

  it('with another digest under the same name are other files', async () => {
    writeFileSync(join(folder.staging, NAME), CONTENT);
    await files.localPath(stagedRef(NAME, CONTENT));
    const changed = Buffer.from(CONTENT).fill(1, 0, 10);
    writeFileSync(join(folder.staging, NAME), changed);
    expect(readFileSync(await files.localPath(stagedRef(NAME, changed))).equals(changed)).toBe(true);
  });

  it("are committed only by the attempt that holds the lease; the scratch file is the caller's then", async () => {
    files.setIdentity({ ...IDENTITY, epoch: 6 });
    expect(await codeOf(commit(files))).toBe('StaleEpoch');
    expect(existsSync(join(folder.staging, NAME))).toBe(false);
  });

  it("do not go over the cache's limit: what no task uses goes, what the task uses is an error", async () => {
    files = await jobFilesThrough(running, folder, 3_500_000);
    await files.localPath(SHARD);
    const error = await errorOf(files.fetchTensors(TENSORS));
    expect(error.code).toBe('LimitExceeded');
    expect(error.message).toContain(folder.cache);
    files.release(SHARD);
    await files.fetchTensors(TENSORS);
    expect(readdirSync(join(folder.cache, 'files'))).toHaveLength(1);
  });

  it('of unknown size are counted as they come', async () => {
    files = await jobFilesThrough(running, folder, 2_000_000);
    expect(await codeOf(files.localPath({ root: 'FILE_ROOT_SOURCE', name: 'model.safetensors' }))).toBe(
      'LimitExceeded',
    );
    expect(readdirSync(join(folder.cache, 'files'))).toEqual([]);
    await files.fetchTensors(TENSORS);
  });

  it('wait for a coordinator that restarts, down and up', async () => {
    const peer = { client: running.client, job: JOB, patienceMs: 60_000 };
    files = await CoordinatorJobFiles.open({ peer, cacheDirectory: folder.cache, cacheSizeBytesMax: 1e9 });
    files.setIdentity(IDENTITY);
    running.server.forceShutdown();
    const path = files.localPath(SHARD);
    const committed = commit(files);
    const second = createServer();
    second.addService(SERVICES.Artifacts.service, serviceFor(folder));
    await bindServer(second, running.address);
    expect(readFileSync(await path)).toHaveLength(3_000_000);
    await committed;
    expect(readFileSync(join(folder.staging, NAME)).equals(CONTENT)).toBe(true);
    second.forceShutdown();
  });
});

describe('the choice between the two', () => {
  const choose = (
    storage: 'auto' | 'direct' | 'coordinator',
    over: object = {},
    expectedFiles: FileRef[] = [],
  ): Promise<JobFiles> =>
    chooseJobFiles({
      context: { ...folder.context, ...over },
      coordinator: running.address,
      storage,
      cacheDirectory: folder.cache,
      expectedFiles,
    });

  it("is the place itself where the probe proves that the folder is the coordinator's", async () => {
    expect((await choose('auto')).kind).toBe('direct');
    expect((await choose('direct', {}, [SHARD])).kind).toBe('direct');
  });

  it('is the coordinator where that is asked for', async () => {
    const files = await choose('coordinator');
    expect(files.kind).toBe('coordinator');
    expect(readFileSync(await files.localPath(SHARD))).toHaveLength(3_000_000);
  });

  it.each([
    ["the probe is another job's", { probeContent: 'job-other' }, []],
    ['there is no probe', { probeName: 'nothing.txt' }, []],
    ['the staging folder is not there', { stagingDirectory: '/nowhere/at/all' }, []],
    ['the source is not there', { sourceDirectory: '/nowhere/at/all' }, []],
    ['a calibration file is not there', { calibrationFiles: ['/nowhere/at/all'] }, []],
    ['a file has another size', {}, [{ ...SHARD, sizeBytes: 5 }]],
  ])('is the coordinator where %s; to insist on the place is an error that says why', async (_, over, expected) => {
    expect((await choose('auto', over, expected)).kind).toBe('coordinator');
    const error = await errorOf(choose('direct', over, expected));
    expect(error.code).toBe('StorageFailed');
    expect(error.retryable).toBe(false);
    expect(error.message).toMatch(/"direct" was asked for.*job job-a1b2c3.*--storage auto/);
  });
});
