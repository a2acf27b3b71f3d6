/** The committed JSON Schema, the documentation and the example say what the code does. */

import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseManifest } from '../../../shared/manifest/parse-manifest.ts';
import { locationToPath, resolveLocations } from '../../../shared/manifest/resolve-locations.ts';
import { JSON_SCHEMA_FILE, manifestJsonSchema } from '../../../shared/manifest/write-json-schema.ts';
import { errorsOf } from './manifest-text.ts';

const ROOT = join(import.meta.dirname, '../../..');
const EXAMPLE = join(ROOT, 'examples/micro-llama.yaml');
const page = await readFile(join(ROOT, 'docs/manifest.md'), 'utf8');

/** The text of the fenced block of docs/manifest.md that opens with this line. */
function block(opening: string): string {
  const start = page.indexOf(`\n\`\`\`${opening}\n`);
  if (start < 0) throw new Error(`docs/manifest.md has no block ${opening}`);
  const from = start + opening.length + 5;
  return page.slice(from, page.indexOf('\n```', from));
}

interface SchemaNode {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: unknown;
  readonly items?: SchemaNode;
}

function fieldsOf(node: SchemaNode, path: string): { path: string; node: SchemaNode }[] {
  const nested = Object.entries(node.properties ?? {}).flatMap(([key, field]) => fieldsOf(field, `${path}.${key}`));
  return [{ path, node }, ...nested, ...(node.items === undefined ? [] : fieldsOf(node.items, `${path}[]`))];
}

describe('docs/manifest.schema.json', () => {
  test('is what npm run build:schema writes', async () => {
    expect(await readFile(JSON_SCHEMA_FILE, 'utf8')).toBe(manifestJsonSchema());
  });

  test('describes every field, and closes every mapping', () => {
    const fields = fieldsOf(JSON.parse(manifestJsonSchema()) as SchemaNode, 'manifest');
    expect(fields.length).toBeGreaterThan(30);
    for (const { path, node } of fields) {
      if (!path.endsWith('[]')) expect(node.description, path).toBeTruthy();
      if (node.properties !== undefined) expect(node.additionalProperties, path).toBe(false);
    }
  });
});

describe('docs/manifest.md', () => {
  test('has a complete example that parses', () => {
    const manifest = parseManifest(block('yaml'), 'job.yaml');
    expect(manifest.spec.pruning.overrides).toHaveLength(3);
  });

  test('names every field of the schema', () => {
    const fields = fieldsOf(JSON.parse(manifestJsonSchema()) as SchemaNode, 'manifest');
    const keys = fields.map(({ path }) => path.split('.').at(-1)!.replace('[]', ''));
    for (const key of new Set(keys)) expect(page).toContain(key);
  });

  test('shows the errors that its wrong manifest really gives', () => {
    expect(errorsOf(block('yaml wrong'), ['spec.placement.replicas=0'])).toEqual(block('text errors').split('\n'));
  });
});

describe('the examples', () => {
  test('are manifests that point at the schema, and at files that are there', async () => {
    const folder = dirname(EXAMPLE);
    const names = (await readdir(folder)).filter((name) => name.endsWith('.yaml'));
    expect(names).toContain('micro-llama-compare.yaml');
    for (const name of names) {
      const text = await readFile(join(folder, name), 'utf8');
      expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=../docs/manifest.schema.json');
      const { model, calibration, evaluation } = resolveLocations(parseManifest(text, name), folder).spec;
      const files = [model.source, calibration, evaluation].flatMap(
        (each) => JSON.stringify(each)?.match(/file:[^"]+/g) ?? [],
      );
      for (const file of files) expect(existsSync(locationToPath(file)), file).toBe(true);
    }
  });
});

describe('examples/micro-llama.yaml', () => {
  test('parses, points at the schema and keeps everything inside the repository', async () => {
    const text = await readFile(EXAMPLE, 'utf8');
    expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=../docs/manifest.schema.json');
    const manifest = resolveLocations(parseManifest(text, EXAMPLE), dirname(EXAMPLE));
    const { model, output, calibration } = manifest.spec;
    expect(locationToPath(model.source)).toBe(join(ROOT, 'examples/micro-llama/model'));
    expect(locationToPath(output.destination)).toBe(join(ROOT, 'examples/micro-llama/out/wanda-50'));
    const files = 'text' in calibration ? calibration.text.map(locationToPath) : [];
    expect(files).toContain(join(ROOT, 'README.md'));
  });
});
