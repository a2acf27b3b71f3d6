/**
 * Moves a finished job into its place. Everything is written into the publish folder first and listed in
 * publish.json; then files are renamed one by one, the one that makes the checkpoint loadable (the index, or the only
 * shard) last; then the staging folder goes. Each step may be run again after a crash, at any point; before the first move,
 * and again after a crash, every file is held against the list. Of a job that is not to be published
 * (spec.output.publish: false, or a destination that discards) only the record of it is moved.
 */

import { createHash } from 'node:crypto';
import { access, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { MODEL_CARD_FILE, PROVENANCE_FILE, REPORT_FILE } from '../../shared/checkpoint/provenance-name.ts';
import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import {
  type ErrorCode,
  invariant,
  rethrowPassing,
  SecateurError,
  toSecateurError,
} from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import { isPublished } from '../../shared/manifest/location.ts';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import { fsyncDirectory, writeFileAtomic } from '../../shared/storage/atomic-file.ts';
import { checkFileName } from '../../shared/storage/file-ref.ts';
import { VerifiedFiles } from '../../shared/storage/verified-files.ts';
import { VERSION } from '../../shared/version.ts';
import type { AssembledShard, JobState, StagedFile } from '../core/state.ts';
import type { JobPaths } from '../effects/job-paths.ts';
import { checkInputsUnchanged } from '../effects/source-drift.ts';
import { loadSums } from '../effects/statistics.ts';
import { renderModelCard } from '../report/model-card.ts';
import { parseReportRecord, type ReportRecord } from '../report/record.ts';
import { renderReport } from '../report/render-report.ts';
import { HashedFile } from './copy-range.ts';
import { buildProvenance, type ProvenanceParts, type StatisticSummary } from './provenance.ts';

const INDEX_FILE = 'model.safetensors.index.json';
/** Apart from the checkpoint's own files: loaders that take every *.safetensors of a folder must not see these. */
const EXTRAS_FOLDER = 'secateur';

const WRITTEN_HERE: readonly string[] = [REPORT_FILE, MODEL_CARD_FILE];

interface PublishList extends Published {
  readonly job: string;
  /** In the order of their moves. */
  readonly files: readonly AssembledShard[];
}

export interface Published {
  readonly files: readonly AssembledShard[];
  /** Layers whose sums could not be read, and are not among what was published. */
  readonly statisticsMissing: readonly number[];
}

/**
 * @param verified what this process has looked at already
 * @throws with `details.staged` where a file that waits to be published, the list of them, or the token ids are gone or
 * damaged: the list is gone then, and the shards are to be assembled again
 */
export async function publishCheckpoint(
  job: JobState,
  paths: JobPaths,
  nowMs: number,
  verified = new VerifiedFiles(),
): Promise<Published> {
  const done = await publishedBefore(job, paths);
  if (done !== null) return done;
  const list = (await readList(job, paths)) ?? (await prepare(job, paths, nowMs, verified));
  await checkFiles(list, paths, verified);
  if (isPublished(job.manifest.spec.output)) await mkdir(join(paths.output, EXTRAS_FOLDER), { recursive: true });
  const last = list.files.at(-1)?.file;
  for (const { file } of list.files) {
    // What makes the checkpoint loadable must not be there, after a power cut, without the rest.
    if (file === last) await fsyncFolders(job, paths);
    if (file === last) reach('coordinator.publish-unindexed');
    await moveIntoPlace(file, paths);
    reach('coordinator.publish-moved');
  }
  await fsyncFolders(job, paths);
  reach('coordinator.publish-indexed');
  await removeStaging(paths);
  const { files, statisticsMissing } = list;
  return { files, statisticsMissing };
}

/** Where they wait, or where a crash left them moved already. */
async function checkFiles(list: PublishList, paths: JobPaths, verified: VerifiedFiles): Promise<void> {
  for (const { file, sizeBytes, sha256 } of list.files) {
    const waits = join(paths.publish, file);
    const known = { name: `publish/${file}`, sizeBytes, sha256 };
    try {
      await verified.verify((await exists(waits)) ? waits : join(paths.output, file), known);
    } catch (thrown) {
      if (toSecateurError(thrown).details.staged !== undefined) await dropList(paths);
      throw thrown;
    }
  }
}

async function dropList(paths: JobPaths): Promise<void> {
  await rm(paths.publishList, { force: true });
  await fsyncDirectory(paths.staging);
}

/**
 * The claim goes first: whatever else of the staging folder a crash leaves, a claim that is gone beside a provenance of
 * this job says that everything was moved. Files that will not go (a network file system keeps those that are open) are
 * no reason to fail a job whose output is complete.
 */
async function removeStaging(paths: JobPaths): Promise<void> {
  await rm(paths.claim, { force: true });
  await fsyncDirectory(paths.staging);
  reach('coordinator.publish-unclaimed');
  try {
    await rm(paths.staging, { recursive: true, force: true });
    await fsyncDirectory(paths.output);
    reach('coordinator.publish-cleared');
  } catch (thrown) {
    process.emitWarning(
      `${paths.staging} could not be removed: ${(thrown as Error).message}. Nothing needs it: remove it by hand.`,
    );
  }
}

async function fsyncFolders(job: JobState, paths: JobPaths): Promise<void> {
  if (isPublished(job.manifest.spec.output)) await fsyncDirectory(join(paths.output, EXTRAS_FOLDER));
  await fsyncDirectory(paths.output);
}

/** The staging folder is removed last: where it is gone and the provenance names this job, all was done before. */
async function publishedBefore(job: JobState, paths: JobPaths): Promise<Published | null> {
  if (await exists(paths.claim)) return null;
  const file = join(paths.output, PROVENANCE_FILE);
  if (!(await exists(file))) {
    throw new SecateurError(
      'StorageFailed',
      `${paths.staging}: expected the staging folder of job ${job.id}; it is gone, and nothing was published. Submit the job again.`,
      { details: { staging: paths.staging } },
    );
  }
  const provenance = await readProvenance(file);
  if (provenance.job.id !== job.id) {
    throw new SecateurError(
      'OutputExists',
      `${file}: expected the provenance of job ${job.id}; found that of ${provenance.job.id}. Choose another destination.`,
      { details: { file } },
    );
  }
  if (await exists(paths.staging)) await removeStaging(paths);
  const files = [...provenance.outputs, { file: PROVENANCE_FILE, ...(await digestFile(file)) }];
  return { files, statisticsMissing: provenance.statisticsMissing ?? [] };
}

interface FoundProvenance {
  readonly job: { readonly id: string };
  readonly outputs: readonly AssembledShard[];
  readonly statisticsMissing?: readonly number[];
}

async function readProvenance(file: string): Promise<FoundProvenance> {
  const text = await readFile(file, 'utf8');
  try {
    return JSON.parse(text) as FoundProvenance;
  } catch (cause) {
    throw new SecateurError(
      'ChecksumMismatch',
      `${file}: expected the provenance of a published checkpoint; it was damaged after it was written. Nothing is left to write it again from: submit the job again with another destination.`,
      { cause, details: { file } },
    );
  }
}

async function readList(job: JobState, paths: JobPaths): Promise<PublishList | null> {
  if (!(await exists(paths.publishList))) return null;
  const list = parseList(await readFile(paths.publishList, 'utf8'), job);
  if (list !== null) return list;
  await dropList(paths);
  throw new SecateurError(
    'ChecksumMismatch',
    `${paths.publishList}: expected the list of files that job ${job.id} is about to publish; found something else. It was damaged after it was written.`,
    { details: { staged: basename(paths.publishList), path: paths.publishList } },
  );
}

const LIST = z.object({
  job: z.string(),
  files: z.array(z.object({ file: z.string(), sizeBytes: z.number(), sha256: z.string() })).nonempty(),
  statisticsMissing: z.array(z.number()).default([]),
});

/** Null where it is not the list of this job, with the shards that the journal knows. */
function parseList(text: string, job: JobState): PublishList | null {
  try {
    const list = LIST.parse(JSON.parse(text));
    for (const { file } of list.files) checkFileName(file);
    const isListed = (shard: AssembledShard): boolean =>
      list.files.some(({ file, sha256 }) => file === shard.file && sha256 === shard.sha256);
    return list.job === job.id && job.assembled.every(isListed) ? list : null;
  } catch {
    return null;
  }
}

async function prepare(job: JobState, paths: JobPaths, nowMs: number, verified: VerifiedFiles): Promise<PublishList> {
  const { intake, plan, calibration: tokens } = job;
  invariant(intake !== null && plan !== null && tokens !== null, `job ${job.id} was planned and calibrated`);
  await checkInputsUnchanged(job);
  await mkdir(join(paths.publish, EXTRAS_FOLDER), { recursive: true });
  const index = plan.outputShards.length > 1 ? [await writeIndex(job, paths)] : [];
  const auxiliary: AssembledShard[] = [];
  for (const { file } of intake.auxiliaryFiles)
    auxiliary.push(await carryOver(join(intake.sourceDirectory, file), carriedName(file), paths));
  const ids = join(paths.staging, tokens.file.name);
  await verified.verify(ids, tokens.file);
  const calibration = await carryOver(ids, `${EXTRAS_FOLDER}/calibration.safetensors`, paths);
  const { file: statistics, summaries, missing: statisticsMissing } = await writeStatistics(job, paths);
  const written = [...job.assembled, ...auxiliary, calibration, statistics, ...index];
  // Where nothing is published, what was made for the record's digests and summaries goes with the staging folder.
  const outputs = isPublished(job.manifest.spec.output) ? written : [];
  const calibrationInputs = intake.calibrationFiles.map(({ file, sizeBytes }, position) => ({
    file,
    sizeBytes,
    sha256: job.calibration?.inputDigests[position] ?? '',
  }));
  const parts = {
    version: VERSION,
    nodeVersion: process.version,
    publishedMs: nowMs,
    outputs,
    auxiliaryInputs: intake.auxiliaryFiles.map(({ file }, index) => ({
      ...(auxiliary[index] as AssembledShard),
      file,
    })),
    calibrationInputs,
    statistics: summaries,
    statisticsMissing,
  };
  // A card describes a checkpoint.
  const card = isPublished(job.manifest.spec.output) ? [await writeModelCard(job, recordOf(job, parts), paths)] : [];
  const described = { ...parts, outputs: [...outputs, ...card] };
  const report = await writeText(renderReport(recordOf(job, described)), REPORT_FILE, paths);
  const provenance = buildProvenance(job, { ...described, outputs: [...described.outputs, report] });
  const provenanceFile = await writeJson(provenance, PROVENANCE_FILE, paths);
  const last = isPublished(job.manifest.spec.output) ? (index[0] ?? job.assembled[0]) : undefined;
  const loadable = last === undefined ? [] : [last];
  const files = [...outputs.filter((file) => file !== last), ...card, report, provenanceFile, ...loadable];
  const list: PublishList = { job: job.id, files, statisticsMissing };
  reach('coordinator.publish-prepared');
  await writeFileAtomic(paths.publishList, [Buffer.from(JSON.stringify(list))]);
  reach('coordinator.publish-listed');
  return list;
}

async function writeIndex(job: JobState, paths: JobPaths): Promise<AssembledShard> {
  const shards = job.plan?.outputShards ?? [];
  const weightMap = Object.fromEntries(
    shards
      .flatMap((shard) => shard.tensors.map((tensor) => [tensor, shard.file] as const))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  const totalSize = shards.reduce((sum, shard) => sum + shard.sizeBytes, 0);
  return writeJson({ metadata: { total_size: totalSize }, weight_map: weightMap }, INDEX_FILE, paths);
}

/**
 * Where a file of the source goes. What has the name of one that is written here (in any case: some file systems tell no
 * case from another) is kept beside the extras: it is of the source, and says nothing of these weights.
 */
function carriedName(file: string): string {
  const isWritten = WRITTEN_HERE.some((name) => name.toLowerCase() === file.toLowerCase());
  return isWritten ? `${EXTRAS_FOLDER}/source-${file}` : file;
}

function writeJson(content: object, file: string, paths: JobPaths): Promise<AssembledShard> {
  return writeText(`${JSON.stringify(content, null, 2)}\n`, file, paths);
}

/** The provenance as it will be read again: so `secateur report` gives the same bytes. */
function recordOf(job: JobState, parts: ProvenanceParts): ReportRecord {
  return parseReportRecord(JSON.parse(JSON.stringify(buildProvenance(job, parts))), PROVENANCE_FILE);
}

async function writeModelCard(job: JobState, record: ReportRecord, paths: JobPaths): Promise<AssembledShard> {
  const hasCard = job.intake?.auxiliaryFiles.some(({ file }) => file === MODEL_CARD_FILE) ?? false;
  const cardFile = hasCard ? carriedName(MODEL_CARD_FILE) : null;
  const source = {
    directory: job.intake?.sourceDirectory ?? '',
    card: cardFile === null ? null : await readFile(join(paths.publish, cardFile), 'utf8'),
    cardFile,
  };
  return writeText(renderModelCard(record, source), MODEL_CARD_FILE, paths);
}

async function writeText(text: string, file: string, paths: JobPaths): Promise<AssembledShard> {
  const bytes = Buffer.from(text);
  await writeFileAtomic(join(paths.publish, file), [bytes]);
  return { file, sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** The bytes, not the mode: a source that is read-only must not make a checkpoint that nobody can replace. */
async function carryOver(from: string, file: string, paths: JobPaths): Promise<AssembledShard> {
  const to = join(paths.publish, file);
  await mkdir(dirname(to), { recursive: true });
  const source = await open(from, 'r');
  try {
    const output = await HashedFile.create(to);
    try {
      const copied = { handle: source, path: from, hash: null, onReadError: (thrown: unknown) => thrown };
      await output.copyFrom(copied, 0, (await source.stat()).size);
    } catch (thrown) {
      await output.abandon();
      throw thrown;
    }
    return { file, ...(await output.finish()) };
  } finally {
    await source.close();
  }
}

/**
 * The sums of squares of every layer, for researchers, and a summary of them for the provenance. Sums that have been
 * damaged since their layer was pruned are left out, and said to be: nobody computes with them any more.
 */
async function writeStatistics(
  job: JobState,
  paths: JobPaths,
): Promise<{ file: AssembledShard; summaries: StatisticSummary[]; missing: number[] }> {
  const file = `${EXTRAS_FOLDER}/statistics.safetensors`;
  const target = join(paths.publish, file);
  const tensors = [];
  const summaries: StatisticSummary[] = [];
  const missing: number[] = [];
  for (const [layer, state] of job.layers.entries()) {
    if (state.statisticsFile === null) continue;
    const sums = await sumsOrNull(paths.state, state.statisticsFile);
    if (sums === null) missing.push(layer);
    for (const [statistic, data] of sums ?? []) {
      const values = new Float64Array(data.slice().buffer);
      tensors.push({ name: `layers.${layer}.${statistic}`, dtype: 'F64' as const, shape: [values.length], data });
      const sum = values.reduce((a, b) => a + b, 0);
      summaries.push({
        layer,
        statistic,
        columns: values.length,
        min: values.reduce((a, b) => Math.min(a, b)),
        mean: sum / values.length,
        max: values.reduce((a, b) => Math.max(a, b)),
        topShare: sum > 0 ? sumOfLargest(values, Math.ceil(values.length / 100)) / sum : 0,
      });
    }
  }
  await writeSafetensorsFile(target, tensors);
  return { file: { file, ...(await digestFile(target)) }, summaries, missing };
}

const DAMAGED: ReadonlySet<ErrorCode> = new Set([
  'ChecksumMismatch',
  'SourceMissing',
  'SafetensorsInvalid',
  'CheckpointInvalid',
]);

async function sumsOrNull(stateDirectory: string, file: StagedFile): Promise<Map<string, Uint8Array> | null> {
  try {
    return await loadSums(stateDirectory, file);
  } catch (thrown) {
    const { code, details } = toSecateurError(thrown);
    if (!DAMAGED.has(code) && details.errno !== 'EIO') throw thrown;
    return null;
  }
}

function sumOfLargest(values: Float64Array, count: number): number {
  return values
    .toSorted()
    .subarray(-count)
    .reduce((sum, value) => sum + value, 0);
}

/** A file that is in its place already, and no longer in the publish folder, was moved before a crash. */
async function moveIntoPlace(file: string, paths: JobPaths): Promise<void> {
  const [from, to] = [join(paths.publish, file), join(paths.output, file)];
  try {
    await rename(from, to);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT' || !(await exists(to))) throw thrown;
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    (thrown: unknown) => {
      rethrowPassing(thrown);
      return false;
    },
  );
}
