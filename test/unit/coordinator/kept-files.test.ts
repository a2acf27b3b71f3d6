/** Files that a job keeps for later ones: they outlive its staging folder, and a copy is what was kept or none at all. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobState, KeptWork, StagedFile } from '../../../coordinator/core/state.ts';
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
