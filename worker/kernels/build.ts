/**
 * Compiles what KERNELS names in assembly/ to the files beside this one, which are committed: users need no compiler. Run as `npm run build:kernel` after a change to assembly/; a test compares the committed bytes with
 * fresh ones.
 */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { SecateurError } from '../../shared/errors/secateur-error.ts';

const SOURCE_FOLDER = fileURLToPath(new URL('./assembly', import.meta.url));

/** Name of the compiled file → its source, in the folder of sources, and whether all threads work in one memory. */
export const KERNELS = {
  'prune.wasm': { source: 'index.ts', shared: true },
  'sparsegpt.wasm': { source: 'sparsegpt/index.ts', shared: false },
  'copy.wasm': { source: 'copy.ts', shared: true },
} as const;

/** No heap (the stub runtime is never called), memory brought by the caller, no checks of indices: addresses are ours. */
const FLAGS = [
  ...['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort=', '--uncheckedBehavior', 'always'],
  ...['--enable', 'simd', '--enable', 'bulk-memory'],
  ...['--importMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
];
const SHARED_FLAGS = ['--enable', 'threads', '--sharedMemory'];

/** The compiled kernel's bytes. Throws Internal with the compiler's own words where it does not compile. */
export async function buildKernel(output: keyof typeof KERNELS): Promise<Uint8Array> {
  const { default: asc } = await import('assemblyscript/asc');
  let binary: Uint8Array | null = null;
  const { source, shared } = KERNELS[output];
  const { error, stderr } = await asc.main(
    [source, '--baseDir', SOURCE_FOLDER, '--outFile', output, ...FLAGS, ...(shared ? SHARED_FLAGS : [])],
    {
      writeFile: (name: string, contents: Uint8Array | string) => {
        if (name === output && typeof contents !== 'string') binary = contents;
      },
    },
  );
  if (error !== null || binary === null) {
    throw new SecateurError(
      'Internal',
      `${output} does not compile: ${error?.message ?? 'no output'}\n${stderr.toString()}`,
    );
  }
  return binary;
}

if (import.meta.main) {
  for (const output of Object.keys(KERNELS) as (keyof typeof KERNELS)[]) {
    await writeFile(fileURLToPath(new URL(output, import.meta.url)), await buildKernel(output));
  }
}
