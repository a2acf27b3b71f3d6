/**
 * Windows of token ids through the whole model with one layer in memory at a time: their embedding, and the way through a
 * layer. Nothing depends on how windows are grouped into runs.
 */
import { invariant } from '../../shared/errors/secateur-error.ts';
import { chooseComputeDtype } from '../../shared/onnx/compute-dtype.ts';
import { buildDecoderLayer, chooseAttention } from '../../shared/onnx/decoder-layer.ts';
import type { FileRef__Output } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { TensorRef__Output } from '../../shared/rpc/generated/secateur/v1/TensorRef.ts';
import { embedTokens } from '../calibration/embed.ts';
import { readIds } from '../calibration/stored-ids.ts';
import { layerSettings } from './layer-settings.ts';
import { createLayerSession } from './session.ts';
import { layerLoad, sizedLayerSession } from './sized-sessions.ts';
import type { TaskContext } from './task-context.ts';

/** Windows that go through a layer together. */
export interface WindowRun {
  /** Token ids [B, S]. */
  readonly ids: Int32Array;
  /** [B, S, H], at the boundary that has been reached. */
  states: Float32Array;
}

export interface WindowSource {
  /** input_ids [windows, sequenceLength] */
  readonly ids: FileRef__Output | null;
  readonly embedding: TensorRef__Output | null;
  readonly sequenceLength: number;
  /** Windows in a run. */
  readonly batch: number;
}

/** @throws as embedTokens; SafetensorsInvalid */
export async function embedWindows(
  { ids: file, embedding, sequenceLength, batch }: WindowSource,
  windows: readonly number[],
  { files }: TaskContext,
): Promise<WindowRun[]> {
  invariant(file && embedding, 'a task through the whole model names its ids and its embedding');
  const all = await readIds(await files.localPath(file));
  const table = (await files.fetchTensors([embedding])).get(embedding.name);
  invariant(table !== undefined, 'what was fetched is there');
  const runs: WindowRun[] = [];
  for (let begin = 0; begin < windows.length; begin += batch) {
    const members = windows.slice(begin, begin + batch);
    const ids = new Int32Array(members.length * sequenceLength);
    for (const [index, window] of members.entries()) {
      ids.set(all.subarray(window * sequenceLength, (window + 1) * sequenceLength), index * sequenceLength);
    }
    runs.push({ ids, states: await embedTokens(ids, table) });
  }
  files.releaseTensors([embedding]);
  return runs;
}

/**
 * Takes every run from the layer's lower boundary to its upper one.
 *
 * @param size tokens of all windows, whoever has them, and of one
 */
export async function throughLayer(
  layer: number,
  refs: readonly TensorRef__Output[],
  size: { readonly tokens: number; readonly sequenceLength: number },
  runs: readonly WindowRun[],
  context: TaskContext,
  progress: (tokens: number) => void,
): Promise<void> {
  const { model, files, provider } = context;
  const { sequenceLength } = size;
  const tensors = await files.fetchTensors(refs);
  const computeDtype = chooseComputeDtype(provider, tensors.values());
  const modelBytes = buildDecoderLayer({
    description: model,
    layer,
    tensors,
    sequenceLength,
    outputs: { statistics: false, hidden: true },
    attention: chooseAttention(model, provider, computeDtype),
    computeDtype,
  });
  const settings = layerSettings(context, size.tokens, sequenceLength);
  const session = await sizedLayerSession(
    () => createLayerSession(modelBytes, settings),
    layerLoad(model, { layer, sequenceLength, computeDtype, tensors: tensors.values(), inputs: [] }),
    { size: context.runSizes.layer, notice: context.notice },
  );
  try {
    let tokens = 0;
    for (const run of runs) {
      const batch = run.ids.length / sequenceLength;
      const { hidden } = await session.run(run.states, [batch, sequenceLength, model.hiddenSize]);
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
