/** The prune kernel: compiles, has its memory, and prunes a small matrix exactly as the reference does. */
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import { compileKernel, createKernelMemory, Kernel, reserveMemory, writeTables } from '../../worker/kernels/kernel.ts';
import { layoutKernelMemory } from '../../worker/kernels/kernel-layout.ts';
import { pruneReference } from '../../worker/kernels/reference.ts';
import { type Finding, fail, ok } from './finding.ts';

const ROWS = 8;
const COLUMNS = 256;

export async function checkKernel(): Promise<Finding> {
  try {
    const module = await compileKernel();
    const found = pruneBothWays(module);
    if (found === null) return ok('prune kernel', `${ROWS} x ${COLUMNS} weights pruned as by the reference`);
    return fail('prune kernel', found, 'install secateur again: prune.wasm is not the one that belongs to it');
  } catch (thrown) {
    return fail('prune kernel', toSecateurError(thrown).message, 'install secateur again');
  }
}

/** Every instance shares one memory that may grow to 4 GiB: address space is reserved for it, not memory. */
export function checkSharedMemory(): Finding {
  try {
    const { byteLength } = createKernelMemory().buffer;
    return ok('shared memory', `${byteLength / 1024} KiB, may grow to 4 GiB`);
  } catch (thrown) {
    return fail('shared memory', (thrown as Error).message, 'raise the limit of address space (ulimit -v unlimited)');
  }
}

/** @returns what differs; null where nothing does */
function pruneBothWays(module: WebAssembly.Module): string | null {
  const matrix = { tensor: 'doctor', dtype: 'BF16', rows: ROWS, columns: COLUMNS } as const;
  const selection = { kind: 'row', prunedPerRow: COLUMNS / 2 } as const;
  // Bits of small numbers of either sign, all different enough.
  const weights = Uint16Array.from({ length: ROWS * COLUMNS }, (_, index) => 0x3c00 + ((index * 2654435761) >>> 22));
  const norms = Float32Array.from({ length: COLUMNS }, (_, column) => 1 + ((column * 37) % 101) / 64);
  const expected = weights.slice();
  const { zeros } = pruneReference(matrix, expected, norms, selection);

  const memory = createKernelMemory();
  const layout = layoutKernelMemory(matrix, 1, weights.byteLength);
  const [area] = layout.areas;
  if (area === undefined) return 'its memory has no area for a thread';
  reserveMemory(memory, layout);
  writeTables(memory, layout, matrix, { kind: 'normed', columnNorms: norms });
  const kernel = new Kernel(module, memory);
  kernel.begin(matrix, { kind: 'prune', saliency: { kind: 'normed', seed: 0 }, selection }, layout, area);
  const chunk = kernel.chunk(weights.byteLength);
  chunk.set(new Uint8Array(weights.buffer));
  const result = kernel.run(ROWS, 0);
  if (result.kind !== 'done') return 'it says that a weight is not finite';
  if (result.zeros !== zeros) return `it made ${result.zeros} zeros, the reference ${zeros}`;
  const isSame = Buffer.compare(Uint8Array.from(chunk), new Uint8Array(expected.buffer)) === 0;
  return isSame ? null : 'it chose other weights than the reference';
}
