/** A core task as the message that a worker gets: names become files, offsets and settings. */

import { invariant } from '../../shared/errors/secateur-error.ts';
import { locationToPath } from '../../shared/manifest/resolve-locations.ts';
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';
import { membersOf } from '../../shared/microbatch-set.ts';
import { headTensorNames } from '../../shared/onnx/language-head.ts';
import type { FileRef } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { JobContext } from '../../shared/rpc/generated/secateur/v1/JobContext.ts';
import type { LinearSelection } from '../../shared/rpc/generated/secateur/v1/LinearSelection.ts';
import type { MethodOptions } from '../../shared/rpc/generated/secateur/v1/MethodOptions.ts';
import type { PassInput } from '../../shared/rpc/generated/secateur/v1/PassInput.ts';
import type { StatisticSum } from '../../shared/rpc/generated/secateur/v1/StatisticSum.ts';
import type { Task } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import type { TensorRef } from '../../shared/rpc/generated/secateur/v1/TensorRef.ts';
import { rangesOf } from '../../shared/rpc/microbatch-ranges.ts';
import {
  calibrationFileName,
  evaluationFileName,
  layerFileName,
  leaseSuffix,
} from '../../shared/storage/staging-names.ts';
import { isSynthetic, parseSyntheticTokens } from '../../shared/synthetic/synthetic-location.ts';
import { committedSlots } from '../assembly/committed-layer.ts';
import { budgetedLinears, choiceIn } from '../core/choices.ts';
import type { TaskIdentity } from '../core/events.ts';
import { hessianFiles, prunedStatistics } from '../core/hessians.ts';
import { isPropagatedPruned } from '../core/lineage.ts';
import { RUN_TOKENS_MAX } from '../core/plan.ts';
import {
  endOf,
  type JobIntake,
  type JobState,
  type LinearIntake,
  type StagedFile,
  type StageState,
  type TensorSlot,
} from '../core/state.ts';
import type { EvaluateSpec, MeasureErrorSpec, PassSpec, TaskSpec } from '../core/task.ts';
import { type JobPaths, PROBE_FILE_NAME } from './job-paths.ts';

/**
 * `sums`: of the layer that is to be pruned, or whose Hessians are, by statistic, as float64 little-endian bytes; empty for
 * other tasks.
 */
export function taskMessage(
  job: JobState,
  spec: TaskSpec,
  identity: TaskIdentity,
  paths: JobPaths,
  sums: ReadonlyMap<string, Uint8Array>,
): Task {
  const intake = job.intake;
  invariant(intake !== null, `job ${job.id} has read its inputs`);
  const head = { identity, context: contextMessage(job, intake, paths) };
  switch (spec.kind) {
    case 'prepareCalibration':
      return { ...head, prepareCalibration: calibrationMessage(job, intake, identity) };
    case 'digestSource': {
      const shard = intake.shards.find((each) => each.file === spec.shard);
      return { ...head, digestSource: { file: sourceFile(spec.shard, shard?.sizeBytes ?? 0) } };
    }
    case 'pass':
      return { ...head, pass: passMessage(job, intake, spec, identity, sums) };
    case 'prune':
      return { ...head, prune: pruneMessage(job, intake, spec.layer, identity, sums) };
    case 'countOutliers':
      return { ...head, countOutliers: countOutliersMessage(job, intake, spec.layer, sums) };
    case 'prepareEvaluation':
      return { ...head, prepareEvaluation: evaluationMessage(job, intake, spec.text, identity) };
    case 'evaluate':
      return { ...head, evaluate: evaluateMessage(job, intake, spec) };
    case 'measureError':
      return { ...head, measureError: measureErrorMessage(job, intake, spec) };
    case 'handOver': {
      const microbatches = rangesOf(spec.microbatches);
      return { ...head, handOver: { boundary: spec.boundary, microbatches, suffix: leaseSuffix(identity) } };
    }
  }
}

function contextMessage(job: JobState, intake: JobIntake, paths: JobPaths): JobContext {
  return {
    job: job.id,
    sourceDirectory: intake.sourceDirectory,
    stagingDirectory: paths.staging,
    calibrationFiles: intake.calibrationFiles.map(({ file }) => file),
    evaluationFiles: intake.evaluationFiles.map(({ file }) => file),
    modelJson: JSON.stringify(intake.model),
    samples: job.calibration?.samples ?? 0,
    sequenceLength: job.calibration?.sequenceLength ?? 0,
    microbatch: job.plan?.microbatch ?? 1,
    probeName: PROBE_FILE_NAME,
    probeContent: job.id,
  };
}

function calibrationMessage(
  job: JobState,
  intake: JobIntake,
  identity: TaskIdentity,
): NonNullable<Task['prepareCalibration']> {
  const calibration = job.manifest.spec.calibration;
  const vocabularySize = intake.model.vocabularySize;
  const files = intake.calibrationFiles.map(({ sizeBytes }, index) => calibrationFile(index, sizeBytes));
  const output: FileRef = { root: 'FILE_ROOT_STAGING', name: calibrationFileName(identity) };
  if ('text' in calibration) {
    const { samples, sequenceLength, seed } = calibration;
    return { text: true, samples, sequenceLength, seed, vocabularySize, files, output };
  }
  if (isSynthetic(calibration.tokens)) {
    const { samples, sequenceLength, seed } = parseSyntheticTokens(calibration.tokens);
    const count = Math.min(samples, calibration.samples ?? samples);
    return { text: false, samples: count, sequenceLength, seed, vocabularySize, files, output };
  }
  invariant(
    locationToPath(calibration.tokens) === intake.calibrationFiles[0]?.file,
    'the token ids were read at intake',
  );
  return { text: false, samples: calibration.samples ?? 0, sequenceLength: 0, seed: 0, vocabularySize, files, output };
}

function evaluationMessage(
  job: JobState,
  intake: JobIntake,
  text: number,
  identity: TaskIdentity,
): NonNullable<Task['prepareEvaluation']> {
  const { evaluation } = job.manifest.spec;
  invariant(evaluation !== undefined, `job ${job.id} is to be evaluated`);
  return {
    text: 'text' in evaluation,
    windows: evaluation.windows ?? 0,
    sequenceLength: 'text' in evaluation ? evaluation.sequenceLength : 0,
    vocabularySize: intake.model.vocabularySize,
    file: { root: 'FILE_ROOT_EVALUATION', name: String(text), sizeBytes: intake.evaluationFiles[text]?.sizeBytes ?? 0 },
    output: { root: 'FILE_ROOT_STAGING', name: evaluationFileName(text, identity) },
  };
}

function evaluateMessage(job: JobState, intake: JobIntake, spec: EvaluateSpec): NonNullable<Task['evaluate']> {
  const text = job.evaluation[spec.text];
  invariant(text, `job ${job.id} has windows of text ${spec.text}`);
  const outside = new Map(intake.outside.map((slot) => [slot.name, slot]));
  return {
    ids: stagedFile(text.ids),
    sequenceLength: text.sequenceLength,
    windows: rangesOf(spec.windows),
    batch: Math.max(1, Math.floor(RUN_TOKENS_MAX / text.sequenceLength)),
    embedding: sourceTensor(intake.embedding, intake),
    layers: intake.layers.map((_, layer) => ({ tensors: layerTensorRefs(job, intake, layer, spec.weights) })),
    tokens: text.windows * text.sequenceLength,
    head: headTensorNames(intake.model).map((name) => sourceTensor(outside.get(name) ?? intake.embedding, intake)),
  };
}

function measureErrorMessage(
  job: JobState,
  intake: JobIntake,
  spec: MeasureErrorSpec,
): NonNullable<Task['measureError']> {
  invariant(job.calibration !== null, `job ${job.id} has its token ids`);
  const layers = (weights: 'source' | 'committed') =>
    intake.layers.map((_, layer) => ({ tensors: layerTensorRefs(job, intake, layer, weights) }));
  return {
    ids: stagedFile(job.calibration.file),
    sequenceLength: job.calibration.sequenceLength,
    windows: rangesOf(spec.windows),
    embedding: sourceTensor(intake.embedding, intake),
    source: layers('source'),
    committed: layers('committed'),
    propagatePruned: isPropagatedPruned(job),
  };
}

/** A layer's tensors in the source, or in its committed file. */
function layerTensorRefs(
  job: JobState,
  intake: JobIntake,
  layer: number,
  weights: 'source' | 'committed',
): TensorRef[] {
  const layerIntake = intake.layers[layer];
  invariant(layerIntake !== undefined, `job ${job.id} has layer ${layer}`);
  const committed = weights === 'committed' ? job.layers[layer]?.file : null;
  return committed
    ? committedSlots(committed.name, layerIntake).map((slot) => tensorRef(slot, stagedFile(committed)))
    : layerIntake.tensors.map((slot) => sourceTensor(slot, intake));
}

function passMessage(
  job: JobState,
  intake: JobIntake,
  spec: PassSpec,
  identity: TaskIdentity,
  sums: ReadonlyMap<string, Uint8Array>,
): NonNullable<Task['pass']> {
  const wanted = prunedStatistics(job, spec.layer);
  return {
    stage: spec.stage,
    layer: spec.layer,
    tensors: layerTensorRefs(job, intake, spec.layer, spec.weights),
    microbatches: rangesOf(spec.microbatches),
    input: passInput(job, intake, spec),
    statistics: spec.statistics,
    hidden: spec.hidden,
    write: rangesOf(spec.write),
    drop: rangesOf(spec.drop),
    suffix: leaseSuffix(identity),
    hessian: spec.hessian,
    sums: sumsMessage(new Map([...sums].filter(([statistic]) => wanted.has(statistic)))),
    next: nextSourceLayer(job, intake, spec),
  };
}

/** Of the layer behind it in the stage, where a pass reads the source; what is made rather than read is not read ahead. */
function nextSourceLayer(job: JobState, intake: JobIntake, { stage, layer, weights }: PassSpec): TensorRef[] {
  const end = endOf(job.stages[stage] as StageState);
  const isRead = weights === 'source' && layer + 1 < end && !isSynthetic(intake.sourceDirectory);
  return isRead ? layerTensorRefs(job, intake, layer + 1, 'source') : [];
}

function sumsMessage(sums: ReadonlyMap<string, Uint8Array>): StatisticSum[] {
  return [...sums].map(([statistic, float64]) => ({ statistic, float64: Buffer.from(float64) }));
}

function passInput(job: JobState, intake: JobIntake, spec: PassSpec): PassInput {
  switch (spec.input) {
    case 'memory':
      return { memory: true };
    case 'snapshot': {
      const boundary = spec.layer;
      const files = job.snapshots.find((snapshot) => snapshot.boundary === boundary)?.files ?? {};
      return {
        snapshot: {
          files: [...membersOf(spec.microbatches)].map((microbatch) => {
            const file = files[microbatch];
            return { boundary, microbatch, ...(file === undefined ? {} : { file: stagedFile(file) }) };
          }),
        },
      };
    }
    case 'embed': {
      invariant(job.calibration !== null, `job ${job.id} has its token ids`);
      return {
        embed: {
          calibration: stagedFile(job.calibration.file),
          embedding: sourceTensor(intake.embedding, intake),
        },
      };
    }
  }
}

function pruneMessage(
  job: JobState,
  intake: JobIntake,
  layer: number,
  identity: TaskIdentity,
  sums: ReadonlyMap<string, Uint8Array>,
): NonNullable<Task['prune']> {
  const layerIntake = intake.layers[layer];
  invariant(layerIntake !== undefined, `job ${job.id} has layer ${layer}`);
  return {
    layer,
    tensors: layerIntake.tensors.map((slot) => sourceTensor(slot, intake)),
    method: job.manifest.spec.pruning.method,
    options: methodOptions(job),
    linears: layerIntake.linears.map((linear) => linearMessage(linear, choiceIn(job, layer, linear))),
    statistics: sumsMessage(sums),
    samples: job.calibration?.samples ?? 0,
    output: { root: 'FILE_ROOT_STAGING', name: layerFileName(layer, identity) },
    hessians: hessianFiles(job, layer).map(stagedFile),
  };
}

function countOutliersMessage(
  job: JobState,
  intake: JobIntake,
  layer: number,
  sums: ReadonlyMap<string, Uint8Array>,
): NonNullable<Task['countOutliers']> {
  const linears = budgetedLinears(job, layer);
  const slots = new Map(intake.layers[layer]?.tensors.map((slot) => [slot.name, slot]));
  return {
    layer,
    tensors: linears.map(({ tensor }) => sourceTensor(slots.get(tensor) as TensorSlot, intake)),
    linears: linears.map(({ tensor, statistic }) => ({ tensor, statistic })),
    statistics: sumsMessage(sums),
    samples: job.calibration?.samples ?? 0,
    threshold: job.manifest.spec.pruning.outlierThreshold ?? 0,
  };
}

function methodOptions(job: JobState): MethodOptions {
  const { pruning } = job.manifest.spec;
  const { scope = '', variant = '', activationPower = 0, seed = 0, blockSize = 0, dampingFraction = 0 } = pruning;
  return { scope, variant, activationPower, seed, blockSize, dampingFraction };
}

function linearMessage({ tensor, statistic }: LinearIntake, choice: LinearChoice): LinearSelection {
  switch (choice.kind) {
    case 'keepAll':
      return { tensor, statistic, keepAll: true };
    case 'unstructured':
      return { tensor, statistic, sparsity: choice.sparsity };
    case 'pattern':
      return { tensor, statistic, pattern: { keep: choice.keep, group: choice.group } };
  }
}

function sourceFile(file: string, sizeBytes: number): FileRef {
  return { root: 'FILE_ROOT_SOURCE', name: file, sizeBytes };
}

function calibrationFile(index: number, sizeBytes: number): FileRef {
  return { root: 'FILE_ROOT_CALIBRATION', name: String(index), sizeBytes };
}

function sourceTensor(slot: TensorSlot, intake: JobIntake): TensorRef {
  const shard = intake.shards.find((each) => each.file === slot.file);
  return tensorRef(slot, sourceFile(slot.file, shard?.sizeBytes ?? 0));
}

function stagedFile(file: StagedFile): FileRef {
  return { root: 'FILE_ROOT_STAGING', name: file.name, sizeBytes: file.sizeBytes, sha256: file.sha256 };
}

function tensorRef(slot: TensorSlot, file: FileRef): TensorRef {
  const { name, dtype, shape, offset, sizeBytes } = slot;
  return { name, dtype, shape: [...shape], file, offset, sizeBytes };
}
