import { describe, expect, test } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { parseManifest } from '../../../shared/manifest/parse-manifest.ts';
import type { PruningSpec } from '../../../shared/manifest/schema.ts';
import {
  checkSelections,
  type LinearChoice,
  type SizedLinear,
  selectionFor,
} from '../../../shared/manifest/select-linears.ts';
import { changed } from './manifest-text.ts';

const SHORT_NAMES = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
];

const LINEARS: readonly SizedLinear[] = Array.from({ length: 4 }, (_, layer) =>
  SHORT_NAMES.map((linear) => ({
    name: `model.layers.${layer}.${linear}`,
    linear,
    layer,
    inFeatures: linear === 'mlp.down_proj' ? 224 : 64,
  })),
).flat();

function pruningOf(fields: Record<string, unknown>): PruningSpec {
  const text = changed(
    '  pruning:\n    method: wanda\n    sparsity: 0.5',
    `  pruning: ${JSON.stringify({ method: 'wanda', ...fields })}`,
  );
  return parseManifest(text, 'job.yaml').spec.pruning;
}

function choice(pruning: PruningSpec, name: string): LinearChoice {
  const linear = LINEARS.find((candidate) => candidate.name === `model.layers.${name}`);
  if (linear === undefined) throw new Error(`no linear ${name}`);
  return selectionFor(pruning, linear);
}

const KEEP_ALL = { kind: 'keepAll' };
const sparse = (sparsity: number) => ({ kind: 'unstructured', sparsity });

describe('selectionFor', () => {
  test('takes the sparsity or the pattern for every linear', () => {
    expect(choice(pruningOf({ sparsity: 0.5 }), '3.mlp.up_proj')).toEqual(sparse(0.5));
    expect(choice(pruningOf({ pattern: '2:4' }), '0.self_attn.q_proj')).toEqual({ kind: 'pattern', keep: 2, group: 4 });
    expect(choice(pruningOf({ sparsity: 0 }), '0.self_attn.q_proj')).toEqual(KEEP_ALL);
  });

  test('keeps what include does not match, by short or by full name', () => {
    const pruning = pruningOf({ sparsity: 0.5, include: ['mlp.*', 'model.layers.2.self_attn.?_proj'] });
    expect(choice(pruning, '0.mlp.up_proj')).toEqual(sparse(0.5));
    expect(choice(pruning, '0.self_attn.q_proj')).toEqual(KEEP_ALL);
    expect(choice(pruning, '2.self_attn.q_proj')).toEqual(sparse(0.5));
  });

  test('lets the last override that matches decide', () => {
    const pruning = pruningOf({
      sparsity: 0.5,
      overrides: [
        { layers: '0-2', sparsity: 0.25 },
        { layers: [1, '2-3'], linears: ['mlp.*'], pattern: '4:8' },
        { layers: 2, linears: ['*.down_proj'], sparsity: 0 },
      ],
    });
    expect(choice(pruning, '0.mlp.up_proj')).toEqual(sparse(0.25));
    expect(choice(pruning, '1.mlp.up_proj')).toEqual({ kind: 'pattern', keep: 4, group: 8 });
    expect(choice(pruning, '1.self_attn.q_proj')).toEqual(sparse(0.25));
    expect(choice(pruning, '2.mlp.down_proj')).toEqual(KEEP_ALL);
    expect(choice(pruning, '3.self_attn.q_proj')).toEqual(sparse(0.5));
    expect(choice(pruning, '3.mlp.down_proj')).toEqual({ kind: 'pattern', keep: 4, group: 8 });
  });

  test('lets exclude win over include and overrides, and no override bring back what include leaves out', () => {
    const overrides = [{ layers: '0-3', sparsity: 0.9 }];
    const pruning = pruningOf({ sparsity: 0.5, include: ['mlp.*'], exclude: ['*.down_proj'], overrides });
    expect(choice(pruning, '0.mlp.down_proj')).toEqual(KEEP_ALL);
    expect(choice(pruning, '0.self_attn.q_proj')).toEqual(KEEP_ALL);
    expect(choice(pruning, '0.mlp.up_proj')).toEqual(sparse(0.9));
  });
});

function errorsOf(fields: Record<string, unknown>): readonly string[] {
  try {
    checkSelections(pruningOf(fields), LINEARS);
  } catch (error) {
    if (!(error instanceof SecateurError) || error.code !== 'ManifestInvalid') throw error;
    expect((error.details.errors as readonly string[]).join('\n')).toBe(error.message);
    return error.message.split('\n');
  }
  return [];
}

const HERE = `linears here: ${SHORT_NAMES.join(', ')}`;

describe('checkSelections', () => {
  test('accepts what fits the model', () => {
    expect(
      errorsOf({ sparsity: 0.5, exclude: ['mlp.down_proj'], overrides: [{ layers: '0-3', pattern: '2:4' }] }),
    ).toEqual([]);
  });

  test('refuses globs that match nothing, each by its place, with the nearest name', () => {
    expect(errorsOf({ sparsity: 0.5, include: ['*', 'lm_head'], exclude: ['mlp.dwn_proj'] })).toEqual([
      `spec.pruning.include[1]: "lm_head" matches no linear; ${HERE}`,
      `spec.pruning.exclude[0]: "mlp.dwn_proj" matches no linear; did you mean "mlp.down_proj"? ${HERE}`,
    ]);
  });

  test('refuses an override whose globs match nothing in its own layers', () => {
    expect(
      errorsOf({ sparsity: 0.5, overrides: [{ layers: 1, linears: ['model.layers.0.mlp.up_proj'], sparsity: 0 }] }),
    ).toEqual([
      `spec.pruning.overrides[0].linears[0]: "model.layers.0.mlp.up_proj" matches no linear; did you mean "model.layers.1.mlp.up_proj"? ${HERE}`,
    ]);
  });

  test('refuses layers that the model does not have', () => {
    expect(errorsOf({ sparsity: 0.5, overrides: [{ layers: [0, '2-5', 9], sparsity: 0 }] })).toEqual([
      'spec.pruning.overrides[0].layers: 2-5, 9 is outside the model; its layers are 0-3',
    ]);
  });

  test('refuses a group that does not divide inFeatures, once for each kind of linear and only where it is pruned', () => {
    const line =
      'spec.pruning.pattern: "16:64" needs inFeatures to be a multiple of 64, but model.layers.0.mlp.down_proj has 224 (and 3 more of its kind); exclude it, or choose another group';
    expect(errorsOf({ pattern: '16:64' })).toEqual([line]);
    expect(errorsOf({ pattern: '16:64', exclude: ['*.down_proj'] })).toEqual([]);
    expect(errorsOf({ sparsity: 0.5, overrides: [{ layers: 3, linears: ['mlp.down_proj'], pattern: '1:3' }] })).toEqual(
      [
        'spec.pruning.overrides[0].pattern: "1:3" needs inFeatures to be a multiple of 3, but model.layers.3.mlp.down_proj has 224; exclude it, or choose another group',
      ],
    );
  });
});
