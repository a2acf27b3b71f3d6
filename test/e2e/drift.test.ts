/** A job that was stopped half way, and something that is not as it was: it does not go on, and says what differs. */
import { chmodSync, cpSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  Bench,
  digestTree,
  type Finished,
  type ManifestOptions,
  microManifest,
  REPOSITORY,
} from '../support/secateur-process.ts';

const TEXT = 'The quick brown fox jumps over the lazy dog. '.repeat(400);

class Interrupted {
  private readonly bench: Bench;

  private constructor(bench: Bench) {
    this.bench = bench;
  }

  /** A run on a copy of the model and of the calibration text, killed when it prints `at`: its first committed layer. */
  static async create(bench: Bench, at = /layer\.committed/): Promise<Interrupted> {
    const run = new Interrupted(bench);
    cpSync(join(REPOSITORY, 'examples/micro-llama/model'), bench.path('model'), { recursive: true });
    writeFileSync(bench.path('calibration.txt'), TEXT);
    const first = bench.start(run.args(), { SECATEUR_SLOW_MS: '25' });
    await first.printed(at);
    await first.kill('SIGKILL');
    return run;
  }

  private args(over: Partial<ManifestOptions> = {}): string[] {
    const { bench } = this;
    const manifest = microManifest({
      output: bench.path('out'),
      source: bench.path('model'),
      calibration: { text: [bench.path('calibration.txt')], samples: 8, sequenceLength: 64, seed: 1, microbatch: 1 },
      ...over,
    });
    writeFileSync(bench.path('m.yaml'), manifest);
    return ['run', bench.path('m.yaml'), '--workers', '1', '--state', bench.path('state')];
  }

  again(over: Partial<ManifestOptions> = {}): Promise<Finished> {
    return this.bench.run(this.args(over));
  }

  /** Another content of the same size, and the old time put back: what `cp -p` or a restored backup does. */
  exchange(file: string, edit: (bytes: Buffer) => void): void {
    const path = this.bench.path(file);
    const bytes = readFileSync(path);
    edit(bytes);
    const { atime, mtime } = statSync(path);
    writeFileSync(path, bytes);
    utimesSync(path, atime, mtime);
  }

  /** Makes the journal one that another version has written. */
  rewriteVersions(version: string, engineVersion: string): void {
    const file = this.bench.path('state', 'journal.jsonl');
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const rewritten = lines.map((line) => {
      const json = line
        .slice(9)
        .replaceAll(/"version":"[^"]*"/g, `"version":"${version}"`)
        .replaceAll(/"engineVersion":"[^"]*"/g, `"engineVersion":"${engineVersion}"`);
      return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
    });
    writeFileSync(file, rewritten.join(''));
  }
}

/** In letters, so that the text stays text. */
const flip =
  (position: number) =>
  (bytes: Buffer): void => {
    bytes[position] = bytes[position] === 0x61 ? 0x62 : 0x61;
  };

describe('a job does not go on', () => {
  it('with another ratio, seed or calibration: every field is named', async () => {
    await using bench = new Bench();
    const run = await Interrupted.create(bench);
    const other = await run.again({
      pruning: { method: 'wanda', sparsity: 0.6 },
      calibration: { text: [bench.path('calibration.txt')], samples: 4, sequenceLength: 64, seed: 2, microbatch: 1 },
    });
    expect(other.code).toBe(4);
    expect(other.stderr).toContain('spec.pruning.sparsity was 0.5, is 0.6');
    expect(other.stderr).toContain('spec.calibration.seed was 1, is 2');
    expect(other.stderr).toContain('spec.calibration.samples was 8, is 4');
  });

  it.each([
    ['weights', 'model/model.safetensors', (bytes: Buffer) => flip(bytes.length - 2)(bytes)],
    ['a tokenizer', 'model/tokenizer.json', (bytes: Buffer) => flip(bytes.indexOf('"model"') + 1)(bytes)],
    ['calibration text', 'calibration.txt', flip(5)],
  ])('with %s of the same size and time: the file is named, and nothing is published', async (_, file, edit) => {
    await using bench = new Bench();
    const run = await Interrupted.create(bench);
    run.exchange(file, edit);
    const other = await run.again();
    expect(other.code, other.stderr).toBe(3);
    expect(other.stderr).toContain('SourceChanged');
    expect(other.stderr).toContain(file.split('/').at(-1));
    expect(other.stdout, 'nothing was committed after the restart').not.toContain('layer.committed');
    expect(other.stderr).not.toContain('layer.committed');
    expect(readdirSync(bench.path('out'))).toEqual(['.secateur']);
  });

  it('with another version of secateur or of its engine: both are named', async () => {
    await using bench = new Bench();
    const run = await Interrupted.create(bench);
    run.rewriteVersions('0.0.7', '1.2.3');
    const other = await run.again();
    expect(other.code, other.stderr).toBe(4);
    expect(other.stderr).toMatch(/secateur version was 0\.0\.7, is \d+\.\d+/);
    expect(other.stderr).toMatch(/engine version was 1\.2\.3, is \d+\.\d+/);
  });
});

describe('a job goes on', () => {
  it('with shards and text that were only touched: other rights, another time, a copy in their place', async () => {
    await using bench = new Bench();
    const run = await Interrupted.create(bench);
    chmodSync(bench.path('model/model.safetensors'), 0o640);
    run.exchange('model/tokenizer.json', () => undefined);
    utimesSync(bench.path('calibration.txt'), 7, 7);
    const other = await run.again();
    expect(other.code, other.stderr).toBe(0);
    expect(other.stdout + other.stderr).not.toContain('job.begunAnew');
  });

  it('anew, and says so, where its inputs changed before anything was committed', async () => {
    await using bench = new Bench();
    const run = await Interrupted.create(bench, /calibration\.prepared/);
    run.exchange('model/model.safetensors', (bytes) => flip(bytes.length - 2)(bytes));
    run.exchange('calibration.txt', flip(5));
    const other = await run.again();
    expect(other.code, other.stderr).toBe(0);
    expect(other.stdout + other.stderr).toMatch(
      /job\.begunAnew {2}drift=\[.*model\.safetensors was .*calibration\.txt was /,
    );
    const args = ['--workers', '1', '--state', bench.path('other-state')];
    const quiet = await bench.run([
      'run',
      bench.path('m.yaml'),
      '--set',
      `spec.output.destination=${bench.path('quiet')}`,
      ...args,
    ]);
    expect(quiet.code, quiet.stderr).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(digestTree(bench.path('quiet')));
  });
});
