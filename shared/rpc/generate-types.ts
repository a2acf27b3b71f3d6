/**
 * Writes shared/rpc/generated: the types of the wire contract, by proto-loader's own generator.
 * `npm run build:proto`, after a change to protos/; a contract test fails while the result is not committed.
 *
 * What is generated is made stricter: a caller gives 64-bit integers as numbers, enums by name and bytes as bytes, the
 * same forms that it is given.
 */
import { execFile } from 'node:child_process';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PROTO_DIRECTORY, PROTO_FILES } from './proto-options.ts';

const GENERATOR = createRequire(import.meta.url).resolve('@grpc/proto-loader/build/bin/proto-loader-gen-types.js');
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

const OPTIONS = [
  '--longs=Number',
  '--enums=String',
  '--defaults',
  '--arrays',
  '--oneofs',
  '--includeComments',
  '--grpcLib=@grpc/grpc-js',
  '--importFileExtension=.ts',
];

const HEADER = '// Generated from protos/ by `npm run build:proto`; do not edit.\n\n';

/** Replaces whatever is in `outputDirectory`. */
export async function generateTypes(outputDirectory: string): Promise<void> {
  await rm(outputDirectory, { recursive: true, force: true });
  // From the repository's root, so that the comments name the .proto files by the same path on every machine.
  const places = ['-I', relative(REPOSITORY, PROTO_DIRECTORY), '-O', outputDirectory];
  await promisify(execFile)(process.execPath, [GENERATOR, ...OPTIONS, ...places, ...PROTO_FILES], { cwd: REPOSITORY });
  for (const name of await readdir(outputDirectory, { recursive: true })) {
    if (!name.endsWith('.ts')) continue;
    const path = join(outputDirectory, name);
    await writeFile(path, HEADER + strict(await readFile(path, 'utf8')));
  }
}

function strict(source: string): string {
  const text = source
    .replaceAll('(number | string | Long)', '(number)')
    .replaceAll(/^import type \{ Long \} from '@grpc\/proto-loader';\n/gm, '')
    .replaceAll("'?: (number | string);", "'?: (number);")
    .replaceAll('(number | string)[]', '(number)[]')
    .replaceAll('(Buffer | Uint8Array | string)', '(Uint8Array)')
    // Enums by number, each on its own line after the name.
    .replaceAll(/^ {2}\| \d+\n/gm, '')
    .replaceAll(/[ \t]+$/gm, '');
  return `${text.trimEnd()}\n`;
}

if (import.meta.main) await generateTypes(fileURLToPath(new URL('./generated', import.meta.url)));
