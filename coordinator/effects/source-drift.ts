/**
 * Inputs that change under a job would mix two models into one output. Size and time of the last change tell at once;
 * a file that was only touched, or restored, is forgiven when its digest is the one that the job knows.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { FileIntake, JobIntake, JobState } from '../core/state.ts';

interface KnownFile extends FileIntake {
  readonly path: string;
  /** Null where it has not been read yet. */
  readonly sha256: string | null;
}

function knownFiles(job: JobState, intake: JobIntake): KnownFile[] {
  const shards = intake.shards.map((shard) => ({
    ...shard,
    path: join(intake.sourceDirectory, shard.file),
    sha256: job.digests[shard.file] ?? null,
  }));
  const calibration = intake.calibrationFiles.map((file, index) => ({
    ...file,
    path: file.file,
    sha256: job.calibration?.inputDigests[index] ?? null,
  }));
  return [...shards, ...calibration];
}

/** The new intake of a resumed job, with the earlier times where the bytes are still those that the job knows. */
export async function forgiveTouched(job: JobState, now: JobIntake): Promise<JobIntake> {
  const before = job.intake;
  if (before === null) return now;
  const unchanged = new Map<string, FileIntake>();
  for (const known of knownFiles(job, before)) {
    if (known.sha256 !== null && (await digestOf(known)) === known.sha256) unchanged.set(known.file, known);
  }
  const forgive = (file: FileIntake): FileIntake => {
    const known = unchanged.get(file.file);
    return known === undefined ? file : { file: file.file, sizeBytes: known.sizeBytes, mtimeMs: known.mtimeMs };
  };
  return { ...now, shards: now.shards.map(forgive), calibrationFiles: now.calibrationFiles.map(forgive) };
}

/** Null when nothing says that the file was touched: then nobody needs to read it. */
async function digestOf(known: KnownFile): Promise<string | null> {
  const found = await stat(known.path);
  if (found.size !== known.sizeBytes || found.mtimeMs === known.mtimeMs) return null;
  return (await digestFile(known.path)).sha256;
}

/**
 * The last look before anything is published.
 *
 * @throws SourceChanged naming every input that is not what the job began with
 */
export async function checkInputsUnchanged(job: JobState): Promise<void> {
  const changed: string[] = [];
  for (const known of job.intake === null ? [] : knownFiles(job, job.intake)) {
    const found = await stat(known.path).catch(() => null);
    if (found?.size === known.sizeBytes && found.mtimeMs === known.mtimeMs) continue;
    const isSame = found?.size === known.sizeBytes && (await digestFile(known.path)).sha256 === known.sha256;
    if (!isSame)
      changed.push(
        `${known.path} (expected ${known.sizeBytes} bytes last changed ${new Date(known.mtimeMs).toISOString()}; found ${found === null ? 'nothing' : `${found.size} bytes last changed ${found.mtime.toISOString()}`})`,
      );
  }
  if (changed.length === 0) return;
  throw new SecateurError(
    'SourceChanged',
    `inputs changed while the job ran: ${changed.join('; ')}. Layers before and after the change would not fit: put the files back and resume, or submit a new job with another destination.`,
    { details: { changed } },
  );
}
