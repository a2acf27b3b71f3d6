/**
 * Windows of a text through the whole model, one layer in memory at a time: embedding, every decoder layer, and behind
 * the last the negative log likelihood of each window's tokens. Nothing is left in memory afterwards.
 *
 * What a window gives does not depend on which others are in the task, nor on how many go through a layer in one run.
 */
import { invariant, SecateurError } from '../../../shared/errors/secateur-error.ts';
import { membersOf } from '../../../shared/microbatch-set.ts';
import { buildDecoderLayer, chooseAttention } from '../../../shared/onnx/decoder-layer.ts';
import { buildLanguageHead } from '../../../shared/onnx/language-head.ts';
import type { EvaluateTask__Output } from '../../../shared/rpc/generated/secateur/v1/EvaluateTask.ts';
import { setOfRanges } from '../../../shared/rpc/microbatch-ranges.ts';
import { readSafetensorsHeader } from '../../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../../shared/safetensors/read-tensor.ts';
import { embedTokens } from '../../calibration/embed.ts';
import type { Outcome } from '../messages.ts';
import { createHeadSession, createLayerSession, type HeadSession } from '../session.ts';
import type { TaskContext } from '../task-context.ts';

/** Tokens behind the last layer at once: their logits, [tokens, vocabulary] in float32, twice. */
const HEAD_TOKENS_MAX = 256;

/** Windows that go through a layer together. */
interface Run {
  /** Token ids [B, S]. */
  readonly ids: Int32Array;
  /** [B, S, H], at the boundary that has been reached. */
  states: Float32Array;
}

export async function runEvaluate(task: EvaluateTask__Output, context: TaskContext): Promise<Outcome> {
  const windows = [...membersOf(setOfRanges(task.windows))];
  const begunMs = performance.now();
  const runs = await embedRuns(task, context, windows);
  const tokens = windows.length * task.sequenceLength;
  const total = tokens * task.layers.length;
  for (const layer of task.layers.keys()) {
    // Half of a model is worth nothing: who leaves stops at once, and another begins again.
    if (context.isYielding()) return { evaluate: { done: [], nll: [], tokens: 0, computeMs: 0 } };
    await throughLayer(task, context, layer, runs, (done) => context.progress(tokens * layer + done, total, 'tokens'));
  }
  const nll = await likelihoods(task, context, runs);
  const done = task.windows;
  return { evaluate: { done, nll, tokens: total, computeMs: performance.now() - begunMs } };
}

async function embedRuns(task: EvaluateTask__Output, context: TaskContext, windows: readonly number[]): Promise<Run[]> {
  const { ids: file, embedding, sequenceLength, batch } = task;
  invariant(file && embedding, 'an evaluate task names its ids and its embedding');
  const path = await context.files.localPath(file);
  const location = (await readSafetensorsHeader(path)).tensors.get('input_ids');
  if (location === undefined)
    throw new SecateurError('SafetensorsInvalid', `${path}: expected a tensor input_ids.`, { details: { file: path } });
  const bytes = await readTensorBytes(location);
  const all = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const table = (await context.files.fetchTensors([embedding])).get(embedding.name);
  invariant(table !== undefined, 'what was fetched is there');
  const runs: Run[] = [];
  for (let begin = 0; begin < windows.length; begin += batch) {
    const members = windows.slice(begin, begin + batch);
    const ids = new Int32Array(members.length * sequenceLength);
    for (const [index, window] of members.entries()) {
      ids.set(all.subarray(window * sequenceLength, (window + 1) * sequenceLength), index * sequenceLength);
    }
    runs.push({ ids, states: await embedTokens(ids, table) });
  }
  context.files.releaseTensors([embedding]);
  return runs;
}

async function throughLayer(
  task: EvaluateTask__Output,
  context: TaskContext,
  layer: number,
  runs: readonly Run[],
  progress: (tokens: number) => void,
): Promise<void> {
  const { model, files, provider, deviceId, threads } = context;
  const refs = task.layers[layer]?.tensors ?? [];
  const modelBytes = buildDecoderLayer({
    description: model,
    layer,
    tensors: await files.fetchTensors(refs),
    sequenceLength: task.sequenceLength,
    outputs: { statistics: false, hidden: true },
    attention: chooseAttention(model, provider),
    computeDtype: 'F32',
  });
  const session = await createLayerSession(modelBytes, { provider, deviceId, threads });
  try {
    let tokens = 0;
    for (const run of runs) {
      const batch = run.ids.length / task.sequenceLength;
      const { hidden } = await session.run(run.states, [batch, task.sequenceLength, model.hiddenSize]);
      invariant(hidden !== null, 'the graph has hidden states');
      run.states = hidden;
      tokens += run.ids.length;
      progress(tokens);
      // One turn of the event loop between runs: messages that the engine was sent are seen.
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    await session.release();
  }
  files.releaseTensors(refs);
}

/** One sum for each window, over the tokens behind its first, in float64 in their order. */
async function likelihoods(task: EvaluateTask__Output, context: TaskContext, runs: readonly Run[]): Promise<number[]> {
  const { model, files, provider, deviceId, threads } = context;
  const modelBytes = buildLanguageHead(model, await files.fetchTensors(task.head));
  const session = await createHeadSession(modelBytes, { provider, deviceId, threads });
  const sums: number[] = [];
  try {
    for (const { ids, states } of runs) {
      for (let begin = 0; begin < ids.length; begin += task.sequenceLength) {
        const end = begin + task.sequenceLength;
        const window = states.subarray(begin * model.hiddenSize, end * model.hiddenSize);
        sums.push(await sumOfWindow(session, ids.subarray(begin, end), window, model.hiddenSize));
      }
    }
  } finally {
    await session.release();
  }
  checkFinite(task, sums);
  return sums;
}

async function sumOfWindow(
  session: HeadSession,
  ids: Int32Array,
  states: Float32Array,
  hiddenSize: number,
): Promise<number> {
  let sum = 0;
  for (let begin = 0; begin < ids.length - 1; begin += HEAD_TOKENS_MAX) {
    const end = Math.min(begin + HEAD_TOKENS_MAX, ids.length - 1);
    const hidden = states.subarray(begin * hiddenSize, end * hiddenSize);
    for (const value of await session.run(hidden, ids.subarray(begin + 1, end + 1))) sum += value;
  }
  return sum;
}

function checkFinite(task: EvaluateTask__Output, sums: readonly number[]): void {
  const index = sums.findIndex((sum) => !Number.isFinite(sum));
  if (index < 0) return;
  const window = [...membersOf(setOfRanges(task.windows))][index] ?? 0;
  const isDense = task.layers[0]?.tensors[0]?.file?.root === 'FILE_ROOT_SOURCE';
  throw new SecateurError(
    'NonFiniteValue',
    `window ${window} of ${task.ids?.name}: expected a finite likelihood of its tokens; found ${sums[index]}. The activations of the ${isDense ? 'dense' : 'pruned'} model overflow or hold NaN: check the checkpoint.`,
    { details: { window, value: String(sums[index]) } },
  );
}
