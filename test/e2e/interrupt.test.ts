/** `secateur run` interrupted by its user, its machine, or the death of a worker: the same command goes on. */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Bench, digestTree, microManifest, REPOSITORY, type SecateurProcess } from '../support/secateur-process.ts';

const calibration = { tokens: join(REPOSITORY, 'test/golden/fixtures/micro/calibration.safetensors'), microbatch: 1 };
const SLOW = { SECATEUR_SLOW_MS: '25' };

describe('secateur run, interrupted', () => {
  let quiet: Record<string, string>;
  beforeAll(async () => {
    await using bench = new Bench();
    const finished = await start(bench).finished;
    expect(finished.code, finished.stderr).toBe(0);
    quiet = digestTree(bench.path('out'));
  });

  function start(bench: Bench, env: Record<string, string> = {}): SecateurProcess {
    writeFileSync(bench.path('m.yaml'), microManifest({ output: bench.path('out'), name: 'job', calibration }));
    return bench.start(['run', bench.path('m.yaml'), '--workers', '2', '--state', bench.path('state')], env);
  }

  it('by one Ctrl-C: says what stays, exits with 130, and the same command ends with the same bytes', async () => {
    await using bench = new Bench();
    const first = start(bench, SLOW);
    await first.printed(/layer\.committed/);
    first.child.kill('SIGINT');
    const interrupted = await first.finished;
    expect(interrupted.code, interrupted.stderr).toBe(130);
    expect(interrupted.stderr).toMatch(/draining/);
    const second = await start(bench).finished;
    expect(second.code, second.stderr).toBe(0);
    expect(second.stderr).toMatch(/goes on with job/);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('by two: stops at once, and goes on later', async () => {
    await using bench = new Bench();
    const first = start(bench, { SECATEUR_SLOW_MS: '2000' });
    await first.printed(/stage\.assigned/);
    first.child.kill('SIGINT');
    await first.printed(/draining/);
    first.child.kill('SIGINT');
    // A running pass would take half a minute: only its end by force is this fast.
    expect((await first.finished).code).toBe(130);
    const second = await start(bench).finished;
    expect(second.code, second.stderr).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('by SIGKILL: its workers end by themselves, and the same command goes on', async () => {
    await using bench = new Bench();
    const first = start(bench, SLOW);
    await first.printed(/layer\.committed/);
    await first.kill('SIGKILL');
    const second = await start(bench).finished;
    expect(second.code, second.stderr).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
    await expect.poll(() => processesOf(bench), { timeout: 20_000 }).toEqual([]);
  });

  it('with other weights of the same size meanwhile: nothing is published, and the file is named', async () => {
    await using bench = new Bench();
    const source = bench.path('model');
    cpSync(join(REPOSITORY, 'examples/micro-llama/model'), source, { recursive: true });
    const manifest = microManifest({ output: bench.path('out'), name: 'job', calibration, source });
    writeFileSync(bench.path('m.yaml'), manifest);
    const args = ['run', bench.path('m.yaml'), '--workers', '1', '--state', bench.path('state')];
    const first = bench.start(args, SLOW);
    await first.printed(/layer\.committed/);
    await first.kill('SIGKILL');
    const weights = readFileSync(join(source, 'model.safetensors'));
    weights.writeUInt16LE(weights.readUInt16LE(weights.length - 2) ^ 1, weights.length - 2);
    writeFileSync(join(source, 'model.safetensors'), weights);
    const second = await bench.run(args);
    expect(second.code, second.stderr).toBe(3);
    expect(second.stderr).toContain(`(model in ${source}): SHA-256 of model.safetensors was`);
    expect(second.stderr).toContain('SourceChanged');
    expect(readdirSync(bench.path('out'))).toEqual(['.secateur']);
  });

  it('with another manifest for the same output: refused, with the field that differs', async () => {
    await using bench = new Bench();
    const first = start(bench, SLOW);
    await first.printed(/layer\.committed/);
    await first.kill('SIGKILL');
    writeFileSync(
      bench.path('other.yaml'),
      microManifest({
        output: bench.path('out'),
        name: 'job',
        calibration,
        pruning: { method: 'wanda', sparsity: 0.7 },
      }),
    );
    const other = await bench.run(['run', bench.path('other.yaml'), '--state', bench.path('state')]);
    expect(other.code).toBe(4);
    expect(other.stderr).toMatch(/spec\.pruning\.sparsity/);
  });
});

/** Processes whose environment names this test's folder, by what the kernel says of each. */
function processesOf(bench: Bench): string[] {
  const found: string[] = [];
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${id}/environ`, 'utf8').includes(bench.folder)) found.push(id);
    } catch {
      // It ended while we looked, or is not ours to read.
    }
  }
  return found;
}
