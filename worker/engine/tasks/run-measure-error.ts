/**
 * What pruning changed in the output of every linear, on calibration samples: Σ (W x - W' x)² and Σ (W x)² over a sample's
 * tokens and the linear's output features, with the inputs x that the method saw (those of the dense layer, behind the
 * pruned layers before it or behind the dense ones).
 *
 * Samples go one by one, so that what one gives does not depend on the others.
 */
import { membersOf } from '../../../shared/microbatch-set.ts';
import { layerTensors } from '../../../shared/models/family.ts';
import { chooseComputeDtype } from '../../../shared/onnx/compute-dtype.ts';
import { buildDecoderLayer, chooseAttention } from '../../../shared/onnx/decoder-layer.ts';
import type { MeasureErrorTask__Output } from '../../../shared/rpc/generated/secateur/v1/MeasureErrorTask.ts';
import { setOfRanges } from '../../../shared/rpc/microbatch-ranges.ts';
import { layerSettings } from '../layer-settings.ts';
import type { Outcome } from '../messages.ts';
import { namingLoad } from '../run-size.ts';
import { createComparisonSession } from '../session.ts';
import { layerLoad } from '../sized-sessions.ts';
import type { TaskContext } from '../task-context.ts';
import { embedWindows, throughLayer, type WindowRun } from '../window-runs.ts';

interface Sums {
  readonly error: number[];
  readonly output: number[];
}

export async function runMeasureError(task: MeasureErrorTask__Output, context: TaskContext): Promise<Outcome> {
  const samples = [...membersOf(setOfRanges(task.windows))];
  const begunMs = performance.now();
  const runs = await embedWindows({ ...task, batch: 1 }, samples, context);
  const layerCount = task.source.length;
  const tokens = samples.length * task.sequenceLength;
  // Through each layer twice: once to compare, once to go on.
  const total = 2 * tokens * layerCount;
  const found: Sums[] = samples.map(() => ({ error: [], output: [] }));
  for (let layer = 0; layer < layerCount; layer++) {
    // Half of a model is worth nothing: who leaves stops at once, and another begins again.
    if (context.isYielding()) return { measureError: { done: [], error: [], output: [], computeMs: 0 } };
    const told = (done: number): void => context.progress(2 * layer * tokens + done, total, 'tokens');
    await compareLayer(task, context, layer, runs, found, told);
    const through = task.propagatePruned ? task.committed : task.source;
    const refs = through[layer]?.tensors ?? [];
    await throughLayer(layer, refs, sizeOf(task, context), runs, context, (done) => told(tokens + done));
  }
  const error = found.flatMap((sums) => sums.error);
  const output = found.flatMap((sums) => sums.output);
  return { measureError: { done: task.windows, error, output, computeMs: performance.now() - begunMs } };
}

/** As in the passes that calibrated: the inputs are those that the method saw. */
function sizeOf({ sequenceLength }: MeasureErrorTask__Output, { job }: TaskContext) {
  return { tokens: job.samples * sequenceLength, sequenceLength };
}

/** Adds two sums a linear to each sample's. */
async function compareLayer(
  task: MeasureErrorTask__Output,
  context: TaskContext,
  layer: number,
  runs: readonly WindowRun[],
  found: readonly Sums[],
  progress: (tokens: number) => void,
): Promise<void> {
  const { model, files, provider } = context;
  const [source, committed] = [task.source[layer]?.tensors ?? [], task.committed[layer]?.tensors ?? []];
  const [tensors, compared] = [await files.fetchTensors(source), await files.fetchTensors(committed)];
  const computeDtype = chooseComputeDtype(provider, tensors.values());
  const modelBytes = buildDecoderLayer({
    description: model,
    layer,
    tensors,
    compared,
    sequenceLength: task.sequenceLength,
    outputs: { statistics: false, hidden: false },
    attention: chooseAttention(model, provider, computeDtype),
    computeDtype,
  });
  const linears = layerTensors(model, layer).linears.map(({ linear }) => linear);
  const { tokens, sequenceLength } = sizeOf(task, context);
  const settings = layerSettings(context, tokens, sequenceLength);
  const both = [...tensors.values(), ...compared.values()];
  const load = layerLoad(model, { layer, sequenceLength, computeDtype, tensors: both, inputs: [] });
  const session = await namingLoad(load, 0, () => createComparisonSession(modelBytes, linears, settings));
  try {
    for (const [index, { states }] of runs.entries()) {
      const sums = await namingLoad(load, 1, () => session.run(states, [1, sequenceLength, model.hiddenSize]));
      for (const linear of linears) {
        found[index]?.error.push(sum(sums.get(linear)?.error ?? []));
        found[index]?.output.push(sum(sums.get(linear)?.output ?? []));
      }
      progress((index + 1) * sequenceLength);
      // One turn of the event loop between runs: what was said goes out.
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    await session.release();
  }
  files.releaseTensors([...source, ...committed]);
}

/** In float64, in order: the runtime adds tokens, in an order that no thread can move; output features are added here. */
function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
