/** Node, processor, memory, disk. */
import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { arch, availableParallelism, freemem, tmpdir, totalmem } from 'node:os';
import { showBytes } from '../../shared/units.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const NODE_MAJOR_MIN = 24;
/** A small model's worker; see the estimate of `secateur plan` for others. */
const MEMORY_BYTES_MIN = 1024 ** 3;
const TEMPORARY_BYTES_MIN = 512 * 1024 ** 2;

/** `(module (func (result v128) i32.const 0 i8x16.splat))`: valid only where there is SIMD. */
const SIMD_MODULE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0],
  ...[1, 5, 1, 96, 0, 1, 123],
  ...[3, 2, 1, 0],
  ...[10, 8, 1, 6, 0, 65, 0, 253, 15, 11],
);

export function checkNode(): Finding {
  const { node } = process.versions;
  if (Number(node.split('.')[0]) >= NODE_MAJOR_MIN) return ok('node', `${node} (${process.execPath})`);
  return fail('node', node, `install Node ${NODE_MAJOR_MIN} or newer`);
}

export async function checkProcessor(): Promise<Finding> {
  const found = `${arch()}, ${availableParallelism()} cores`;
  const hasSimd = await WebAssembly.compile(SIMD_MODULE).then(
    () => true,
    () => false,
  );
  if (hasSimd) return ok('processor', `${found}, SIMD`);
  return fail('processor', `${found}, no SIMD`, 'use a processor with SSE4.1 or NEON: the kernels need it');
}

export function checkMemory(): Finding {
  // In a container what counts is its limit; 0 and huge values mean that there is none.
  const limit = process.constrainedMemory();
  const total = limit > 0 && limit < totalmem() ? limit : totalmem();
  const free = Math.min(process.availableMemory(), freemem() + total);
  const found = `${showBytes(free)} of ${showBytes(total)} available`;
  if (free >= MEMORY_BYTES_MIN) return ok('memory', found);
  return warn('memory', found, '"secateur plan" says what a worker needs');
}

export async function checkTemporaryFolder(): Promise<Finding> {
  const folder = tmpdir();
  try {
    await access(folder, constants.W_OK);
    const { bavail, bsize } = await statfs(folder);
    const found = `${folder}: ${showBytes(bavail * bsize)} free`;
    if (bavail * bsize >= TEMPORARY_BYTES_MIN) return ok('temporary folder', found);
    return warn('temporary folder', found, 'free space, or give workers another --cache');
  } catch (thrown) {
    return fail('temporary folder', (thrown as Error).message, 'make it writable, or set TMPDIR');
  }
}

export async function checkDisk(folder: string): Promise<Finding> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return ok('disk', `${folder}: ${showBytes(bavail * bsize)} free`);
  } catch (thrown) {
    return warn('disk', (thrown as Error).message, 'look at the file system of this folder');
  }
}
