/** The main job with real processes: one coordinator, one to three workers, each with its engine, on a trained model. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../shared/safetensors/read-tensor.ts';
import { Bench, digestTree, microManifest, REPOSITORY } from '../support/secateur-process.ts';

const MODEL = join(REPOSITORY, 'examples/micro-llama/model');

async function runMicro(
  bench: Bench,
  name: string,
  options: Partial<Parameters<typeof microManifest>[0]> = {},
  args: string[] = [],
) {
  const output = bench.path(name);
  const manifest = bench.path(`${name}.yaml`);
  writeFileSync(manifest, microManifest({ output, name, ...options }));
  const finished = await bench.run(['run', manifest, ...args]);
  return { output, manifest, finished };
}

describe('secateur run', () => {
  it('gives the same bytes with 1, 2 and 3 workers, and `verify` accepts them', async () => {
    await using bench = new Bench();
    const digests: Record<string, string>[] = [];
    for (const workers of ['1', '2', '3']) {
      const { output, finished } = await runMicro(bench, `out-${workers}`, {}, [
        '--workers',
        workers,
        '--threads',
        '1',
      ]);
      expect(finished.code, finished.stderr).toBe(0);
      digests.push(digestTree(output));
      const verified = await bench.run(['verify', output, '--source', MODEL]);
      expect(verified.code, verified.stdout + verified.stderr).toBe(0);
    }
    expect(Object.keys(digests[0] ?? {})).toContain('model.safetensors');
    expect(digests[1]).toEqual(digests[0]);
    expect(digests[2]).toEqual(digests[0]);
  });

  it('gives the same bytes whatever the stages, the threads and the microbatch', async () => {
    await using bench = new Bench();
    const base = await runMicro(bench, 'base', {}, ['--workers', '1', '--threads', '1']);
    const tokens = join(REPOSITORY, 'test/golden/fixtures/micro/calibration.safetensors');
    const other = await runMicro(bench, 'other', { placement: { stages: 3 }, calibration: { tokens, microbatch: 3 } }, [
      '--workers',
      '2',
      '--threads',
      '2',
    ]);
    expect(base.finished.code, base.finished.stderr).toBe(0);
    expect(other.finished.code, other.finished.stderr).toBe(0);
    expect(digestTree(other.output)).toEqual(digestTree(base.output));
  });

  it('names the job that has done it when it is asked again, and `plan` still plans', async () => {
    await using bench = new Bench();
    const { manifest, finished } = await runMicro(bench, 'done', {}, ['--workers', '1']);
    const job = /^job +(\S+)$/m.exec(finished.stdout)?.[1];
    const again = await bench.run(['run', manifest]);
    expect(again.code).toBe(4);
    expect(again.stderr).toMatch(
      new RegExp(`^error: .*already done by job ${job}.*To prune anew.*\\[OutputExists\\]\n$`),
    );
    const planned = await bench.run(['plan', manifest]);
    expect(planned.code, planned.stderr).toBe(0);
    expect(planned.stdout).toContain(`already done by job ${job}`);
    expect(planned.stdout).toMatch(/^placement /m);
  });

  it('carries over what is not pruned bit for bit, and shards as asked', async () => {
    await using bench = new Bench();
    const { output, finished } = await runMicro(bench, 'sharded', {
      maxShardSize: '150KB',
      pruning: { method: 'wanda', pattern: '2:4', exclude: ['mlp.down_proj'], overrides: [{ layers: 0, sparsity: 0 }] },
    });
    expect(finished.code, finished.stderr).toBe(0);
    const provenance = JSON.parse(readFileSync(join(output, 'secateur.json'), 'utf8'));
    // Layer 0 is kept whole by its override: nothing of it counts as pruned.
    expect(provenance.layers.map((layer: { tensors: object }) => Object.keys(layer.tensors).length)).toEqual([
      0, 6, 6, 6,
    ]);
    const index = JSON.parse(readFileSync(join(output, 'model.safetensors.index.json'), 'utf8'));
    expect(new Set(Object.values(index.weight_map)).size).toBeGreaterThan(3);
    const source = (await readSafetensorsHeader(join(MODEL, 'model.safetensors'))).tensors;
    expect(Object.keys(index.weight_map).sort()).toEqual([...source.keys()].sort());
    for (const [name, location] of source) {
      const shard = await readSafetensorsHeader(join(output, index.weight_map[name]));
      const [before, after] = [
        await readTensorBytes(location),
        await readTensorBytes(shard.tensors.get(name) as typeof location),
      ];
      const isPruned = /layers\.[123]\..*(q|k|v|o|gate|up)_proj/.test(name);
      expect(Buffer.compare(before, after) === 0, name).toBe(!isPruned);
    }
    for (const file of ['config.json', 'tokenizer.json', 'generation_config.json']) {
      expect(readFileSync(join(output, file)).equals(readFileSync(join(MODEL, file))), file).toBe(true);
    }
    expect(existsSync(join(output, '.secateur'))).toBe(false);
  });

  it('can be repeated from the token ids that it wrote beside its output', async () => {
    await using bench = new Bench();
    const text = [join(REPOSITORY, 'ARCHITECTURE.md'), join(REPOSITORY, 'docs/manifest.md')];
    const first = await runMicro(bench, 'first', { calibration: { text, samples: 8, sequenceLength: 64, seed: 7 } });
    expect(first.finished.code, first.finished.stderr).toBe(0);
    const second = await runMicro(bench, 'second', {
      calibration: { tokens: join(first.output, 'secateur/calibration.safetensors') },
    });
    expect(second.finished.code, second.finished.stderr).toBe(0);
    expect(digestTree(second.output)['model.safetensors']).toBe(digestTree(first.output)['model.safetensors']);
  });

  it('refuses an output directory that holds something, and leaves it as it was', async () => {
    await using bench = new Bench();
    mkdirSync(bench.path('full'));
    writeFileSync(bench.path('full', 'keep.txt'), 'mine');
    const { finished, output } = await runMicro(bench, 'full');
    expect(finished.code).toBe(4);
    expect(finished.stderr).toContain('keep.txt');
    expect(digestTree(output)).toEqual({ 'keep.txt': expect.any(String) });
  });

  it('refuses a model that it does not know by name, with the list of those it does, before any work', async () => {
    await using bench = new Bench();
    mkdirSync(bench.path('gpt'));
    writeFileSync(bench.path('gpt', 'config.json'), JSON.stringify({ architectures: ['GPT2LMHeadModel'] }));
    writeFileSync(bench.path('gpt', 'model.safetensors'), readFileSync(join(MODEL, 'model.safetensors')));
    const { finished, output } = await runMicro(bench, 'never', { source: bench.path('gpt') });
    expect(finished.code).toBe(3);
    expect(finished.stderr).toContain('GPT2LMHeadModel');
    expect(finished.stderr).toContain('LlamaForCausalLM');
    expect(existsSync(output)).toBe(false);
  });

  it('stops at a NaN weight and names tensor, row and column', async () => {
    await using bench = new Bench();
    const source = bench.path('damaged');
    mkdirSync(source);
    for (const file of ['config.json', 'tokenizer.json'])
      writeFileSync(join(source, file), readFileSync(join(MODEL, file)));
    const bytes = readFileSync(join(MODEL, 'model.safetensors'));
    const location = (await readSafetensorsHeader(join(MODEL, 'model.safetensors'))).tensors.get(
      'model.layers.3.mlp.down_proj.weight',
    );
    bytes.writeUInt16LE(0x7e00, (location?.offset ?? 0) + (5 * 224 + 17) * 2);
    writeFileSync(join(source, 'model.safetensors'), bytes);
    const { finished } = await runMicro(bench, 'nan', { source });
    expect(finished.code).toBe(3);
    expect(finished.stderr).toMatch(/model\.layers\.3\.mlp\.down_proj\.weight/);
    expect(finished.stderr).toMatch(/row 5\b/);
    expect(finished.stderr).toMatch(/column 17\b/);
  });
});

const TINY = join(REPOSITORY, '../shared/models/tiny-llama');
const hasTiny = existsSync(TINY);

describe.skipIf(!hasTiny)(
  `a larger model${hasTiny ? '' : ' (skipped: ../shared/models/tiny-llama is not there)'}`,
  () => {
    it('whose layers cross its four BF16 shards comes out pruned, verified against its source, the same from 1 and 2 workers', async () => {
      await using bench = new Bench();
      const calibration = { tokens: join(TINY, '../../golden/tiny/calibration.safetensors'), samples: 8 };
      const digests: Record<string, string>[] = [];
      for (const workers of ['1', '2']) {
        const options = { source: TINY, calibration, maxShardSize: '3MB', pruning: { method: 'wanda', sparsity: 0.5 } };
        const { output, finished } = await runMicro(bench, `tiny-${workers}`, options, ['--workers', workers]);
        expect(finished.code, finished.stderr).toBe(0);
        const verified = await bench.run(['verify', output, '--source', TINY]);
        expect(verified.code, verified.stdout + verified.stderr).toBe(0);
        digests.push(digestTree(output));
      }
      expect(digests[1]).toEqual(digests[0]);
    });
  },
);
