/**
 * A worker's side of the Artifacts service: ranges of a job's files down, finished files up. A coordinator that is away
 * for a moment (a restart) is waited for: a download goes on from the last byte that it has, an upload begins anew.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';
import { reach } from '../failpoint.ts';
import type { ServiceClient } from '../rpc/channel.ts';
import { clientStream } from '../rpc/client-stream.ts';
import type { ArtifactsClient } from '../rpc/generated/secateur/v1/Artifacts.ts';
import type { FileRef } from '../rpc/generated/secateur/v1/FileRef.ts';
import type { TaskIdentity } from '../rpc/generated/secateur/v1/TaskIdentity.ts';
import type { WriteArtifactRequest } from '../rpc/generated/secateur/v1/WriteArtifactRequest.ts';
import { SERVICES } from '../rpc/load-protos.ts';
import { serverStream } from '../rpc/server-stream.ts';
import { checkChunk, readChunks } from './artifact-chunks.ts';
import { refLabel } from './file-ref.ts';

/** A call's time: this, and what its bytes take on a line that is only just usable. */
const CALL_TIMEOUT_BASE_MS = 60_000;
const SLOWEST_BYTES_PER_MS = 1_000;
/** Where the size is not known: what 3.6 GB take at that speed. */
const UNSIZED_TIMEOUT_MS = 3_600_000;
/** Timers of more than 24.8 days fire at once. */
const CALL_TIMEOUT_MAX_MS = 24 * 3_600_000;
const RETRY_PAUSE_FIRST_MS = 200;
const RETRY_PAUSE_MAX_MS = 2_000;

export interface ArtifactPeer {
  readonly client: ServiceClient<ArtifactsClient>;
  readonly job: string;
  /** How long an unreachable coordinator is waited for, counted from the last byte that came or went. */
  readonly patienceMs: number;
}

export interface AskedRange {
  readonly offset: number;
  /** Null: to the end of the file. */
  readonly length: number | null;
}

/**
 * Downloads a range; `write` gets its bytes in order, each piece checked.
 *
 * @returns the count of bytes
 * @throws what the coordinator throws; ChecksumMismatch; Unavailable when it stays away
 */
export async function readArtifact(
  peer: ArtifactPeer,
  ref: FileRef,
  asked: AskedRange,
  write: (data: Buffer) => Promise<void>,
): Promise<number> {
  const label = refLabel(ref);
  let position = asked.offset;
  const end = asked.length === null ? null : asked.offset + asked.length;
  await patiently(peer, async (progressed) => {
    // Zero on the wire means to the end: an empty rest is not asked for.
    if (end !== null && position === end) return;
    const length = end === null ? 0 : end - position;
    const request = { job: peer.job, file: ref, offset: position, length };
    const timeoutMs = end === null ? UNSIZED_TIMEOUT_MS : callTimeoutMs(length);
    for await (const chunk of serverStream(peer.client, SERVICES.Artifacts.service.Read, request, { timeoutMs })) {
      const data = checkChunk(chunk, position, end, label);
      await write(data);
      position += data.length;
      progressed();
    }
  });
  const found = position - asked.offset;
  if (asked.length !== null && found !== asked.length) throw truncated(label, asked.length, found);
  return found;
}

/**
 * Uploads a finished file.
 *
 * @param ref as checked by `checkStagedRef`
 * @throws StaleEpoch, StorageFull, ChecksumMismatch; Unavailable when the coordinator stays away
 */
export async function writeArtifact(
  peer: ArtifactPeer,
  identity: TaskIdentity,
  ref: FileRef & { readonly sizeBytes: number },
  localFile: string,
): Promise<void> {
  const handle = await open(localFile, 'r');
  // Only what no attempt had sent before is progress: a coordinator that dies of this upload is not tried for ever.
  let furthest = -1;
  try {
    await patiently(peer, async (progressed) => {
      const requests = uploadMessages(handle, identity, ref, (offset) => {
        if (offset <= furthest) return;
        furthest = offset;
        progressed();
      });
      const timeoutMs = callTimeoutMs(ref.sizeBytes);
      await clientStream(peer.client, SERVICES.Artifacts.service.Write, requests, { timeoutMs });
    });
  } finally {
    await handle.close();
  }
}

async function* uploadMessages(
  handle: FileHandle,
  identity: TaskIdentity,
  file: FileRef & { readonly sizeBytes: number },
  sent: (offset: number) => void,
): AsyncGenerator<WriteArtifactRequest> {
  yield { header: { identity, file } };
  for await (const chunk of readChunks(handle, { offset: 0, length: file.sizeBytes }, refLabel(file))) {
    yield { chunk };
    reach('engine.upload-sent-part');
    sent(chunk.offset ?? 0);
  }
}

/** Repeats `attempt` while nobody answers, until there has been no progress for the peer's patience. */
async function patiently(peer: ArtifactPeer, attempt: (progressed: () => void) => Promise<void>): Promise<void> {
  let progressMs = performance.now();
  let pauseMs = RETRY_PAUSE_FIRST_MS;
  const progressed = (): void => {
    progressMs = performance.now();
    pauseMs = RETRY_PAUSE_FIRST_MS;
  };
  for (;;) {
    try {
      return await attempt(progressed);
    } catch (thrown) {
      const error = toSecateurError(thrown);
      const waitedMs = performance.now() - progressMs;
      if (error.code !== 'Unavailable' || waitedMs + pauseMs > peer.patienceMs) throw error;
      await pause(pauseMs);
      pauseMs = Math.min(RETRY_PAUSE_MAX_MS, pauseMs * 2);
    }
  }
}

function callTimeoutMs(sizeBytes: number): number {
  return Math.min(CALL_TIMEOUT_MAX_MS, CALL_TIMEOUT_BASE_MS + sizeBytes / SLOWEST_BYTES_PER_MS);
}

function truncated(label: string, expected: number, found: number): SecateurError {
  return new SecateurError('ChecksumMismatch', `${label}: expected ${expected} bytes; the coordinator sent ${found}`, {
    retryable: true,
    details: { file: label, expected, found },
  });
}
