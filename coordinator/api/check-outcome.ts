/**
 * What a worker says came of a task, held against what it was asked for: the lease's spec, the manifest, the inputs. What
 * does not fit is a failed attempt of that worker, and another tries. Nothing of it has reached the core's state by then.
 *
 * Pure: what only the staging folder shows, check-staged.ts looks at.
 */
import { invariant, SecateurError } from '../../shared/errors/secateur-error.ts';
import {
  contains,
  countOf,
  difference,
  intersection,
  isEmpty,
  type MicrobatchSet,
  NO_MICROBATCHES,
  setOfMembers,
  showMicrobatches,
} from '../../shared/microbatch-set.ts';
import {
  calibrationFileName,
  evaluationFileName,
  hessianFileName,
  layerFileName,
  leaseSuffix,
  snapshotFileName,
} from '../../shared/storage/staging-names.ts';
import { budgetedLinears, choiceIn } from '../core/choices.ts';
import { tokensThrough } from '../core/evaluation.ts';
import type { Holding, TaskOutcome, WrittenSnapshot } from '../core/events.ts';
import { samplesOf } from '../core/lineage.ts';
import type { JobIntake, JobState, Lease, StagedFile } from '../core/state.ts';

/** Once, an engine may have ended between its result and its message; twice in a row, it keeps nothing. */
const VANISHED_MAX = 2;
/** A nanosecond: of less, tokens a second are no number. */
const TIME_MS_MIN = 1e-6;
/** Of what was found, in a message. */
const SHOWN_CHARACTERS_MAX = 200;

type OutcomeOf<K extends TaskOutcome['kind']> = Extract<TaskOutcome, { kind: K }>;
type SpecOf<K extends Lease['spec']['kind']> = Extract<Lease['spec'], { kind: K }>;

/** A task as it is leased to a worker now. */
export interface Asked {
  readonly job: JobState;
  readonly lease: Lease;
  /** It was asked to leave, and may stop before its task is done. */
  readonly draining: boolean;
}

/** @throws EngineFailed naming the field, what was expected and what was found */
export function checkOutcome(asked: Asked, outcome: TaskOutcome): void {
  const { spec } = asked.lease;
  if (outcome.kind !== spec.kind) throw misfit(asked, 'its kind', spec.kind, outcome.kind);
  switch (outcome.kind) {
    case 'prepareCalibration':
      return checkCalibration(asked, outcome);
    case 'prepareEvaluation':
      return checkEvaluationText(asked, spec as SpecOf<'prepareEvaluation'>, outcome);
    case 'digestSource':
      return checkDigest(asked, 'file.sha256', outcome.sha256);
    case 'pass':
      return checkPass(asked, spec as SpecOf<'pass'>, outcome);
    case 'prune':
      return checkPrune(asked, spec as SpecOf<'prune'>, outcome);
    case 'countOutliers':
      return checkOutliers(asked, spec as SpecOf<'countOutliers'>, outcome);
    case 'handOver':
      return checkSnapshots(asked, outcome.snapshots, (spec as SpecOf<'handOver'>).microbatches);
    case 'evaluate':
      return checkEvaluation(asked, spec as SpecOf<'evaluate'>, outcome);
    case 'measureError':
      return checkErrors(asked, spec as SpecOf<'measureError'>, outcome);
  }
}

/** As many windows as the manifest asks for: `text` exactly so, of given ids what their header says. */
function checkCalibration(asked: Asked, { calibration }: OutcomeOf<'prepareCalibration'>): void {
  const { manifest } = asked.job;
  const { givenTokens, calibrationFiles } = intakeOf(asked);
  const expected = 'text' in manifest.spec.calibration ? manifest.spec.calibration : givenTokens;
  invariant(expected !== null, 'given token ids were read at intake');
  checkEqual(asked, 'samples', expected.samples ?? 0, calibration.samples);
  checkEqual(asked, 'sequenceLength', expected.sequenceLength, calibration.sequenceLength);
  checkEqual(asked, 'inputs', calibrationFiles.length, calibration.inputDigests.length);
  for (const [index, digest] of calibration.inputDigests.entries()) {
    checkDigest(asked, `inputs[${index}].sha256`, digest);
  }
  checkFile(asked, 'file', calibrationFileName(asked.lease), calibration.file);
}

/** At most as many windows as the manifest asks for, of the length that it gives; given ids have their own. */
function checkEvaluationText(
  asked: Asked,
  { text }: SpecOf<'prepareEvaluation'>,
  { ids, inputDigest, windows, sequenceLength }: OutcomeOf<'prepareEvaluation'>,
): void {
  const { evaluation } = asked.job.manifest.spec;
  invariant(evaluation !== undefined, `job ${asked.job.id} is to be evaluated`);
  const windowsMax = evaluation.windows ?? Number.MAX_SAFE_INTEGER;
  if (!isCount(windows) || windows > windowsMax) throw misfit(asked, 'windows', `1 to ${windowsMax}`, windows);
  if ('text' in evaluation) checkEqual(asked, 'sequenceLength', evaluation.sequenceLength, sequenceLength);
  // Its first token is not predicted.
  else if (!isCount(sequenceLength) || sequenceLength < 2)
    throw misfit(asked, 'sequenceLength', '2 or more', sequenceLength);
  checkDigest(asked, 'input.sha256', inputDigest);
  checkFile(asked, 'file', evaluationFileName(text, asked.lease), ids);
}

function checkPass(asked: Asked, spec: SpecOf<'pass'>, outcome: OutcomeOf<'pass'>): void {
  const { done, tokens, spent, snapshots, hessian } = outcome;
  checkDone(asked, spec.microbatches, done);
  checkEqual(asked, 'tokens', samplesOf(asked.job, done) * (asked.job.calibration?.sequenceLength ?? 0), tokens);
  for (const [field, amount] of Object.entries(spent)) checkTime(asked, field, amount);
  checkSnapshots(asked, snapshots, intersection(spec.write, done));
  // Taken as done without its file, its microbatches would be given out for ever.
  const expected = spec.hessian && !isEmpty(done) ? hessianFileName(spec.layer, leaseSuffix(asked.lease)) : null;
  if (expected === null && hessian !== undefined) throw misfit(asked, 'hessian.name', 'none', hessian.name);
  if (expected === null) return;
  if (hessian === undefined) throw misfit(asked, 'hessian.name', expected, 'none');
  checkFile(asked, 'hessian', expected, hessian);
}

/** The tensors of the layer, in their order; those of the manifest's choice pruned, the others copied. */
function checkPrune(asked: Asked, { layer }: SpecOf<'prune'>, outcome: OutcomeOf<'prune'>): void {
  const { file, tensors, pruneMs, commitMs } = outcome;
  const intake = intakeOf(asked).layers[layer];
  invariant(intake !== undefined, `job ${asked.job.id} has layer ${layer}`);
  checkFile(asked, 'file', layerFileName(layer, asked.lease), file);
  checkEqual(asked, 'tensors', intake.tensors.length, tensors.length);
  for (const [index, { name, shape }] of intake.tensors.entries()) {
    const found = tensors[index];
    const field = `tensors[${index}]`;
    if (found?.name !== name) throw misfit(asked, `${field}.name`, name, found?.name ?? 'none');
    const elements = shape.reduce((product, size) => product * size, 1);
    checkEqual(asked, `${field}.elements`, elements, found.elements);
    if (!(found.zeros >= 0 && found.zeros <= elements)) {
      throw misfit(asked, `${field}.zeros`, `0 to ${elements}`, found.zeros);
    }
    const linear = intake.linears.find(({ tensor }) => tensor === name);
    const isPruned = linear !== undefined && choiceIn(asked.job, layer, linear).kind !== 'keepAll';
    if (found.pruned !== isPruned) throw misfit(asked, `${field}.pruned`, String(isPruned), String(found.pruned));
  }
  checkTime(asked, 'pruneMs', pruneMs);
  checkTime(asked, 'commitMs', commitMs);
}

/** Among all weights of the layer that its budget is for. */
function checkOutliers(
  asked: Asked,
  { layer }: SpecOf<'countOutliers'>,
  { outliers, weights, computeMs }: OutcomeOf<'countOutliers'>,
): void {
  const linears = budgetedLinears(asked.job, layer);
  const expected = linears.reduce((sum, { outFeatures, inFeatures }) => sum + outFeatures * inFeatures, 0);
  checkEqual(asked, 'weights', expected, weights);
  if (!(Number.isSafeInteger(outliers) && outliers >= 0 && outliers <= weights))
    throw misfit(asked, 'outliers', `0 to ${weights}`, outliers);
  checkTime(asked, 'computeMs', computeMs);
}

function checkEvaluation(asked: Asked, spec: SpecOf<'evaluate'>, outcome: OutcomeOf<'evaluate'>): void {
  const { done, tokens, computeMs } = outcome;
  checkDone(asked, spec.windows, done);
  const { sequenceLength = 0 } = asked.job.evaluation[spec.text] ?? {};
  checkEqual(asked, 'tokens', tokensThrough(asked.job, countOf(done), sequenceLength), tokens);
  checkTime(asked, 'computeMs', computeMs);
}

/** One sum for each linear of the model in each row. */
function checkErrors(asked: Asked, spec: SpecOf<'measureError'>, outcome: OutcomeOf<'measureError'>): void {
  const { done, samples, computeMs } = outcome;
  checkDone(asked, spec.windows, done);
  const linears = intakeOf(asked).layers.reduce((sum, layer) => sum + layer.linears.length, 0);
  for (const { output } of samples) checkEqual(asked, 'sums of a sample', linears, output.length);
  checkTime(asked, 'computeMs', computeMs);
}

/** A success without progress would be given out again at once, and for ever. */
function checkDone(asked: Asked, all: MicrobatchSet, done: MicrobatchSet): void {
  const isOther = !isEmpty(difference(done, all));
  if (!isOther && (!isEmpty(done) || asked.draining)) return;
  const found = isEmpty(done) ? 'none' : showMicrobatches(done);
  throw misfit(asked, 'done', `some of ${showMicrobatches(all)}`, found);
}

/** Each that the task was to write and has done, once. */
function checkSnapshots(asked: Asked, snapshots: readonly WrittenSnapshot[], expected: MicrobatchSet): void {
  const found = setOfMembers(snapshots.map(({ microbatch }) => microbatch));
  const isSame = isEmpty(difference(found, expected)) && isEmpty(difference(expected, found));
  const show = (set: MicrobatchSet): string => (isEmpty(set) ? 'none' : showMicrobatches(set));
  if (!isSame) throw misfit(asked, 'snapshots', show(expected), show(found));
  checkEqual(asked, 'snapshots', countOf(expected), snapshots.length);
  for (const snapshot of snapshots) checkSnapshot(asked, snapshot);
}

/**
 * Whether its file is there is not looked at: it may be needless, and removed, before the result names it again; and
 * whoever is to go on from one that is not there has it computed again.
 *
 * @throws EngineFailed
 */
export function checkSnapshot(asked: Asked, { boundary, microbatch, file }: WrittenSnapshot): void {
  const { spec } = asked.lease;
  const [at, written] = writtenBy(spec);
  if (!contains(written, microbatch)) {
    const expected = isEmpty(written) ? 'none' : `of ${showMicrobatches(written)}`;
    throw misfit(asked, 'snapshot.microbatch', expected, microbatch);
  }
  checkEqual(asked, 'snapshot.boundary', at, boundary);
  checkFile(asked, 'snapshot.file', snapshotFileName(boundary, microbatch, leaseSuffix(asked.lease)), file);
}

/** The boundary and the microbatches whose hidden states a task writes to files. */
function writtenBy(spec: Lease['spec']): [boundary: number, microbatches: MicrobatchSet] {
  if (spec.kind === 'pass') return [spec.layer + 1, spec.write];
  return spec.kind === 'handOver' ? [spec.boundary, spec.microbatches] : [0, NO_MICROBATCHES];
}

/**
 * A pass that brings nothing but the next hidden states, and then does not hold them, is to be done again.
 *
 * @param vanished results of this worker in a row of which that was so; returned as it is now
 * @throws EngineFailed where it is so again
 */
export function checkHeld(
  asked: Asked,
  outcome: TaskOutcome,
  holdings: readonly Pick<Holding, 'boundary' | 'microbatches'>[],
  vanished: number,
): number {
  const { spec } = asked.lease;
  if (outcome.kind !== 'pass' || spec.kind !== 'pass' || spec.statistics || spec.hessian) return vanished;
  const boundary = spec.layer + 1;
  const held = holdings.find((states) => states.boundary === boundary)?.microbatches ?? NO_MICROBATCHES;
  const left = difference(outcome.done, spec.drop);
  const lacking = difference(left, held);
  if (isEmpty(left)) return vanished;
  if (isEmpty(lacking)) return 0;
  if (vanished + 1 < VANISHED_MAX) return vanished + 1;
  throw misfit(
    asked,
    `holdings at boundary ${boundary}`,
    showMicrobatches(left),
    `${showMicrobatches(lacking)} lacking`,
  );
}

function intakeOf({ job }: Asked): JobIntake {
  invariant(job.intake !== null, `job ${job.id} has read its inputs`);
  return job.intake;
}

/** The lease's own file: under another name it might replace what others have made, or lie anywhere. */
function checkFile(asked: Asked, field: string, name: string, file: StagedFile): void {
  if (file.name !== name) throw misfit(asked, `${field}.name`, name, file.name);
  if (!isCount(file.sizeBytes)) throw misfit(asked, `${field}.sizeBytes`, 'a size in bytes', file.sizeBytes);
  checkDigest(asked, `${field}.sha256`, file.sha256);
}

function checkDigest(asked: Asked, field: string, digest: string): void {
  if (!/^[0-9a-f]{64}$/.test(digest)) throw misfit(asked, field, 'a SHA-256 in hex', digest === '' ? 'none' : digest);
}

/** The speed of a worker is measured by it. */
function checkTime(asked: Asked, field: string, ms: number): void {
  const isTime = ms === 0 || (ms >= TIME_MS_MIN && ms <= Number.MAX_SAFE_INTEGER);
  if (!isTime) throw misfit(asked, field, 'a time in milliseconds', ms);
}

function checkEqual(asked: Asked, field: string, expected: number, found: number): void {
  if (found !== expected) throw misfit(asked, field, expected, found);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

export function misfit(
  { lease }: Asked,
  field: string,
  expected: string | number,
  found: string | number,
): SecateurError {
  const shown = String(found).slice(0, SHOWN_CHARACTERS_MAX);
  return new SecateurError(
    'EngineFailed',
    `the result of task ${lease.task}, ${field}: expected ${expected}; found ${shown}`,
    { retryable: true, details: { task: lease.task, field, expected: String(expected), found: shown } },
  );
}
