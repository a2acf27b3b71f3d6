/**
 * Files that a job keeps beyond its end for later ones (core/reuse.ts): token ids and windows go from its staging folder to
 * its state folder; sums of statistics stand there anyway. A later job has copies of its own: none depends on another.
 *
 * Hessians are too large for that: they are linked, never copied, to a folder beside the output, and from there into the
 * staging folder of the later job. Their bytes are held against the digest by whoever reads them. Where they cannot be
 * linked (another file system, or one without links) they are measured again.
 */
import { link, mkdir, open, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import { fsyncDirectory } from '../../shared/storage/atomic-file.ts';
import { fiveDigits } from '../../shared/storage/staging-names.ts';
import { HashedFile } from '../assembly/copy-range.ts';
import { mayShareSums, wantsHessians } from '../core/reuse.ts';
import type { HessianPart, JobState, KeptWork, ReusedCopies, StagedFile } from '../core/state.ts';
import { type JobPaths, sumsFileName } from './job-paths.ts';

/** Under names that no lease has. */
const CALIBRATION_COPY = 'calibration/ids-reused.safetensors';
const textCopy = (text: number): string => `evaluation/${fiveDigits(text)}-reused.safetensors`;
const hessianCopy = (layer: number, part: number): string => `hessians/${fiveDigits(layer)}-reused-${part}.safetensors`;

/** May come again, after a crash: what the staging folder has lost by then was kept before. */
export async function keepFiles(job: JobState, paths: JobPaths): Promise<void> {
  for (const file of [job.calibration?.file, ...job.evaluation.map((text) => text?.ids)]) {
    if (file !== undefined) await copyFile(join(paths.staging, file.name), join(paths.kept, file.name));
  }
  // A job has none left by now but those that it keeps.
  for (const { file } of job.layers.flatMap(({ hessians = [] }) => hessians))
    await linkFile(join(paths.staging, file.name), join(paths.keptLinks, file.name), file.sizeBytes);
}

export async function dropKept(paths: JobPaths, only?: 'hessians'): Promise<void> {
  if (only === undefined) await rm(paths.kept, { recursive: true, force: true });
  await rm(paths.keptLinks, { recursive: true, force: true });
  // Stays while other jobs have something there.
  await rmdir(dirname(paths.keptLinks)).catch(() => undefined);
}

/** @returns null where a file is gone, or is not what was kept: then the job computes it */
export async function copyKept(
  job: JobState,
  to: JobPaths,
  earlier: JobState,
  from: JobPaths,
  kept: KeptWork,
): Promise<ReusedCopies | null> {
  const take = async (file: StagedFile, source: string, folder: string, name: string): Promise<StagedFile | null> => {
    const copied = await copyFile(source, join(folder, name));
    return copied?.sha256 === file.sha256 ? { name, ...copied } : null;
  };
  if (earlier.calibration === null) return null;
  const { file: ids } = earlier.calibration;
  const calibration = await take(ids, join(from.kept, ids.name), to.staging, CALIBRATION_COPY);
  if (calibration === null) return null;
  const texts: StagedFile[] = [];
  for (const [index, text] of kept.evaluation.entries()) {
    const copied = await take(text.ids, join(from.kept, text.ids.name), to.staging, textCopy(index));
    if (copied === null) return null;
    texts.push(copied);
  }
  const sums: (StagedFile | null)[] = [];
  for (const [layer, file] of mayShareSums(job.manifest, earlier.manifest) ? kept.sums.entries() : []) {
    sums.push(file === null ? null : await take(file, join(from.state, file.name), to.state, sumsFileName(layer)));
  }
  if (!wantsHessians(job, earlier)) return { calibration, texts, sums };
  const hessians: (HessianPart[] | null)[] = [];
  for (const [layer, held] of (kept.hessians ?? []).entries())
    hessians.push(held === null ? null : await linkHessians(layer, held.parts, from, to));
  return { calibration, texts, sums, hessians };
}

/** @returns null where a part cannot be had: all are measured again */
async function linkHessians(
  layer: number,
  parts: readonly HessianPart[],
  from: JobPaths,
  to: JobPaths,
): Promise<HessianPart[] | null> {
  const linked: HessianPart[] = [];
  for (const [index, { microbatches, file }] of parts.entries()) {
    const name = hessianCopy(layer, index);
    if (!(await linkFile(join(from.keptLinks, file.name), join(to.staging, name), file.sizeBytes))) return null;
    linked.push({ microbatches, file: { ...file, name } });
  }
  return linked;
}

/** Another name for the same bytes. @returns false where there are none, or they cannot have one: nothing depends on it */
async function linkFile(from: string, to: string, sizeBytes: number): Promise<boolean> {
  try {
    if ((await stat(from)).size !== sizeBytes) return false;
    await mkdir(dirname(to), { recursive: true });
    // Of an attempt before; never written to, since it is another file's name too.
    await rm(to, { force: true });
    await link(from, to);
    await fsyncDirectory(dirname(to));
    return true;
  } catch {
    return false;
  }
}

/** Durable when it resolves. @returns null where there is no such file */
async function copyFile(from: string, to: string): Promise<Pick<StagedFile, 'sizeBytes' | 'sha256'> | null> {
  const source = await open(from, 'r').catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return null;
    throw thrown;
  });
  if (source === null) return null;
  try {
    await mkdir(dirname(to), { recursive: true });
    const output = await HashedFile.create(to);
    try {
      const copied = { handle: source, path: from, hash: null, onReadError: toSecateurError };
      await output.copyFrom(copied, 0, (await source.stat()).size);
    } catch (thrown) {
      await output.abandon();
      throw thrown;
    }
    const digest = await output.finish();
    await fsyncDirectory(dirname(to));
    return digest;
  } finally {
    await source.close();
  }
}
