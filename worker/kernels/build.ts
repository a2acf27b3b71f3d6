/**
 * Compiles assembly/index.ts to prune.wasm, which is committed: users need no compiler. Run as `npm run build:kernel`
 * after a change to assembly/; a test compares the committed bytes with fresh ones.
 */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { SecateurError } from '../../shared/errors/secateur-error.ts';

const SOURCE_FOLDER = fileURLToPath(new URL('./assembly', import.meta.url));
const OUTPUT_FILE = fileURLToPath(new URL('./prune.wasm', import.meta.url));

/** No heap (the stub runtime is never called), memory brought by the caller, no checks of indices: addresses are ours. */
const FLAGS = [
  ...['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort=', '--uncheckedBehavior', 'always'],
  ...['--enable', 'simd', '--enable', 'threads', '--enable', 'bulk-memory'],
  ...['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
];

/** The compiled kernel's bytes. Throws Internal with the compiler's own words where it does not compile. */
export async function buildKernel(): Promise<Uint8Array> {
  const { default: asc } = await import('assemblyscript/asc');
  let binary: Uint8Array | null = null;
  const { error, stderr } = await asc.main(
    ['index.ts', '--baseDir', SOURCE_FOLDER, '--outFile', 'prune.wasm', ...FLAGS],
    {
      writeFile: (name: string, contents: Uint8Array | string) => {
        if (name === 'prune.wasm' && typeof contents !== 'string') binary = contents;
      },
    },
  );
  if (error !== null || binary === null) {
    throw new SecateurError(
      'Internal',
      `the kernel does not compile: ${error?.message ?? 'no output'}\n${stderr.toString()}`,
    );
  }
  return binary;
}

if (import.meta.main) await writeFile(OUTPUT_FILE, await buildKernel());
