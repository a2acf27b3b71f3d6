/**
 * Inputs that change under a job would mix two models into one output. Size and times tell at once that somebody
 * was there; whether a file is another one is then decided by its digest, where the job knows it from before.
 */
import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import { rethrowPassing, SecateurError } from '../../shared/errors/secateur-error.ts';
import { adviceFor, describeTouch, isVouchedFor, knownInputs } from '../core/drift.ts';
import type { FileIntake, JobIntake, JobState } from '../core/state.ts';

interface KnownFile extends FileIntake {
  readonly path: string;
}

function knownFiles(job: JobState & { readonly intake: JobIntake }): KnownFile[] {
  const { sourceDirectory, shards, auxiliaryFiles, calibrationFiles, evaluationFiles } = knownInputs(job);
  return [
    ...[...shards, ...auxiliaryFiles].map((file) => ({ ...file, path: join(sourceDirectory, file.file) })),
    ...[...calibrationFiles, ...evaluationFiles].map((file) => ({ ...file, path: file.file })),
  ];
}

/** The new intake of a resumed job, with the digests of those files that were touched and whose earlier digest is known. */
export async function digestTouched(job: JobState, now: JobIntake): Promise<JobIntake> {
  if (job.intake === null) return now;
  const known = new Map(knownFiles({ ...job, intake: job.intake }).map((file) => [file.path, file]));
  const digested = async (file: FileIntake, path: string): Promise<FileIntake> => {
    const before = known.get(path);
    if (before === undefined || file.sizeBytes !== before.sizeBytes) return file;
    if (isUntouched(before, file) || !isVouchedFor(before, file)) return file;
    return { ...file, sha256: (await digestFile(path)).sha256 };
  };
  const [shards, calibrationFiles, evaluationFiles] = await Promise.all([
    Promise.all(now.shards.map((file) => digested(file, join(now.sourceDirectory, file.file)))),
    Promise.all(now.calibrationFiles.map((file) => digested(file, file.file))),
    Promise.all(now.evaluationFiles.map((file) => digested(file, file.file))),
  ]);
  return { ...now, shards, calibrationFiles, evaluationFiles };
}

/** Whether nothing says that the file was written to, or put back: then nobody needs to read it. */
function isUntouched(before: FileIntake, found: Pick<FileIntake, 'mtimeMs' | 'ctimeMs'>): boolean {
  return found.mtimeMs === before.mtimeMs && (before.ctimeMs === undefined || found.ctimeMs === before.ctimeMs);
}

/** @throws SourceChanged where a file of the source is not as it was listed: a digest of it would vouch for nothing */
export async function checkShardUntouched(intake: JobIntake, shard: string): Promise<void> {
  const known = intake.shards.find(({ file }) => file === shard);
  if (known === undefined) return;
  const path = join(intake.sourceDirectory, shard);
  const found = await statIfThere(path);
  if (found?.size === known.sizeBytes && isUntouched(known, found)) return;
  throw inputsChanged([describeChange(path, known, found)], [path]);
}

/**
 * The last look before anything is published.
 *
 * @throws SourceChanged naming every input that is not what the job began with
 */
export async function checkInputsUnchanged(job: JobState): Promise<void> {
  const changed: string[] = [];
  const undigested: string[] = [];
  for (const known of job.intake === null ? [] : knownFiles({ ...job, intake: job.intake })) {
    const found = await statIfThere(known.path);
    if (found?.size === known.sizeBytes && isUntouched(known, found)) continue;
    const isVouched = found === null ? known.sha256 !== undefined : isVouchedFor(known, found);
    const sha256 = isVouched && found?.size === known.sizeBytes ? (await digestFile(known.path)).sha256 : null;
    if (sha256 !== null && sha256 === known.sha256) continue;
    changed.push(describeChange(known.path, known, found));
    if (!isVouched) undigested.push(known.path);
  }
  if (changed.length > 0) throw inputsChanged(changed, undigested);
}

async function statIfThere(path: string): Promise<Stats | null> {
  return stat(path).catch((thrown: unknown) => {
    rethrowPassing(thrown);
    return null;
  });
}

function describeChange(path: string, known: FileIntake, found: Stats | null): string {
  if (found === null) return `${path} was there, is absent`;
  const { size: sizeBytes, mtimeMs, ctimeMs } = found;
  return describeTouch(path, known, { sizeBytes, mtimeMs, ctimeMs }).join('; ');
}

/** @param undigested of the changed ones, those of which no digest from before is known */
function inputsChanged(changed: readonly string[], undigested: readonly string[]): SecateurError {
  return new SecateurError(
    'SourceChanged',
    `inputs changed while the job ran: ${changed.join('; ')}. Layers before and after the change would not fit. ${adviceFor(undigested)}`,
    { details: { changed } },
  );
}
