/**
 * Windows of a text through the whole model, one layer in memory at a time: embedding, every decoder layer, and behind
 * the last the negative log likelihood of each window's tokens. Nothing is left in memory afterwards.
 *
 * What a window gives does not depend on which others are in the task, nor on how many go through a layer in one run.
 */
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { membersOf } from '../../../shared/microbatch-set.ts';
import { chooseComputeDtype } from '../../../shared/onnx/compute-dtype.ts';
import { buildLanguageHead } from '../../../shared/onnx/language-head.ts';
import type { EvaluateTask__Output } from '../../../shared/rpc/generated/secateur/v1/EvaluateTask.ts';
import { setOfRanges } from '../../../shared/rpc/microbatch-ranges.ts';
import type { Outcome } from '../messages.ts';
import { createHeadSession, type HeadSession } from '../session.ts';
import { headLoad, sizedHeadSession } from '../sized-sessions.ts';
import type { TaskContext } from '../task-context.ts';
import { embedWindows, throughLayer, type WindowRun } from '../window-runs.ts';

/** Tokens behind the last layer at once: their logits, [tokens, vocabulary] in float32, twice. */
const HEAD_TOKENS_MAX = 256;

export async function runEvaluate(task: EvaluateTask__Output, context: TaskContext): Promise<Outcome> {
  const windows = [...membersOf(setOfRanges(task.windows))];
  const begunMs = performance.now();
  const runs = await embedWindows(task, windows, context);
  const tokens = windows.length * task.sequenceLength;
  // The head counts as one more layer.
  const [throughLayers, total] = [tokens * task.layers.length, tokens * (task.layers.length + 1)];
  for (const layer of task.layers.keys()) {
    // Half of a model is worth nothing: who leaves stops at once, and another begins again.
    if (context.isYielding()) return { evaluate: { done: [], nll: [], tokens: 0, computeMs: 0 } };
    const refs = task.layers[layer]?.tensors ?? [];
    await throughLayer(layer, refs, task, runs, context, (done) => {
      context.progress(tokens * layer + done, total, 'tokens');
    });
  }
  const nll = await likelihoods(task, context, runs, (done) => context.progress(throughLayers + done, total, 'tokens'));
  const done = task.windows;
  return { evaluate: { done, nll, tokens: total, computeMs: performance.now() - begunMs } };
}

/** One sum for each window, over the tokens behind its first, in float64 in their order. */
async function likelihoods(
  task: EvaluateTask__Output,
  context: TaskContext,
  runs: readonly WindowRun[],
  progress: (tokens: number) => void,
): Promise<number[]> {
  const { model, files, provider, deviceId, threads } = context;
  const tensors = await files.fetchTensors(task.head);
  const computeDtype = chooseComputeDtype(provider, tensors.values());
  const modelBytes = buildLanguageHead(model, tensors, computeDtype);
  const session = await sizedHeadSession(
    () => createHeadSession(modelBytes, { provider, deviceId, threads }),
    headLoad(model, computeDtype),
    { size: context.runSizes.head, notice: context.notice },
  );
  const sums: number[] = [];
  try {
    for (const { ids, states } of runs) {
      for (let begin = 0; begin < ids.length; begin += task.sequenceLength) {
        const end = begin + task.sequenceLength;
        const window = states.subarray(begin * model.hiddenSize, end * model.hiddenSize);
        const before = sums.length * task.sequenceLength;
        const told = (tokens: number): void => progress(before + tokens);
        sums.push(await sumOfWindow(session, ids.subarray(begin, end), window, model.hiddenSize, told));
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
  progress: (tokens: number) => void,
): Promise<number> {
  let sum = 0;
  for (let begin = 0; begin < ids.length - 1; begin += HEAD_TOKENS_MAX) {
    const end = Math.min(begin + HEAD_TOKENS_MAX, ids.length - 1);
    const hidden = states.subarray(begin * hiddenSize, end * hiddenSize);
    for (const value of await session.run(hidden, ids.subarray(begin + 1, end + 1))) sum += value;
    progress(end);
    // One turn of the event loop between runs: what was said goes out.
    await new Promise((resolve) => setImmediate(resolve));
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
