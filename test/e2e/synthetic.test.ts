/** A model that is made as it is needed, its pruned layers digested and thrown away: real processes, nothing stored whole. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import { Bench, type Finished } from '../support/secateur-process.ts';

const LAYERS = 6;
const SLOW = { SECATEUR_SLOW_MS: '25' };

interface Asked {
  readonly pruning?: Record<string, unknown>;
  readonly placement?: Record<string, unknown>;
  readonly destination?: string;
  readonly workers?: number;
  readonly dtype?: string;
  readonly evaluation?: Record<string, unknown>;
  readonly output?: Record<string, unknown>;
}

/** The arguments of a run; the record goes to the folder `out` of the bench. */
function asked(bench: Bench, options: Asked = {}): string[] {
  const { workers = 2, dtype = 'bf16', pruning = { method: 'wanda', sparsity: 0.5 } } = options;
  const manifest = {
    apiVersion: 'secateur/v1',
    kind: 'PruneJob',
    metadata: { name: 'tiny' },
    spec: {
      model: { source: `synthetic:tiny?layers=${LAYERS}&dtype=${dtype}` },
      output: options.output ?? { destination: 'discard:out' },
      calibration: { tokens: 'synthetic:tokens?samples=8&sequenceLength=32', microbatch: 1 },
      pruning,
      ...(options.placement === undefined ? {} : { placement: options.placement }),
      ...(options.evaluation === undefined ? {} : { evaluation: options.evaluation }),
    },
  };
  writeFileSync(bench.path('m.yaml'), JSON.stringify(manifest));
  return ['run', bench.path('m.yaml'), '--workers', String(workers), '--threads', '1', '--state', bench.path('state')];
}

/** What a record says of the bytes: the digest of every layer, and of the calibration. */
function digestsIn(bench: Bench): string[] {
  const record = JSON.parse(readFileSync(bench.path('out', 'secateur.json'), 'utf8')) as {
    layers: { sha256: string }[];
    calibration: { sha256: string };
  };
  const digests = [...record.layers, record.calibration].map(({ sha256 }) => sha256);
  expect(new Set(digests).size).toBe(LAYERS + 1);
  return digests;
}

function expectSuccess(finished: Finished): void {
  expect(finished.code, finished.stderr).toBe(0);
}

describe('a synthetic model whose output is discarded', () => {
  let quiet: string[];
  beforeAll(async () => {
    await using bench = new Bench();
    expectSuccess(await bench.run(asked(bench, { workers: 1 })));
    quiet = digestsIn(bench);
  });

  it('leaves its record and its report, and they say what they are', async () => {
    await using bench = new Bench();
    const finished = await bench.run(asked(bench));
    expectSuccess(finished);
    expect(digestsIn(bench)).toEqual(quiet);
    expect(finished.stdout).toMatch(/^record +\S+out \(nothing was published\)$/m);
    expect(readdirSync(bench.path('out')).sort()).toEqual(['report.html', 'secateur.json']);
    expect(readFileSync(bench.path('out', 'report.html'), 'utf8')).toContain('synthetic:tiny?layers=6');
    const verified = await bench.run(['verify', bench.path('out')]);
    expect(verified.code).toBe(6);
    expect(verified.stderr).toMatch(/there is no checkpoint to verify: job tiny-\w+ was asked for none/);
    const cache = bench.path('state', 'cache');
    expect(existsSync(cache) ? readdirSync(cache) : [], 'what workers made is gone').toEqual([]);
  });

  it.each<[string, Asked]>([
    ['two stages', { placement: { stages: 2 } }],
    ['fewer snapshots', { placement: { snapshotInterval: 4 } }],
    ['no checkpoint, instead of one that is discarded', { output: { destination: 'out', publish: false } }],
  ])('gives the same bytes with %s', async (_, options) => {
    await using bench = new Bench();
    expectSuccess(await bench.run(asked(bench, options)));
    expect(digestsIn(bench)).toEqual(quiet);
  });

  it.each<[string, Asked]>([
    ['propagate: dense', { pruning: { method: 'wanda', sparsity: 0.5, propagate: 'dense' } }],
    ['sparsegpt', { pruning: { method: 'sparsegpt', sparsity: 0.5, blockSize: 32 } }],
    ['F16 and a pattern', { dtype: 'f16', pruning: { method: 'wanda', pattern: '2:4' } }],
    ['F32', { dtype: 'f32' }],
  ])('%s: no file of a layer is left when the next ones are pruned', async (_, options) => {
    await using bench = new Bench();
    const running = bench.start(asked(bench, options), SLOW);
    await running.printed(/layer\.committed {2}layer=4/);
    const layers = readdirSync(bench.path('out', '.secateur', 'layers')).filter((name) => /^0000[01]/.test(name));
    expect(layers).toEqual([]);
    expectSuccess(await running.finished);
    digestsIn(bench);
  });

  it('killed half way, all at once, and begun again: the same digests', async () => {
    await using bench = new Bench();
    const first = bench.start(asked(bench), SLOW);
    await first.printed(/layer\.committed {2}layer=2/);
    await first.kill('SIGKILL');
    expect(existsSync(bench.path('out', 'secateur.json'))).toBe(false);
    const second = await bench.run(asked(bench));
    expectSuccess(second);
    expect(second.stderr).toMatch(/goes on with job/);
    expect(second.stderr).not.toMatch(/layer\.committed {2}layer=[012] /);
    expect(digestsIn(bench)).toEqual(quiet);
  });

  it('killed, and its snapshots gone: layers are pruned again for what is to go through them, with the same digests', async () => {
    await using bench = new Bench();
    const first = bench.start(asked(bench, { workers: 1 }), SLOW);
    await first.printed(/layer\.committed {2}layer=2/);
    await first.kill('SIGKILL');
    const [snapshot] = readdirSync(bench.path('out', '.secateur', 'snapshots'), {
      recursive: true,
      withFileTypes: true,
    })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    writeFileSync(snapshot ?? '', readFileSync(snapshot ?? '').subarray(0, 100));
    const second = await bench.run(asked(bench, { workers: 1 }));
    expectSuccess(second);
    expect(second.stderr).toMatch(
      /layer\.lost {2}layer=0 .*it was discarded, and the hidden states behind it are lost/,
    );
    expect(digestsIn(bench)).toEqual(quiet);
  });

  it('is planned like any other, with disk for two layers', async () => {
    await using bench = new Bench();
    const [, manifest = ''] = asked(bench);
    const planned = await bench.run(['plan', manifest, '-o', 'json']);
    expectSuccess(planned);
    const plan = JSON.parse(planned.stdout) as Record<string, unknown>;
    const layerBytes = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 176 + 2 * 64);
    const snapshotBytes = 8 * 32 * 64 * 4;
    expect(plan).toMatchObject({
      source: 'synthetic:tiny?layers=6&seed=0&dtype=bf16',
      destination: bench.path('out'),
      snapshotInterval: 1,
      outputShards: [],
      diskNeededBytes: 2 * layerBytes + 2 * snapshotBytes,
    });
  });

  it('can be evaluated, on given token ids, where its layers are kept until then', async () => {
    await using bench = new Bench();
    const ids = Int32Array.from({ length: 64 }, (_, index) => (index * 37) % 256);
    await writeSafetensorsFile(bench.path('ids.safetensors'), [
      { name: 'input_ids', dtype: 'I32', shape: [2, 32], data: new Uint8Array(ids.buffer) },
    ]);
    const output = { destination: 'out', publish: false };
    expectSuccess(await bench.run(asked(bench, { output, evaluation: { tokens: ['ids.safetensors'] } })));
    expect(digestsIn(bench)).toEqual(quiet);
    const record = JSON.parse(readFileSync(bench.path('out', 'secateur.json'), 'utf8')) as {
      perplexity: { dense: number; pruned: number }[];
    };
    const [{ dense, pruned } = { dense: 0, pruned: 0 }] = record.perplexity;
    // It knows nothing of any text: about as many choices as the vocabulary has.
    for (const perplexity of [dense, pruned]) {
      expect(perplexity).toBeGreaterThan(100);
      expect(perplexity).toBeLessThan(2_000);
    }
    expect(pruned).not.toBe(dense);
  });
});

describe('secateur bench model', () => {
  it('prints throughput, and memory beside its bound, and leaves nothing', async () => {
    await using bench = new Bench();
    const args = ['bench', 'model', '--shape', 'tiny', '--layers', '2', '--tokens', '300', '--workers', '1'];
    const env = { TMPDIR: bench.folder };
    const finished = await bench.run([...args, '-o', 'json'], env);
    expect(finished.code, finished.stderr).toBe(0);
    const figures = JSON.parse(finished.stdout) as { processes: { name: string; holds: boolean }[] };
    expect(figures).toMatchObject({ samples: 3, sequenceLength: 128, layers: 2, weights: 2 * 46_080, workers: 1 });
    expect(figures.processes.map(({ name, holds }) => [name, holds])).toEqual([
      ['coordinator', true],
      ['worker-1', true],
    ]);
    expect(readdirSync(bench.folder).filter((name) => name.startsWith('secateur-bench'))).toEqual([]);
  });
});
