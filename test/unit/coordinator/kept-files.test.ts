/** Files that a job keeps for later ones: they outlive its staging folder, and a copy is what was kept or none at all. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HessianPart, JobState, KeptWork, StagedFile } from '../../../coordinator/core/state.ts';
import { type JobPaths, jobPaths } from '../../../coordinator/effects/job-paths.ts';
import { copyKept, dropKept, keepFiles } from '../../../coordinator/effects/kept-files.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'secateur-kept-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const pathsOf = (job: string): JobPaths => jobPaths(join(folder, 'state'), job, join(folder, job));

function write(root: string, name: string, content: string): StagedFile {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), content);
  return { name, sizeBytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
}

function jobOf(propagate: string, over: object = {}): JobState {
  return {
    manifest: { spec: { pruning: { method: 'wanda', propagate } } },
    evaluation: [],
    layers: [],
    ...over,
  } as unknown as JobState;
}

/** A job that has kept its files and lost its staging folder. */
async function keeping(propagate = 'dense'): Promise<{ earlier: JobState; kept: KeptWork; from: JobPaths }> {
  const from = pathsOf('a');
  const ids = write(from.staging, 'calibration/ids-e1-a1.safetensors', 'ids');
  const text = { ids: write(from.staging, 'evaluation/00000-e1-a2.safetensors', 'windows') };
  const earlier = jobOf(propagate, { calibration: { file: ids }, evaluation: [text] });
  await keepFiles(earlier, from);
  rmSync(from.staging, { recursive: true });
  // A crash between the two: it is asked for once more.
  await keepFiles(earlier, from);
  const sums = [write(from.state, 'statistics/00000.safetensors', 'sums'), null];
  return { earlier, from, kept: { evaluation: [text], sums } as unknown as KeptWork };
}

describe('kept files', () => {
  it('are copied to where a later job has its own', async () => {
    const { earlier, from, kept } = await keeping();
    const to = pathsOf('b');
    const copies = await copyKept(jobOf('dense'), to, earlier, from, kept);
    expect(copies?.sums.map((sums) => sums?.name)).toEqual(['statistics/00000.safetensors', undefined]);
    expect(readFileSync(join(to.staging, copies?.calibration.name ?? ''), 'utf8')).toBe('ids');
    expect(readFileSync(join(to.staging, copies?.texts[0]?.name ?? ''), 'utf8')).toBe('windows');
    expect(readFileSync(join(to.state, 'statistics/00000.safetensors'), 'utf8')).toBe('sums');
    expect(copies?.calibration).toMatchObject({ sizeBytes: 3, sha256: earlier.calibration?.file.sha256 });
  });

  it('have no sums for who propagates otherwise', async () => {
    const { earlier, from, kept } = await keeping();
    const copies = await copyKept(jobOf('pruned'), pathsOf('b'), earlier, from, kept);
    expect(copies?.sums).toEqual([]);
    expect(existsSync(join(pathsOf('b').state, 'statistics'))).toBe(false);
  });

  it('that are gone or damaged are not taken: ids and windows all or none, sums layer by layer', async () => {
    const { earlier, from, kept } = await keeping();
    writeFileSync(join(from.state, 'statistics/00000.safetensors'), 'SUMS');
    expect((await copyKept(jobOf('dense'), pathsOf('b'), earlier, from, kept))?.sums).toEqual([null, null]);
    writeFileSync(join(from.kept, 'evaluation/00000-e1-a2.safetensors'), 'Windows');
    expect(await copyKept(jobOf('dense'), pathsOf('b'), earlier, from, kept)).toBe(null);
    await dropKept(from);
    expect(await copyKept(jobOf('dense'), pathsOf('b'), earlier, from, kept)).toBe(null);
    expect(existsSync(from.kept)).toBe(false);
  });
});

describe('kept Hessians', () => {
  const wanting = { manifest: { spec: { pruning: { method: 'sparsegpt', propagate: 'dense' } } } };
  const inodeOf = (path: string): number => statSync(path).ino;

  /** As `keeping`, with the Hessians of the second of three layers, in two parts. */
  async function keepingHessians(before: (from: JobPaths) => void = () => undefined) {
    const { earlier: alone, from, kept } = await keeping();
    const parts = [0, 1].map((part) => ({
      microbatches: [[part, part + 1]] as const,
      file: write(from.staging, `hessians/00001-e1-a${part}.safetensors`, `products ${part}`),
    }));
    const earlier = { ...alone, layers: [{}, { hessians: parts }, { hessians: [] }] } as unknown as JobState;
    before(from);
    await keepFiles(earlier, from);
    const hessians = [null, { statistics: ['x'], parts }, null];
    return { earlier, from, parts, kept: { ...kept, hessians } as KeptWork };
  }

  it('are other names of the same bytes: beside the output, then in the staging folder of the later job', async () => {
    const { earlier, from, parts, kept } = await keepingHessians();
    // Killed while the staging folder was being removed: what is left of it is kept once more.
    rmSync(join(from.staging, parts[0]?.file.name as string));
    await keepFiles(earlier, from);
    rmSync(from.staging, { recursive: true });
    const to = pathsOf('b');
    await copyKept(jobOf('dense', wanting), to, earlier, from, kept);
    // The coordinator was killed before it had noted them.
    const copies = await copyKept(jobOf('dense', wanting), to, earlier, from, kept);
    expect(copies?.hessians?.map((layer) => layer?.map(({ microbatches }) => microbatches))).toEqual([
      undefined,
      [[[0, 1]], [[1, 2]]],
      undefined,
    ]);
    for (const [index, { file }] of (copies?.hessians?.[1] ?? []).entries()) {
      const { name, sha256 } = (parts[index] as HessianPart).file;
      expect(file.sha256).toBe(sha256);
      expect(inodeOf(join(to.staging, file.name))).toBe(inodeOf(join(from.keptLinks, name)));
      expect(readFileSync(join(to.staging, file.name), 'utf8')).toBe(`products ${index}`);
    }
    await dropKept(from, 'hessians');
    expect(existsSync(dirname(from.keptLinks))).toBe(false);
    expect(existsSync(from.kept)).toBe(true);
    expect(readFileSync(join(to.staging, copies?.hessians?.[1]?.[0]?.file.name ?? ''), 'utf8')).toBe('products 0');
  });

  it('are only for who wants them: to prune by, or for another behind it', async () => {
    const { earlier, from, kept } = await keepingHessians();
    expect(await copyKept(jobOf('dense'), pathsOf('b'), earlier, from, kept)).not.toHaveProperty('hessians');
    const between = await copyKept(jobOf('dense', { keepsHessians: true }), pathsOf('c'), earlier, from, kept);
    expect(between?.hessians?.[1]).toHaveLength(2);
    const pruned = { manifest: { spec: { pruning: { method: 'sparsegpt', propagate: 'pruned' } } } };
    expect(await copyKept(jobOf('pruned', pruned), pathsOf('d'), earlier, from, kept)).not.toHaveProperty('hessians');
  });

  it('of which a part is gone or cut short are not taken; the rest is', async () => {
    const { earlier, from, parts, kept } = await keepingHessians();
    const path = join(from.keptLinks, parts[1]?.file.name as string);
    for (const spoil of [() => writeFileSync(path, 'products'), () => rmSync(path)]) {
      spoil();
      const copies = await copyKept(jobOf('dense', wanting), pathsOf('b'), earlier, from, kept);
      expect(copies?.hessians).toEqual([null, null, null]);
      expect(copies?.sums[0]).not.toBe(null);
    }
  });

  it('that cannot be kept fail nobody', async () => {
    const { earlier, from, kept } = await keepingHessians(({ keptLinks }) =>
      write(keptLinks, 'hessians', 'in the way'),
    );
    const copies = await copyKept(jobOf('dense', wanting), pathsOf('b'), earlier, from, kept);
    expect(copies?.hessians).toEqual([null, null, null]);
    expect(copies?.sums[0]).not.toBe(null);
    await dropKept(from);
    expect(existsSync(from.kept)).toBe(false);
  });
});
