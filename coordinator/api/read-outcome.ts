/** What a worker says came of a task, in the core's words; whether it fits the task, check-outcome.ts looks at. */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { countOf, type MicrobatchSet } from '../../shared/microbatch-set.ts';
import type { FileRef__Output } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { SnapshotFile__Output } from '../../shared/rpc/generated/secateur/v1/SnapshotFile.ts';
import type { TaskResult__Output } from '../../shared/rpc/generated/secateur/v1/TaskResult.ts';
import { setOfRanges } from '../../shared/rpc/microbatch-ranges.ts';
import type { TaskOutcome, WrittenSnapshot } from '../core/events.ts';
import type { OutputErrors, StagedFile } from '../core/state.ts';

/**
 * The statistics of a pass come in messages of their own: null here.
 *
 * @throws EngineFailed where something is missing; ArgumentInvalid for an outcome that this version does not know
 */
export function readOutcome(result: TaskResult__Output): TaskOutcome {
  if (result.prepareCalibration) {
    const { samples, sequenceLength, file, inputs } = result.prepareCalibration;
    const inputDigests = inputs.map((input) => input.sha256);
    return {
      kind: 'prepareCalibration',
      calibration: { inputDigests, samples, sequenceLength, file: stagedOf(file) },
    };
  }
  if (result.prepareEvaluation) {
    const { file, windows, sequenceLength, input } = result.prepareEvaluation;
    return {
      kind: 'prepareEvaluation',
      ids: stagedOf(file),
      inputDigest: input?.sha256 ?? '',
      windows,
      sequenceLength,
    };
  }
  if (result.evaluate) {
    const { nll, tokens, computeMs } = result.evaluate;
    const done = setOfRanges(result.evaluate.done);
    checkLikelihoods(done, nll);
    return { kind: 'evaluate', done, nll, tokens, computeMs };
  }
  if (result.measureError) {
    const { error, output, computeMs } = result.measureError;
    const done = setOfRanges(result.measureError.done);
    return { kind: 'measureError', done, samples: rowsOf(done, error, output), computeMs };
  }
  if (result.countOutliers) {
    const { outliers, weights, computeMs } = result.countOutliers;
    return { kind: 'countOutliers', outliers, weights, computeMs };
  }
  if (result.digestSource) return { kind: 'digestSource', sha256: stagedOf(result.digestSource.file).sha256 };
  if (result.prune) {
    const { file, tensors, pruneMs, commitMs, dampingRaises } = result.prune;
    const counted = tensors.map(({ name, elements, zeros, pruned }) => ({ name, elements, zeros, pruned }));
    return { kind: 'prune', file: stagedOf(file), tensors: counted, pruneMs, commitMs, dampingRaises };
  }
  if (result.pass) {
    const { tokens, computeMs, snapshots, loadMs, snapshotMs, bytesRead, peakResidentBytes, hessian } = result.pass;
    const spent = { computeMs, loadMs, snapshotMs, bytesRead, peakResidentBytes };
    const done = setOfRanges(result.pass.done);
    return {
      kind: 'pass',
      tokens,
      spent,
      done,
      snapshots: snapshots.map(snapshotOf),
      statistics: null,
      ...(hessian ? { hessian: stagedOf(hessian) } : {}),
    };
  }
  if (result.handOver) return { kind: 'handOver', snapshots: result.handOver.snapshots.map(snapshotOf) };
  throw new SecateurError(
    'ArgumentInvalid',
    `task ${result.identity?.task}: its result has an outcome that this version does not know`,
  );
}

/** @throws EngineFailed */
export function snapshotOf(snapshot: SnapshotFile__Output | null | undefined): WrittenSnapshot {
  if (!snapshot) throw incomplete('a snapshot with its file', 'none');
  return { boundary: snapshot.boundary, microbatch: snapshot.microbatch, file: stagedOf(snapshot.file) };
}

function stagedOf(file: FileRef__Output | null | undefined): StagedFile {
  if (!file) throw incomplete('a file with its size and digest', 'none');
  return { name: file.name, sizeBytes: file.sizeBytes, sha256: file.sha256 };
}

/** One row a sample: neither rows of other lengths, nor what is no sum of squares. */
function rowsOf(done: MicrobatchSet, error: readonly number[], output: readonly number[]): OutputErrors[] {
  const count = countOf(done);
  // At least one number a sample: so many samples as the message has numbers, and no more.
  const width = count === 0 ? 0 : output.length / count;
  const isWhole = count === 0 ? output.length === 0 : width >= 1 && Number.isInteger(width);
  const isSum = (value: number): boolean => value >= 0 && value < Infinity;
  if (error.length !== output.length || !isWhole || !error.every(isSum) || !output.every(isSum)) {
    throw incomplete(
      `as many sums of squares for each of ${count} samples`,
      `${error.length} and ${output.length}, or some that are no sums`,
    );
  }
  const rowOf = (values: readonly number[], row: number) => values.slice(row * width, (row + 1) * width);
  return Array.from({ length: count }, (_, row) => ({ error: rowOf(error, row), output: rowOf(output, row) }));
}

/** Likelihoods are the only numbers of a worker that decide whether a job may publish. */
function checkLikelihoods(done: MicrobatchSet, nll: readonly number[]): void {
  if (nll.length === countOf(done) && nll.every((value) => value >= 0 && value < Infinity)) return;
  throw incomplete(
    `a likelihood for each of ${countOf(done)} windows`,
    `${nll.length}, or some that are no such number`,
  );
}

/** Not `ArgumentInvalid`, with which a worker leaves for good: it may be its engine alone, and others can compute it. */
function incomplete(expected: string, found: string): SecateurError {
  return new SecateurError('EngineFailed', `the task's result: expected ${expected}; found ${found}`, {
    retryable: true,
    details: { expected, found },
  });
}
