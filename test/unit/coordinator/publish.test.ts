import { createHash } from 'node:crypto';
/** Assembly and publication of a checkpoint, begun again after a crash at every point. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assembleShard } from '../../../coordinator/assembly/assemble-shard.ts';
import { publishCheckpoint } from '../../../coordinator/assembly/publish.ts';
import { planOutputShards } from '../../../coordinator/core/plan.ts';
import { type JobState, NOTHING_SPENT, type StagedFile, type TensorSlot } from '../../../coordinator/core/state.ts';
import { claimOutput } from '../../../coordinator/effects/claim-output.ts';
import { type JobPaths, jobPaths } from '../../../coordinator/effects/job-paths.ts';
import { digestFile } from '../../../shared/checkpoint/source-digest.ts';
import { readSafetensorsHeader } from '../../../shared/safetensors/read-header.ts';
import { writeSafetensorsFile } from '../../../shared/safetensors/write-file.ts';
import { fakeIntake, fakeManifest } from '../../simulation/cluster.ts';
import { digestTree } from '../../support/secateur-process.ts';

/** A job whose one layer is committed, ready to be assembled into shards of at most 50 bytes of tensors. */
async function committedJob(folder: string): Promise<{ job: JobState; paths: JobPaths }> {
  const source = join(folder, 'model');
  mkdirSync(source, { recursive: true });
  const data = (seed: number): Uint8Array =>
    new Uint8Array(Float32Array.from({ length: 10 }, (_, index) => seed + index).buffer);
  const tensors = ['embed', 'l0.w', 'head'].map((name, index) => ({
    name,
    dtype: 'F32' as const,
    shape: [10],
    data: data(index),
  }));
  await writeSafetensorsFile(join(source, 'model.safetensors'), tensors);
  writeFileSync(join(source, 'config.json'), '{}');
  utimesSync(join(source, 'config.json'), 7, 7);
  const ids = join(folder, 'ids');
  writeFileSync(ids, 'ids');
  const { tensors: placed } = await readSafetensorsHeader(join(source, 'model.safetensors'));
  const slot = (name: string): TensorSlot => ({
    ...(placed.get(name) as unknown as TensorSlot),
    file: 'model.safetensors',
  });
  const paths = jobPaths(join(folder, 'state'), 'job', join(folder, 'out'));
  await claimOutput(paths, 'job');
  mkdirSync(join(paths.staging, 'calibration'));
  writeFileSync(join(paths.staging, 'calibration/ids-e1-a1.safetensors'), 'ids');
  await writeSafetensorsFile(join(paths.staging, 'layers/00000-e1-a2.safetensors'), [
    { ...(tensors[1] as (typeof tensors)[1]), data: data(100) },
  ]);
  const layer = await stagedFile(paths, 'layers/00000-e1-a2.safetensors');
  const intake = {
    ...fakeIntake(1),
    sourceDirectory: source,
    outputDirectory: paths.output,
    shards: [{ file: 'model.safetensors', ...statOf(join(source, 'model.safetensors')) }],
    auxiliaryFiles: [{ file: 'config.json', ...statOf(join(source, 'config.json')) }],
    calibrationFiles: [{ file: ids, ...statOf(ids) }],
    evaluationFiles: [],
    outside: [slot('embed'), slot('head')],
    embedding: slot('embed'),
    layers: [{ linears: [], tensors: [slot('l0.w')] }],
  };
  const job = {
    id: 'job',
    namespace: 'default',
    name: 'job',
    manifest: fakeManifest({ propagate: 'pruned', stages: 1 }),
    submittedMs: 1,
    startedMs: 1,
    resumes: 0,
    spent: NOTHING_SPENT,
    digests: {},
    workersSeen: {},
    evaluation: [],
    calibration: {
      inputDigests: [],
      samples: 1,
      sequenceLength: 1,
      file: await stagedFile(paths, 'calibration/ids-e1-a1.safetensors'),
    },
    intake,
    plan: { stages: [], microbatch: 1, samples: 1, sequenceLength: 1, outputShards: planOutputShards(intake, 50) },
    layers: [
      {
        status: 'committed',
        statisticsFile: null,
        file: layer,
        tensors: [],
        committedMs: 1,
        worker: 'w',
        pruneMs: 1,
        commitMs: 2,
      },
    ],
    assembled: [],
  } as unknown as JobState;
  return { job, paths };
}

async function stagedFile(paths: JobPaths, name: string): Promise<StagedFile> {
  return { name, ...(await digestFile(join(paths.staging, name))) };
}

function flipLastBit(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
  writeFileSync(path, bytes);
}

function statOf(path: string): { sizeBytes: number; mtimeMs: number; ctimeMs: number } {
  const { size, mtimeMs, ctimeMs } = statSync(path);
  return { sizeBytes: size, mtimeMs, ctimeMs };
}

async function assembleAll(job: JobState, paths: JobPaths): Promise<void> {
  job.assembled = [];
  for (const shard of (job.plan?.outputShards ?? []).keys()) job.assembled.push(await assembleShard(job, shard, paths));
}

describe('publishing', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-publish-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('shows nothing of the checkpoint before it is whole, and the index last', async () => {
    const { job, paths } = await committedJob(folder);
    await assembleAll(job, paths);
    expect(readdirSync(paths.output)).toEqual(['.secateur']);
    const { files } = await publishCheckpoint(job, paths, 5);
    expect(files.at(-1)?.file).toBe('model.safetensors.index.json');
    expect(existsSync(paths.staging)).toBe(false);
    const head = await readSafetensorsHeader(join(paths.output, 'model-00002-of-00003.safetensors'));
    expect([...head.tensors.keys()]).toEqual(['l0.w']);
  });

  it('begun again after a crash behind any of its moves, ends the same', async () => {
    const { job, paths } = await committedJob(folder);
    await assembleAll(job, paths);
    const { files } = await publishCheckpoint(job, paths, 5);
    const whole = digestTree(paths.output);
    const provenance = readFileSync(join(paths.output, 'secateur.json'), 'utf8');
    for (let moved = 0; moved <= files.length; moved++) {
      mkdirSync(join(paths.publish, 'secateur'), { recursive: true });
      writeFileSync(paths.claim, JSON.stringify({ job: 'job' }));
      writeFileSync(paths.publishList, JSON.stringify({ job: 'job', files, statisticsMissing: [] }));
      for (const { file } of files.slice(moved)) renameSync(join(paths.output, file), join(paths.publish, file));
      expect((await publishCheckpoint(job, paths, 99)).files).toEqual(files);
      expect(digestTree(paths.output), `after ${moved} moves`).toEqual(whole);
      expect(readFileSync(join(paths.output, 'secateur.json'), 'utf8')).toBe(provenance);
    }
  });

  it('begun again after everything was done, changes nothing and says what there is', async () => {
    const { job, paths } = await committedJob(folder);
    await assembleAll(job, paths);
    await publishCheckpoint(job, paths, 5);
    const whole = digestTree(paths.output);
    // The removal of the staging folder was cut short behind its claim.
    mkdirSync(join(paths.staging, 'layers'), { recursive: true });
    await publishCheckpoint(job, paths, 9);
    expect(digestTree(paths.output)).toEqual(whole);
    expect(existsSync(paths.staging)).toBe(false);
  });

  it('the finished checkpoint of another job is not taken for this one', async () => {
    const { job, paths } = await committedJob(folder);
    await assembleAll(job, paths);
    await publishCheckpoint(job, paths, 5);
    await expect(publishCheckpoint({ ...job, id: 'another' }, paths, 9)).rejects.toMatchObject({
      code: 'OutputExists',
    });
  });

  it('a staging folder that is gone without a published checkpoint is an error that says so', async () => {
    const { job, paths } = await committedJob(folder);
    await assembleAll(job, paths);
    rmSync(paths.staging, { recursive: true });
    await expect(publishCheckpoint(job, paths, 5)).rejects.toMatchObject({ code: 'StorageFailed' });
  });

  it('a source with other bytes of the same size is named, and nothing is published; one that was only touched passes', async () => {
    const { job, paths } = await committedJob(folder);
    await assembleAll(job, paths);
    const source = join(job.intake?.sourceDirectory ?? '', 'model.safetensors');
    const bytes = readFileSync(source);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    job.digests['model.safetensors'] = { sha256, atMs: 0 };
    writeFileSync(source, Buffer.concat([bytes.subarray(0, -1), Buffer.of(0x40)]));
    utimesSync(source, 5, 5);
    await expect(publishCheckpoint(job, paths, 5)).rejects.toMatchObject({
      code: 'SourceChanged',
      message: expect.stringContaining(source),
    });
    expect(readdirSync(paths.output)).toEqual(['.secateur']);
    writeFileSync(source, bytes);
    utimesSync(source, 9, 9);
    // A digest from after the file was touched says nothing about what the layers were computed with.
    job.digests['model.safetensors'] = { sha256, atMs: Date.now() + 60_000 };
    await expect(publishCheckpoint(job, paths, 5)).rejects.toMatchObject({ code: 'SourceChanged' });
    job.digests['model.safetensors'] = { sha256, atMs: 0 };
    expect((await publishCheckpoint(job, paths, 5)).files.length).toBeGreaterThan(3);
  });

  it('another tokenizer under the old name, size and time is named as well', async () => {
    const { job, paths } = await committedJob(folder);
    await assembleAll(job, paths);
    const config = join(job.intake?.sourceDirectory ?? '', 'config.json');
    writeFileSync(config, '[]');
    utimesSync(config, 7, 7);
    expect(statOf(config)).toMatchObject({ sizeBytes: 2, mtimeMs: 7_000 });
    await expect(publishCheckpoint(job, paths, 5)).rejects.toMatchObject({
      code: 'SourceChanged',
      message: expect.stringContaining(config),
    });
  });

  it('a source that was cut short while the job ran is named, and no shard is left behind', async () => {
    const { job, paths } = await committedJob(folder);
    const source = join(job.intake?.sourceDirectory ?? '', 'model.safetensors');
    writeFileSync(source, readFileSync(source).subarray(0, -8));
    await expect(assembleAll(job, paths)).rejects.toMatchObject({ code: 'SourceChanged', details: { file: source } });
    expect(readdirSync(paths.publish).filter((name) => name.startsWith('model-00003'))).toEqual([]);
  });
});

const LAYER = 'layers/00000-e1-a2.safetensors';

describe('damage to what a job has written', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-publish-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it.each([
    ['is a shard of its own', 50],
    ['is copied whole', 1_000],
  ])('a layer that %s is named when it is assembled, and nothing of it is left', async (_, shardBytesMax) => {
    const { job, paths } = await committedJob(folder);
    const { intake, plan } = job;
    if (intake && plan) job.plan = { ...plan, outputShards: planOutputShards(intake, shardBytesMax) };
    const whole = readFileSync(join(paths.staging, LAYER));
    const damages: [() => void, string][] = [
      [() => flipLastBit(join(paths.staging, LAYER)), 'ChecksumMismatch'],
      [() => writeFileSync(join(paths.staging, LAYER), whole.subarray(0, -8)), 'ChecksumMismatch'],
      [() => rmSync(join(paths.staging, LAYER)), 'StorageFailed'],
    ];
    for (const [damage, code] of damages) {
      damage();
      const error = await assembleAll(job, paths).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ details: { staged: LAYER } });
      expect(['StorageFailed', code]).toContain((error as { code: string }).code);
      const holdingIt = readdirSync(paths.publish).filter((name) => name.includes('00002-of-00003'));
      expect(holdingIt).toEqual([]);
      writeFileSync(join(paths.staging, LAYER), whole);
    }
    await assembleAll(job, paths);
    expect((await publishCheckpoint(job, paths, 5)).files.length).toBeGreaterThan(3);
  });

  it('a layer of which a shard takes a part is held against its digest before', async () => {
    const { job, paths } = await committedJob(folder);
    const { intake } = job;
    const slot = intake?.layers[0]?.tensors[0] as TensorSlot;
    const second = { ...slot, name: 'l0.x' };
    const data = new Uint8Array(40).fill(1);
    await writeSafetensorsFile(join(paths.staging, LAYER), [
      { name: 'l0.w', dtype: 'F32', shape: [10], data },
      { name: 'l0.x', dtype: 'F32', shape: [10], data },
    ]);
    Object.assign(job.intake as object, { layers: [{ linears: [], tensors: [slot, second] }] });
    Object.assign(job.layers[0] as object, { file: await stagedFile(paths, LAYER) });
    if (intake && job.plan) job.plan = { ...job.plan, outputShards: planOutputShards(intake, 50) };
    flipLastBit(join(paths.staging, LAYER));
    expect(job.plan?.outputShards.length).toBe(4);
    await expect(assembleAll(job, paths)).rejects.toMatchObject({
      code: 'ChecksumMismatch',
      details: { staged: LAYER },
    });
  });

  it('token ids that are not what was written are not published', async () => {
    const { job, paths } = await committedJob(folder);
    await assembleAll(job, paths);
    flipLastBit(join(paths.staging, 'calibration/ids-e1-a1.safetensors'));
    await expect(publishCheckpoint(job, paths, 5)).rejects.toMatchObject({
      code: 'ChecksumMismatch',
      details: { staged: 'calibration/ids-e1-a1.safetensors' },
    });
    expect(readdirSync(paths.output)).toEqual(['.secateur']);
  });

  it('to a file that waits to be published, or was moved before a crash, is found by the next process', async () => {
    const { job, paths } = await committedJob(folder);
    await assembleAll(job, paths);
    const { files } = await publishCheckpoint(job, paths, 5);
    const last = files.at(-1)?.file as string;
    for (const { file } of files) {
      mkdirSync(join(paths.publish, 'secateur'), { recursive: true });
      mkdirSync(join(paths.staging, 'calibration'), { recursive: true });
      writeFileSync(paths.claim, JSON.stringify({ job: 'job' }));
      writeFileSync(paths.publishList, JSON.stringify({ job: 'job', files, statisticsMissing: [] }));
      if (file !== last) renameSync(join(paths.output, last), join(paths.publish, last));
      const whole = readFileSync(join(paths.output, file));
      flipLastBit(join(paths.output, file));
      await expect(publishCheckpoint(job, paths, 99)).rejects.toMatchObject({
        code: 'ChecksumMismatch',
        message: expect.stringContaining(join(paths.output, file)),
        details: { staged: `publish/${file}` },
      });
      expect(existsSync(paths.publishList)).toBe(false);
      writeFileSync(join(paths.output, file), whole);
      if (file !== last) renameSync(join(paths.publish, last), join(paths.output, last));
    }
  });

  it('a list of files that is cut, empty or of others is named, and makes way for a new one', async () => {
    const { job, paths } = await committedJob(folder);
    await assembleAll(job, paths);
    const others = { job: 'job', files: [{ file: 'model', sizeBytes: 1, sha256: 'x' }] };
    const outside = { job: 'job', files: [...job.assembled, { file: '../x', sizeBytes: 1, sha256: 'x' }] };
    for (const text of ['', '{"job":"x","fi', JSON.stringify(others), JSON.stringify(outside)]) {
      writeFileSync(paths.publishList, text);
      await expect(publishCheckpoint(job, paths, 5)).rejects.toMatchObject({
        code: 'ChecksumMismatch',
        message: expect.stringContaining(paths.publishList),
        details: { staged: 'publish.json' },
      });
    }
    expect((await publishCheckpoint(job, paths, 5)).files.length).toBeGreaterThan(3);
  });

  it('sums of a layer that are gone or damaged are left out, and said to be', async () => {
    const { job, paths } = await committedJob(folder);
    await assembleAll(job, paths);
    mkdirSync(join(paths.state, 'statistics'), { recursive: true });
    const [name, data] = ['statistics/00000.safetensors', new Uint8Array(8)];
    await writeSafetensorsFile(join(paths.state, name), [{ name: 'x', dtype: 'F64', shape: [1], data }]);
    const sums = { name, ...(await digestFile(join(paths.state, name))) };
    job.layers = [0, 1].map(() => ({ ...(job.layers[0] as JobState['layers'][number]), statisticsFile: sums }));
    Object.assign(job.layers[1] as object, { statisticsFile: { ...sums, name: 'statistics/00001.safetensors' } });
    flipLastBit(join(paths.state, name));
    const published = await publishCheckpoint(job, paths, 5);
    expect(published.statisticsMissing).toEqual([0, 1]);
    const provenance = JSON.parse(readFileSync(join(paths.output, 'secateur.json'), 'utf8'));
    expect(provenance).toMatchObject({ statistics: [], statisticsMissing: [0, 1] });
    expect((await readSafetensorsHeader(join(paths.output, 'secateur/statistics.safetensors'))).tensors.size).toBe(0);
  });
});
