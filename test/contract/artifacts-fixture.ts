/** A coordinator's Artifacts service on loopback over folders of its own, and a client for it. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Server } from '@grpc/grpc-js';
import { type ArtifactsContext, createArtifactsService } from '../../coordinator/api/artifacts-service.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { bindServer, createClient, createServer, type ServiceClient } from '../../shared/rpc/channel.ts';
import type { ArtifactsClient, ArtifactsHandlers } from '../../shared/rpc/generated/secateur/v1/Artifacts.ts';
import type { FileRef } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { JobContext__Output } from '../../shared/rpc/generated/secateur/v1/JobContext.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { readArtifact } from '../../shared/storage/artifact-transfer.ts';
import { CoordinatorJobFiles } from '../../shared/storage/coordinator-job-files.ts';

export const JOB = 'job-a1b2c3';
export const IDENTITY = { job: JOB, task: 'prune-00003', attempt: 1, epoch: 7 };

export interface JobFolder {
  readonly root: string;
  readonly source: string;
  readonly staging: string;
  readonly cache: string;
  readonly context: JobContext__Output;
  remove(): void;
}

/** A source with one shard of `shardSizeBytes` random bytes and a tokenizer, a calibration file, and a claimed staging folder. */
export function makeJobFolder(shardSizeBytes = 3_000_000): JobFolder {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'secateur-artifacts-')));
  const folders = {
    root,
    source: join(root, 'source'),
    staging: join(root, 'out', '.secateur'),
    cache: join(root, 'cache'),
  };
  for (const folder of [folders.source, join(folders.staging, 'layers'), folders.cache])
    mkdirSync(folder, { recursive: true });
  writeFileSync(join(folders.source, 'model.safetensors'), randomBytes(shardSizeBytes));
  writeFileSync(join(folders.source, 'tokenizer.json'), '{"tokens":true}');
  writeFileSync(join(root, 'calibration.txt'), 'some text');
  writeFileSync(join(folders.staging, 'probe.txt'), JOB);
  const context: JobContext__Output = {
    job: JOB,
    sourceDirectory: folders.source,
    stagingDirectory: folders.staging,
    calibrationFiles: [join(root, 'calibration.txt')],
    evaluationFiles: [],
    modelJson: '{}',
    samples: 1,
    sequenceLength: 1,
    microbatch: 1,
    probeName: 'probe.txt',
    probeContent: JOB,
  };
  return { ...folders, context, remove: () => rmSync(root, { recursive: true, force: true }) };
}

export interface RunningArtifacts {
  readonly address: string;
  readonly client: ServiceClient<ArtifactsClient>;
  readonly server: Server;
  close(): void;
}

/** The real service for the folder's job; IDENTITY holds its lease. */
export function serviceFor(folder: JobFolder, over: Partial<ArtifactsContext> = {}): ArtifactsHandlers {
  const { context } = folder;
  const sourceFiles = new Set(['model.safetensors', 'tokenizer.json', 'linked.safetensors', 'absent.json', 'fifo']);
  return createArtifactsService({
    resolveJob: (job) => (job === JOB ? { ...context, sourceFiles } : undefined),
    isCurrent: ({ task, attempt, epoch }) =>
      task === IDENTITY.task && attempt === IDENTITY.attempt && epoch === IDENTITY.epoch,
    ...over,
  });
}

export function serveFolder(folder: JobFolder, over: Partial<ArtifactsContext> = {}): Promise<RunningArtifacts> {
  return serve(serviceFor(folder, over));
}

/** Any implementation: a hostile one, say. */
export async function serve(handlers: ArtifactsHandlers): Promise<RunningArtifacts> {
  const server = createServer();
  server.addService(SERVICES.Artifacts.service, handlers);
  const address = await bindServer(server, '127.0.0.1:0');
  const client = createClient(address, 'Artifacts');
  return {
    address,
    client,
    server,
    close: () => {
      client.close();
      server.forceShutdown();
    },
  };
}

export function jobFilesThrough(
  running: RunningArtifacts,
  folder: JobFolder,
  cacheSizeBytesMax = 1e9,
): Promise<CoordinatorJobFiles> {
  const peer = { client: running.client, job: JOB, patienceMs: 0 };
  return CoordinatorJobFiles.open({ peer, cacheDirectory: folder.cache, cacheSizeBytesMax });
}

export async function download(
  running: RunningArtifacts,
  ref: FileRef,
  offset = 0,
  length: number | null = null,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const peer = { client: running.client, job: JOB, patienceMs: 0 };
  await readArtifact(peer, ref, { offset, length }, async (data) => {
    pieces.push(data);
  });
  return Buffer.concat(pieces);
}

export function stagedRef(
  name: string,
  content: Uint8Array,
): FileRef & { name: string; sizeBytes: number; sha256: string } {
  return { root: 'FILE_ROOT_STAGING', name, sizeBytes: content.length, sha256: sha256Of(content) };
}

function sha256Of(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** The error's code; anything else that is thrown fails the test. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  return (await errorOf(work)).code;
}

export async function errorOf(work: Promise<unknown>): Promise<SecateurError> {
  try {
    await work;
  } catch (thrown) {
    if (thrown instanceof SecateurError) return thrown;
    throw thrown;
  }
  throw new Error('expected a SecateurError; nothing was thrown');
}

/** How often this process has the file open. */
export function openHandles(path: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
    } catch {
      // The listing's own descriptor is gone by now.
      return false;
    }
  }).length;
}

/** Looks again after every turn of the event loop. */
export async function until(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error('the condition did not come true in time');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
