/** What a valid manifest becomes: defaults, both forms of calibration, and properties over arbitrary input. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { parseManifest } from '../../../shared/manifest/parse-manifest.ts';
import type { Manifest } from '../../../shared/manifest/schema.ts';
import { changed, VALID } from './manifest-text.ts';

const parse = (text: string, set: readonly string[] = []) => parseManifest(text, 'job.yaml', { set });

describe('a valid manifest', () => {
  test('gets every default', () => {
    expect(parse(VALID)).toEqual({
      apiVersion: 'secateur/v1',
      kind: 'PruneJob',
      metadata: { name: 'job', namespace: 'default' },
      spec: {
        model: { source: '/models/llama' },
        output: { destination: '/out/llama', maxShardSize: 5_000_000_000 },
        calibration: { text: ['a.txt'], samples: 128, sequenceLength: 2048, seed: 0, microbatch: 'auto' },
        pruning: { method: 'wanda', sparsity: 0.5, propagate: 'pruned', include: ['*'], exclude: [], overrides: [] },
        placement: { stages: 'auto', replicas: 'auto', snapshotInterval: 'auto' },
      },
    });
  });

  test.each([
    ['wanda', {}],
    ['wanda', { variant: 'cumulative' }],
    ['magnitude', { scope: 'matrix' }],
    ['sparsegpt', { blockSize: 128, dampingFraction: 0.01 }],
    ['ria', { scope: 'matrix', activationPower: 0.5 }],
    ['random', { seed: 0 }],
  ])('with method %s has the options %j, and no others', (method, options) => {
    const given = method === 'wanda' ? options : {};
    const text = changed('method: wanda', `method: ${method}${'variant' in given ? '\n    variant: cumulative' : ''}`);
    const { pruning } = parse(text).spec;
    const all = { method, sparsity: 0.5, propagate: 'pruned', include: ['*'], exclude: [], overrides: [], ...options };
    expect(pruning).toEqual(all);
  });

  test('with tokens has neither samples nor a sequence length unless given', () => {
    expect(parse(changed('text: [a.txt]', 'tokens: ids.safetensors')).spec.calibration).toEqual({
      tokens: 'ids.safetensors',
      microbatch: 'auto',
    });
    expect(parse(changed('text: [a.txt]', 'tokens: ids.safetensors\n    samples: 3')).spec.calibration).toEqual({
      tokens: 'ids.safetensors',
      samples: 3,
      microbatch: 'auto',
    });
  });

  test.each([
    ['5GB', 5e9],
    ['500MB', 5e8],
    ['2GiB', 2 ** 31],
    ['1.5KiB', 1536],
    ['100B', 100],
    ['12345', 12345],
  ])('takes the shard size %s as %i bytes', (size, sizeBytes) => {
    const text = changed('/out/llama', `/out/llama\n    maxShardSize: ${size}`);
    expect(parse(text).spec.output.maxShardSize).toBe(sizeBytes);
  });

  test('takes a pattern without quotes', () => {
    expect(parse(changed('sparsity: 0.5', 'pattern: 2:4')).spec.pruning.pattern).toBe('2:4');
  });

  test('takes Windows line ends, a byte order mark and a few aliases', () => {
    const text = changed('name: job', 'name: job\n  labels: { a: &x one, b: *x }').replaceAll('\n', '\r\n');
    expect(parse(`\uFEFF${text}`).metadata.labels).toEqual({ a: 'one', b: 'one' });
  });

  test('may be JSON', () => {
    const manifest = parse(VALID);
    expect(parse(JSON.stringify(manifest))).toEqual(manifest);
  });
});

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$/);
const path = fc.stringMatching(/^\/[a-z0-9 ._%é-]{1,40}$/);
const glob = fc.stringMatching(/^[a-z_.*?0-9]{1,20}$/);
const amount = fc.oneof(
  fc.record({ sparsity: fc.double({ min: 0, max: 0.999, noNaN: true }) }),
  fc.tuple(fc.integer({ min: 1, max: 1023 }), fc.integer({ min: 1, max: 1024 })).map(([keep, more]) => ({
    pattern: `${keep}:${Math.min(1024, keep + more)}`,
  })),
);
const layers = fc.oneof(
  fc.nat(9999),
  fc.tuple(fc.nat(99), fc.nat(99)).map(([a, b]) => `${a}-${a + b}`),
);
const optional = { requiredKeys: [] as [] };
const autoOr = (max: number) => fc.oneof(fc.constant('auto'), fc.integer({ min: 1, max }));
const calibration = fc.oneof(
  fc
    .tuple(
      fc.record({
        text: fc.array(
          path.map((name) => `${name}.txt`),
          { minLength: 1, maxLength: 3 },
        ),
      }),
      fc.record(
        {
          samples: fc.integer({ min: 1, max: 1_000_000 }),
          sequenceLength: fc.integer({ min: 1, max: 1_048_576 }),
          seed: fc.nat(2 ** 32 - 1),
          microbatch: autoOr(65_536),
        },
        optional,
      ),
    )
    .map(([text, others]) => ({ ...text, ...others })),
  fc
    .tuple(fc.record({ tokens: path }), fc.record({ samples: fc.integer({ min: 1, max: 1000 }) }, optional))
    .map(([tokens, others]) => ({ ...tokens, ...others })),
);
const override = fc
  .tuple(
    fc.record(
      {
        layers: fc.oneof(layers, fc.array(layers, { minLength: 1, maxLength: 3 })),
        linears: fc.array(glob, { minLength: 1 }),
      },
      { requiredKeys: ['layers'] },
    ),
    amount,
  )
  .map(([where, much]) => ({ ...where, ...much }));
const pruning = fc
  .tuple(
    fc.record(
      {
        method: fc.constantFrom('wanda', 'magnitude', 'sparsegpt', 'ria', 'random'),
        propagate: fc.constantFrom('pruned', 'dense'),
        include: fc.array(glob, { minLength: 1, maxLength: 3 }),
        exclude: fc.array(glob, { maxLength: 3 }),
        overrides: fc.array(override, { maxLength: 3 }),
      },
      { requiredKeys: ['method'] },
    ),
    amount,
  )
  .map(([rest, much]) => ({ ...rest, ...much }));
const manifest = fc.record({
  apiVersion: fc.constant('secateur/v1'),
  kind: fc.constant('PruneJob'),
  metadata: fc.record({ name: label, namespace: label }, { requiredKeys: ['name'] }),
  spec: fc.record(
    {
      model: fc.record({ source: path }),
      output: fc.record(
        { destination: path, maxShardSize: fc.oneof(fc.integer({ min: 1 }), fc.constantFrom('5GB', '1.5MiB')) },
        { requiredKeys: ['destination'] },
      ),
      calibration,
      pruning,
      placement: fc.record({ stages: autoOr(4096), replicas: autoOr(4096), snapshotInterval: autoOr(4096) }, optional),
    },
    { requiredKeys: ['model', 'output', 'calibration', 'pruning'] },
  ),
});

/** Parses; only a manifest or ManifestInvalid may come of it. */
function manifestOrErrors(text: string, set: readonly string[] = []): Manifest | readonly string[] {
  try {
    return parse(text, set);
  } catch (error) {
    if (!(error instanceof SecateurError) || error.code !== 'ManifestInvalid' || error.message === '') throw error;
    return error.details.errors as readonly string[];
  }
}

/** `value` with what stands at one place of it, chosen by `choose`, replaced. */
function replacedSomewhere(value: unknown, choose: number, junk: unknown): unknown {
  if (typeof value !== 'object' || value === null || choose % 3 === 0) return junk;
  const keys = Object.keys(value);
  const key = keys[choose % Math.max(1, keys.length)] ?? 'x';
  const copy: Record<string, unknown> = { ...value };
  copy[key] = replacedSomewhere(copy[key], Math.floor(choose / 3), junk);
  return Array.isArray(value) ? Object.values(copy) : copy;
}

describe('for any input', () => {
  test('a valid manifest parses, and parses again from what it became', () => {
    fc.assert(
      fc.property(manifest, (value) => {
        const once = parse(stringify(value));
        expect(parse(stringify(once))).toEqual(once);
        expect(parse(JSON.stringify(once))).toEqual(once);
      }),
    );
  });

  test('any YAML gives a manifest or ManifestInvalid', () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: false }), (value) => {
        fc.pre(typeof value !== 'function' && typeof value !== 'symbol');
        const text: unknown = stringify(value);
        fc.pre(typeof text === 'string');
        expect(manifestOrErrors(text as string)).toBeInstanceOf(Array);
      }),
    );
  });

  test('any text gives ManifestInvalid', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(manifestOrErrors(text)).toBeInstanceOf(Array);
      }),
    );
  });

  test('a valid manifest with junk at one place gives a manifest or ManifestInvalid, with places in the file', () => {
    fc.assert(
      fc.property(manifest, fc.nat(10_000), fc.jsonValue(), (value, choose, junk) => {
        const result = manifestOrErrors(stringify(replacedSomewhere(value, choose, junk)));
        if (Array.isArray(result)) for (const line of result) expect(line).toMatch(/^job\.yaml:\d+:\d+: /);
      }),
    );
  });

  test('any --set gives a manifest or ManifestInvalid', () => {
    const setPath = fc.constantFrom(
      'spec',
      'spec.pruning',
      'spec.pruning.overrides[0].layers',
      'a["b"]',
      'spec.calibration.text[1]',
      '',
    );
    const set = fc.oneof(
      fc.string(),
      fc.tuple(setPath, fc.oneof(fc.string(), fc.json())).map((pair) => pair.join('=')),
    );
    fc.assert(
      fc.property(fc.array(set, { minLength: 1, maxLength: 3 }), (texts) => {
        manifestOrErrors(VALID, texts);
        expect(parse(VALID).metadata.name).toBe('job');
      }),
    );
  });
});
