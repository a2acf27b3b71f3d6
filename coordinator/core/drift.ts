/**
 * What is not as it was when a job began: its inputs, or the programs that compute it. A job goes on only where nothing
 * is: layers before and after a change would not belong to one model. Pure; every difference is named.
 */
import type { FileIntake, JobIntake, JobState, WorkerCapabilities, WorkerState } from './state.ts';

const SHOWN_CHARACTERS_MAX = 60;
const DIGEST_DIGITS_SHOWN = 12;
/** Of a millisecond: a number of this size holds steps of a quarter of a microsecond. */
const FRACTION_DIGITS_SHOWN = 4;
const VERSION_FIELDS = [
  ['version', 'secateur version'],
  ['engineVersion', 'engine version'],
  ['provider', 'provider'],
] as const;

/** Field by field, what is different between the inputs as they were and as they are. */
export function describeDrift(before: JobIntake, now: JobIntake): string[] {
  const drift: string[] = [];
  for (const key of Object.keys(before.model) as (keyof JobIntake['model'])[]) {
    compare(drift, `config ${String(key)}`, before.model[key], now.model[key]);
  }
  for (const list of ['shards', 'auxiliaryFiles', 'calibrationFiles', 'evaluationFiles'] as const) {
    compareFiles(drift, before[list], now[list]);
  }
  compare(drift, 'given tokens', before.givenTokens, now.givenTokens);
  compare(drift, 'tensor layout', before.layers, now.layers);
  compare(drift, 'tensors outside the layers', before.outside, now.outside);
  return drift;
}

/** The inputs as the job began with them, with the digests that its tasks have found since. */
export function knownInputs(
  job: Pick<JobState, 'digests' | 'calibration' | 'evaluation'> & { readonly intake: JobIntake },
): JobIntake {
  const { intake, digests, calibration, evaluation } = job;
  const withDigest = (file: FileIntake, sha256: string | undefined, atMs: number): FileIntake =>
    sha256 === undefined ? file : { ...file, sha256, digestedMs: atMs };
  return {
    ...intake,
    shards: intake.shards.map((file) => withDigest(file, digests[file.file]?.sha256, digests[file.file]?.atMs ?? 0)),
    calibrationFiles: intake.calibrationFiles.map((file, index) =>
      withDigest(file, calibration?.inputDigests[index], calibration?.atMs ?? 0),
    ),
    evaluationFiles: intake.evaluationFiles.map((file, index) =>
      withDigest(file, evaluation[index]?.inputDigest, evaluation[index]?.atMs ?? 0),
    ),
  };
}

function compareFiles(drift: string[], before: readonly FileIntake[], now: readonly FileIntake[]): void {
  const found = new Map(now.map((file) => [file.file, file]));
  for (const file of before) {
    const other = found.get(file.file);
    found.delete(file.file);
    if (other === undefined) drift.push(`${file.file} was there, is absent`);
    else compareFile(drift, file, other);
  }
  for (const name of found.keys()) drift.push(`${name} was absent, is there`);
}

/**
 * Whether the digest that the job knows is of the file as it was before somebody touched it: one that was taken afterwards
 * says what the file is now, not what the layers before were computed with.
 */
export function isVouchedFor(before: FileIntake, found: Pick<FileIntake, 'ctimeMs'>): boolean {
  if (before.sha256 === undefined) return false;
  return before.digestedMs === undefined || (found.ctimeMs ?? 0) > before.digestedMs;
}

/**
 * What helps against drift. Files whose digest was known before they changed are forgiven when their bytes are back; of
 * the others nobody can tell whether they are, whatever is done to them.
 *
 * @param undigested names of changed files without a digest from before
 */
export function adviceFor(undigested: readonly string[]): string {
  if (undigested.length === 0) return 'Put them back, or submit a new job with another destination.';
  const which = undigested.join(', ');
  return `No digest from before the change is known of ${which}: whether the bytes are the same cannot be told, and putting files back does not help. Submit a new job with another destination.`;
}

/** Files that are not as they were, and of which no digest from before is known. */
export function undigestedChanges(before: JobIntake, now: JobIntake): string[] {
  return (['shards', 'auxiliaryFiles', 'calibrationFiles'] as const).flatMap((list) => {
    const found = new Map(now[list].map((file) => [file.file, file]));
    const changed = before[list].filter((file) => {
      const drift: string[] = [];
      const other = found.get(file.file);
      if (other !== undefined) compareFile(drift, file, other);
      // A file that is gone comes back, if it does, after this moment.
      const isVouched = other === undefined ? file.sha256 !== undefined : isVouchedFor(file, other);
      return (other === undefined || drift.length > 0) && !isVouched;
    });
    return changed.map(({ file }) => file);
  });
}

/** Where both digests are known they decide; else whatever says that somebody wrote to the file. */
function compareFile(drift: string[], before: FileIntake, now: FileIntake): void {
  const { file } = before;
  if (before.sha256 !== undefined && now.sha256 !== undefined) {
    if (before.sha256 !== now.sha256) {
      const [was, is] = [before.sha256, now.sha256].map((digest) => digest.slice(0, DIGEST_DIGITS_SHOWN));
      drift.push(`SHA-256 of ${file} was ${was}…, is ${is}…`);
    }
    return;
  }
  drift.push(...describeTouch(file, before, now));
}

/** Size and times of a file that are not as they were. */
export function describeTouch(
  name: string,
  before: FileIntake,
  now: Pick<FileIntake, 'sizeBytes' | 'mtimeMs' | 'ctimeMs'>,
): string[] {
  const drift: string[] = [];
  compare(drift, `size of ${name}`, before.sizeBytes, now.sizeBytes);
  if (before.mtimeMs !== now.mtimeMs) {
    drift.push(`modification time of ${name} was ${showTime(before.mtimeMs)}, is ${showTime(now.mtimeMs)}`);
  } else if (before.ctimeMs !== undefined && now.ctimeMs !== undefined && before.ctimeMs !== now.ctimeMs) {
    // Put back with its old time, or only given other rights: without a digest there is no telling.
    drift.push(`status time of ${name} was ${showTime(before.ctimeMs)}, is ${showTime(now.ctimeMs)}`);
  }
  return drift;
}

/**
 * Versions of secateur and of its engine, and what it computes on: those that the job was begun with, against those that
 * are there.
 */
export function describeVersionDrift(job: Pick<JobState, 'versions'>, workers: readonly WorkerState[]): string[] {
  const attached = workers.filter((worker) => worker.attached);
  const begun = job.versions;
  if (begun === null || attached.length === 0) return [];
  if (attached.some((worker) => fitsVersions(job, worker.capabilities))) return [];
  const drift: string[] = [];
  for (const [field, name] of VERSION_FIELDS) {
    const is = [...new Set(attached.map((worker) => worker.capabilities[field]))].sort().join(', ');
    if (begun[field] !== is) drift.push(`${name} was ${begun[field]}, is ${is}`);
  }
  return drift;
}

/** Whether a worker may compute for a job: statistics of two versions, or providers, do not add up to those of either. */
export function fitsVersions(job: Pick<JobState, 'versions'>, worker: Versions): boolean {
  const { versions } = job;
  return versions === null || VERSION_FIELDS.every(([field]) => worker[field] === versions[field]);
}

function versionsOf({ version, engineVersion, provider }: Versions): Versions {
  return { version, engineVersion, provider };
}

/** Of the workers that are there when a job begins: those on CUDA, else the most, compute it. */
export function chooseVersions(workers: readonly WorkerCapabilities[]): Versions | null {
  const groups = new Map<string, { versions: Versions; count: number }>();
  for (const worker of workers) {
    const versions = versionsOf(worker);
    const key = JSON.stringify(versions);
    groups.set(key, { versions, count: (groups.get(key)?.count ?? 0) + 1 });
  }
  const [best] = [...groups].sort(
    ([a, p], [b, q]) =>
      Number(q.versions.provider === 'cuda') - Number(p.versions.provider === 'cuda') ||
      q.count - p.count ||
      (a < b ? -1 : 1),
  );
  return best?.[1].versions ?? null;
}

export type Versions = Pick<WorkerCapabilities, 'version' | 'engineVersion' | 'provider'>;

function compare(drift: string[], field: string, before: unknown, now: unknown): void {
  const [was, is] = [JSON.stringify(before), JSON.stringify(now)];
  if (was !== is) drift.push(`${field} was ${abbreviate(was)}, is ${abbreviate(is)}`);
}

/** All digits that a time has here: two that differ are never shown alike. */
function showTime(ms: number): string {
  const whole = Math.floor(ms);
  const rest = (ms - whole).toFixed(FRACTION_DIGITS_SHOWN).slice(2);
  return `${new Date(whole).toISOString().slice(0, -1)}${Number(rest) === 0 ? '' : rest}Z`;
}

function abbreviate(text: string | undefined): string {
  if (text === undefined) return 'absent';
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX - 3)}…` : text;
}
