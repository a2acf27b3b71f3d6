/** Files and folders that attack the reader, and what the reader said to them. */

import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { type ErrorCode, SecateurError } from '../../shared/errors/secateur-error.ts';
import { layoutSafetensors, type TensorToLay } from '../../shared/safetensors/layout.ts';

/** A folder for the tests of one file, removed behind them; call it at the top of the file. */
export function temporaryFolder(): { path: (...names: string[]) => string } {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'secateur-test-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });
  return { path: (...names) => join(folder, ...names) };
}

/** The bytes of a safetensors file out of any header text and so many bytes of data; `length` may lie. */
export function fileBytes(header: string | Uint8Array, dataSizeBytes: number, length?: bigint): Uint8Array {
  const json = Buffer.from(header);
  const bytes = Buffer.alloc(8 + json.length + dataSizeBytes, 0x5a);
  bytes.writeBigUInt64LE(length ?? BigInt(json.length));
  json.copy(bytes, 8);
  return bytes;
}

/** A valid file: every byte of the data is the number of its tensor. */
export function validFile(tensors: readonly TensorToLay[]): Uint8Array {
  const { headerBytes, tensors: placed, fileSizeBytes } = layoutSafetensors(tensors);
  const bytes = new Uint8Array(fileSizeBytes);
  bytes.set(headerBytes);
  for (const [index, { offset, sizeBytes }] of [...placed.values()].entries()) {
    bytes.fill(index + 1, offset, offset + sizeBytes);
  }
  return bytes;
}

/** A checkpoint folder: contents by file name; objects are written as JSON. A config.json unless one is given. */
export async function writeFolder(
  folder: string,
  files: Record<string, string | Uint8Array | object>,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries({ 'config.json': { model_type: 'llama' }, ...files })) {
    const isRaw = typeof content === 'string' || content instanceof Uint8Array;
    await writeFile(join(folder, name), isRaw ? content : JSON.stringify(content));
  }
  return folder;
}

/** The SecateurError that the call ends in; any other ending fails the test. */
export async function refusalOf(call: () => unknown): Promise<SecateurError> {
  try {
    await call();
  } catch (thrown) {
    if (thrown instanceof SecateurError) return thrown;
    throw new Error(`expected a SecateurError, not ${String(thrown)}`, { cause: thrown });
  }
  throw new Error('expected a refusal; the call succeeded');
}

/** Asserts a refusal with this code whose message names the file and says all of `parts`. */
export async function expectRefusal(
  call: () => unknown,
  code: ErrorCode,
  file: string,
  ...parts: (string | RegExp)[]
): Promise<SecateurError> {
  const error = await refusalOf(call);
  expect(error.code, error.message).toBe(code);
  for (const part of [file, ...parts]) {
    if (typeof part === 'string') expect(error.message).toContain(part);
    else expect(error.message).toMatch(part);
  }
  expect(error.message.length, 'a message stays readable whatever the file holds').toBeLessThan(4000);
  return error;
}

/** A pipe that nobody writes to. */
export function makeNamedPipe(path: string): void {
  execFileSync('/bin/sh', ['-c', 'mkfifo "$1"', 'sh', path]);
}
