/**
 * Files that the state counts on and that turn out to be gone, cut, or other than they were written. Each is a pure
 * function of the manifest and the inputs: it is made again, and must come out with the digest that is known. What was
 * computed from the undamaged bytes stays as it is.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { carryOutEffects } from './effects.ts';
import { forgetText } from './evaluation.ts';
import type { EventOf } from './events.ts';
import { measuredStatus } from './hessians.ts';
import { failJob } from './lifecycle.ts';
import { allMicrobatches } from './lineage.ts';
import { charge, retryOf } from './retries.ts';
import { hasEnded, type JobState, jobOf, type StagedFile } from './state.ts';
import type { Transition } from './transition.ts';
import { LOST_MAX } from './workers.ts';

/** What a worker may find damaged: a committed layer, the token ids, a text's windows, under the name that counts now. */
export function isCountedOn(job: JobState, name: string): boolean {
  return (
    job.calibration?.file.name === name ||
    job.evaluation.some((text) => text?.ids.name === name) ||
    job.layers.some((layer) => layer.file?.name === name && layer.isDiscarded !== true)
  );
}

/** @param name under staging */
export function loseFile(t: Transition, jobId: string, name: string, why: string): void {
  const job = jobOf(t.state, jobId);
  if (job === undefined || hasEnded(job)) return;
  const layer = job.layers.findIndex((each) => each.file?.name === name && each.isDiscarded !== true);
  if (layer >= 0) loseLayer(t, job, layer, why);
  else if (job.calibration?.file.name === name) loseCalibration(t, job, why);
  else if (job.evaluation.some((text) => text?.ids.name === name)) loseText(t, job, name, why);
  else if (job.phase === 'Assembling') loseAssembly(t, job, name, why);
}

/** What the coordinator itself found when it assembled or published. */
export function fileLost(t: Transition, event: EventOf<'fileLost'>): void {
  loseFile(t, event.job, event.name, event.why);
}

/**
 * It is pruned again, by the sums that are kept: where they are damaged too, it is calibrated again (statisticsLost). Hessians
 * that went with its commit are measured again.
 */
function loseLayer(t: Transition, job: JobState, index: number, why: string): void {
  const file = takeBackLayer(t, job, index, why);
  if (file !== null) makeAgain(t, job, `layer ${index}`, file, why);
}

/** Has a committed layer pruned again, with the same bytes. @returns the file that it had */
export function takeBackLayer(t: Transition, job: JobState, index: number, why: string): StagedFile | null {
  const layer = t.editJob(job.id).layers[index];
  const file = layer?.file;
  if (layer === undefined || !file) return null;
  const status = measuredStatus(job, index, allMicrobatches(job));
  Object.assign(layer, { status, file: null, lostSha256: file.sha256 });
  delete layer.isDiscarded;
  t.tell(job.id, 'layer', 'lost', { layer: index, file: file.name, sha256: file.sha256, why });
  return file;
}

function loseCalibration(t: Transition, job: JobState, why: string): void {
  const { calibration } = job;
  if (calibration === null || calibration.isLost === true) return;
  t.editJob(job.id).calibration = { ...calibration, isLost: true };
  const { name, sha256 } = calibration.file;
  t.tell(job.id, 'calibration', 'lost', { file: name, sha256, why });
  makeAgain(t, job, 'the token ids', calibration.file, why);
}

/** It is cut into windows again; what was measured of it is as good as before, but is measured with them. */
function loseText(t: Transition, job: JobState, name: string, why: string): void {
  const index = job.evaluation.findIndex((text) => text?.ids.name === name);
  const text = job.evaluation[index];
  if (!text) return;
  forgetText(t, job.id, index);
  t.tell(job.id, 'evaluation', 'lost', { file: name, sha256: text.ids.sha256, why });
  makeAgain(t, job, `the windows of text ${index}`, text.ids, why);
}

function makeAgain(t: Transition, job: JobState, what: string, file: StagedFile, why: string): void {
  t.command({ kind: 'removeStaged', job: job.id, names: [file.name] });
  if (job.phase === 'Assembling' || job.phase === 'Evaluating')
    t.explain(job.id, 'Pruning', 'Running', `makes ${what} again: ${why}`);
  failWhenLostTooOften(t, job.id, what, file.name, why);
}

/** Whatever was ready to be moved is written again: the layers that it is made of are still there. */
function loseAssembly(t: Transition, job: JobState, name: string, why: string): void {
  t.editJob(job.id).assembled = [];
  t.tell(job.id, 'checkpoint', 'lost', { file: name, why });
  if (!failWhenLostTooOften(t, job.id, 'the assembled checkpoint', name, why)) carryOutEffects(t, job.id);
}

/** @returns whether that was once too often: then the job has failed */
function failWhenLostTooOften(t: Transition, jobId: string, what: string, name: string, why: string): boolean {
  const retry = retryOf(t.editJob(jobId), `lost ${what}`);
  retry.lost = charge(retry.lost, [[0, 1]]);
  const times = retry.lost.length;
  if (times < LOST_MAX) return false;
  const message = `${what} was lost or damaged ${times} times, last as ${name}: ${why}. Check the disk of the output, then resume the job.`;
  failJob(t, jobId, { code: 'StorageFailed', message, details: { file: name } });
  return true;
}

/**
 * What was made again must be what it was: its successors were computed from that.
 *
 * @returns false where it is not: then the job has failed
 */
export function isAsBefore(t: Transition, jobId: string, what: string, known: string, file: StagedFile): boolean {
  if (file.sha256 === known) return true;
  t.command({ kind: 'removeStaged', job: jobId, names: [file.name] });
  const { code, message, details } = new SecateurError(
    'ChecksumMismatch',
    `${file.name}: ${what}, made again since its file was lost, came out otherwise: expected SHA-256 ${known}; found ${file.sha256}. What was computed since would not fit: submit the job again with another destination.`,
    { details: { file: file.name, expected: known, found: file.sha256 } },
  );
  failJob(t, jobId, { code, message, details });
  return false;
}
