/**
 * One decoder layer over every sample of a stage: its statistics, the next hidden states, or both.
 *
 * B samples of a microbatch, S tokens of a sequence, H hidden size. Hidden states are float32 [B, S, H]; statistics are
 * float32 column sums of squares a sample, in the order in which the model lists its linears.
 */
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { reach, slowDown } from '../../../shared/failpoint.ts';
import { layerTensors } from '../../../shared/models/family.ts';
import { buildDecoderLayer, chooseAttention } from '../../../shared/onnx/decoder-layer.ts';
import type { FileRef } from '../../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { PassInput__Output } from '../../../shared/rpc/generated/secateur/v1/PassInput.ts';
import type { PassTask__Output } from '../../../shared/rpc/generated/secateur/v1/PassTask.ts';
import { readSafetensorsHeader } from '../../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../../shared/safetensors/read-tensor.ts';
import { embedTokens } from '../../calibration/embed.ts';
import type { StageHidden } from '../hidden-store.ts';
import type { Outcome } from '../messages.ts';
import { createLayerSession, type LayerSession } from '../session.ts';
import { writeSnapshot } from '../snapshot.ts';
import type { TaskContext } from '../task-context.ts';

export async function runPass(task: PassTask__Output, context: TaskContext): Promise<Outcome> {
  const { job, model, files } = context;
  const tokens = task.sampleCount * job.sequenceLength;
  const located = await files.fetchTensors(task.tensors);
  const hidden = await loadInput(task, context);
  const modelBytes = buildDecoderLayer({
    description: model,
    layer: task.layer,
    tensors: located,
    sequenceLength: job.sequenceLength,
    outputs: { statistics: task.statistics, hidden: task.hidden },
    attention: chooseAttention(model, context.provider),
    computeDtype: 'F32',
  });
  const session = await createLayerSession(modelBytes, {
    provider: context.provider,
    deviceId: context.deviceId,
    threads: context.threads,
  });
  const started = performance.now();
  try {
    await runMicrobatches(task, context, session, hidden);
  } finally {
    await session.release();
  }
  const computeMs = performance.now() - started;
  reach('engine.pass-computed');
  if (task.hidden) hidden.boundary = task.layer + 1;
  const snapshots = task.persist ? await persist(task, context, hidden) : [];
  if (!task.persist) context.hidden.put(task.stage, hidden);
  return { pass: { tokens, computeMs, snapshots } };
}

async function runMicrobatches(
  task: PassTask__Output,
  context: TaskContext,
  session: LayerSession,
  hidden: StageHidden,
): Promise<void> {
  const { sequenceLength, microbatch } = context.job;
  const total = task.sampleCount * sequenceLength;
  let done = 0;
  for (const [index, states] of hidden.microbatches.entries()) {
    const batch = states.length / (sequenceLength * context.model.hiddenSize);
    const outputs = await session.run(states, [batch, sequenceLength, context.model.hiddenSize]);
    if (task.statistics) sendStatistics(task, context, outputs.statistics, index * microbatch, batch);
    if (outputs.hidden !== null) hidden.microbatches[index] = outputs.hidden;
    done += batch * sequenceLength;
    context.progress(done, total, 'tokens');
    reach('engine.pass-microbatch');
    await slowDown();
    // One turn of the event loop between runs: messages that the engine was sent are seen.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** `statistics`: name → [B, D]. Sent as one row a sample, the statistics one after the other. */
function sendStatistics(
  task: PassTask__Output,
  context: TaskContext,
  statistics: ReadonlyMap<string, Float32Array>,
  first: number,
  batch: number,
): void {
  const linears = layerTensors(context.model, task.layer).linears;
  const order = [...new Set(linears.map((linear) => linear.statistic))];
  for (let sample = 0; sample < batch; sample++) {
    const parts = order.map((name) => {
      const values = statistics.get(name) as Float32Array;
      const width = values.length / batch;
      return { name, values: values.subarray(sample * width, (sample + 1) * width) };
    });
    const row = new Float32Array(parts.reduce((sum, part) => sum + part.values.length, 0));
    let offset = 0;
    for (const { name, values } of parts) {
      checkFinite(values, task.layer, name, first + sample, linears);
      row.set(values, offset);
      offset += values.length;
    }
    context.statistics(task.layer, task.firstSample + first + sample, new Uint8Array(row.buffer));
  }
}

function checkFinite(
  values: Float32Array,
  layer: number,
  statistic: string,
  sample: number,
  linears: readonly { name: string; statistic: string }[],
): void {
  for (let column = 0; column < values.length; column++) {
    if (Number.isFinite(values[column])) continue;
    const tensors = linears.filter((linear) => linear.statistic === statistic).map((linear) => linear.name);
    throw new SecateurError(
      'NonFiniteValue',
      `layer ${layer}, sample ${sample}: the statistic ${statistic} (input of ${tensors.join(', ')}) is ${values[column]} at column ${column}; expected finite sums of squares. The activations overflow or hold NaN: check the checkpoint's weights up to this layer.`,
      { details: { layer, sample, statistic, column, tensors } },
    );
  }
}

/** The stage's hidden states at the layer's lower boundary, out of memory, out of token ids, or out of a snapshot. */
async function loadInput(task: PassTask__Output, context: TaskContext): Promise<StageHidden> {
  const input = task.input as PassInput__Output;
  if (input.snapshot) {
    context.hidden.drop(task.stage);
    const microbatches: Float32Array[] = [];
    for (const ref of input.snapshot.files ?? []) microbatches.push(await readHidden(ref, context));
    return { boundary: task.layer, microbatches };
  }
  if (input.embed) {
    context.hidden.drop(task.stage);
    return { boundary: task.layer, microbatches: await embedAll(task, input, context) };
  }
  return context.hidden.take(task.stage, task.layer);
}

async function readHidden(ref: FileRef, context: TaskContext): Promise<Float32Array> {
  const file = await context.files.localPath(ref);
  const { tensors } = await readSafetensorsHeader(file);
  const location = tensors.get('hidden');
  if (location === undefined || location.dtype !== 'F32') {
    throw new SecateurError(
      'SafetensorsInvalid',
      `${file}: expected hidden states, a tensor "hidden" of type F32; found ${[...tensors.keys()].join(', ') || 'none'}.`,
      { details: { file } },
    );
  }
  const bytes = await readTensorBytes(location);
  context.files.release(ref);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

async function embedAll(
  task: PassTask__Output,
  input: PassInput__Output,
  context: TaskContext,
): Promise<Float32Array[]> {
  const embed = input.embed;
  const { sequenceLength, microbatch } = context.job;
  if (!embed?.calibration || !embed.embedding)
    throw new SecateurError('Internal', 'an embed input names its ids and its table');
  const file = await context.files.localPath(embed.calibration);
  const ids = (await readSafetensorsHeader(file)).tensors.get('input_ids');
  const table = (await context.files.fetchTensors([embed.embedding])).get(embed.embedding.name ?? '');
  if (ids === undefined || table === undefined)
    throw new SecateurError('SafetensorsInvalid', `${file}: expected a tensor input_ids.`, { details: { file } });
  const bytes = await readTensorBytes(ids);
  const all = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const microbatches: Float32Array[] = [];
  for (let first = task.firstSample; first < task.firstSample + task.sampleCount; first += microbatch) {
    const last = Math.min(first + microbatch, task.firstSample + task.sampleCount);
    microbatches.push(await embedTokens(all.subarray(first * sequenceLength, last * sequenceLength), table));
  }
  return microbatches;
}

/** Hands the stage over: its hidden states go to files, one a microbatch, and out of memory. */
async function persist(task: PassTask__Output, context: TaskContext, hidden: StageHidden): Promise<FileRef[]> {
  const snapshots: FileRef[] = [];
  for (const [index, states] of hidden.microbatches.entries()) {
    snapshots.push(await writeSnapshot(context, task.layer + 1, index, states));
    reach('engine.snapshot-written');
  }
  return snapshots;
}
