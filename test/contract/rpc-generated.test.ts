import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { generateTypes } from '../../shared/rpc/generate-types.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';

const COMMITTED = fileURLToPath(new URL('../../shared/rpc/generated', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'secateur-generated-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function textsOf(directory: string): Map<string, string> {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return new Map(names.sort().map((name) => [name, readFileSync(join(directory, name), 'utf8')]));
}

describe('the types of the wire contract', () => {
  it('are what the .proto files generate (else: npm run build:proto)', async () => {
    await generateTypes(join(scratch, 'generated'));
    const generated = textsOf(join(scratch, 'generated'));
    expect(generated.size).toBeGreaterThan(40);
    expect(textsOf(COMMITTED)).toEqual(generated);
  });

  it('describe messages as the loader decodes them: numbers for 64-bit integers, names for enums, defaults, oneofs', () => {
    const { requestSerialize, requestDeserialize } = SERVICES.Artifacts.service.Write;
    const file = { root: 'FILE_ROOT_STAGING', name: 'a', sizeBytes: 2 ** 52 } as const;
    const decoded = requestDeserialize(requestSerialize({ header: { file } }));
    expect(decoded).toEqual({
      header: { identity: null, file: { ...file, sha256: '' } },
      message: 'header',
    });
  });
});
