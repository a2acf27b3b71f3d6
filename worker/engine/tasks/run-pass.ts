/**
 * Microbatches through one decoder layer, one after the other: column sums of squares of every linear's input, per
 * sample, or the products of its columns, of all samples of the task (hessian-files.ts); and the next hidden states, which
 * take the place of the ones before.
 *
 * What a microbatch gives does not depend on which others are in the task. After each one the pass can be asked to stop:
 * what is done is done, the rest is as it was.
 *
 * Statistics of a sample go to the coordinator as one float32 row: the layer's statistics one after the other, in the
 * order in which the model lists its linears.
 */
import { invariant, SecateurError, toSecateurError } from '../../../shared/errors/secateur-error.ts';
import { reach, slowDown } from '../../../shared/failpoint.ts';
import { contains, countOf, lowest, type MicrobatchSet, membersOf } from '../../../shared/microbatch-set.ts';
import { layerTensors, STATISTICS, type Statistic } from '../../../shared/models/family.ts';
import { chooseComputeDtype } from '../../../shared/onnx/compute-dtype.ts';
import { buildDecoderLayer, chooseAttention } from '../../../shared/onnx/decoder-layer.ts';
import type { EmbedInput__Output } from '../../../shared/rpc/generated/secateur/v1/EmbedInput.ts';
import type { PassTask__Output } from '../../../shared/rpc/generated/secateur/v1/PassTask.ts';
import type { SnapshotFile } from '../../../shared/rpc/generated/secateur/v1/SnapshotFile.ts';
import { rangesOf, setOfRanges } from '../../../shared/rpc/microbatch-ranges.ts';
import { embedTokens } from '../../calibration/embed.ts';
import { readIds } from '../../calibration/stored-ids.ts';
import { ColumnProducts, TileScratch } from '../../methods/sparsegpt/column-products.ts';
import { writeProducts } from '../hessian-files.ts';
import { layerSettings } from '../layer-settings.ts';
import { EngineMatrixProduct } from '../matrix-product.ts';
import type { Outcome } from '../messages.ts';
import { createLayerSession, type LayerOutputs, type LayerSession } from '../session.ts';
import { layerLoad, sizedLayerSession } from '../sized-sessions.ts';
import { readSnapshot, writeSnapshot } from '../snapshot.ts';
import type { TaskContext } from '../task-context.ts';

/** Hidden states [B, S, H] of a microbatch at the task's layer. */
type Input = (microbatch: number) => Float32Array | Promise<Float32Array>;

/** What a pass has done and spent so far. */
interface Done {
  count: number;
  tokens: number;
  computeMs: number;
  snapshotMs: number;
  /** Of snapshots. */
  bytesRead: number;
  readonly snapshots: SnapshotFile[];
}

interface Pass {
  readonly task: PassTask__Output;
  readonly context: TaskContext;
  readonly session: LayerSession;
  readonly input: Input;
  /** Whose next hidden states go to files. */
  readonly write: MicrobatchSet;
  /** Whose hidden states are not needed in memory afterwards. */
  readonly drop: MicrobatchSet;
  /** By statistic; empty where they are not asked for. */
  readonly products: ReadonlyMap<Statistic, ColumnProducts>;
  readonly tokensTotal: number;
  readonly done: Done;
}

export async function runPass(task: PassTask__Output, context: TaskContext): Promise<Outcome> {
  const begunMs = performance.now();
  const { microbatch: size, samples, sequenceLength } = context.job;
  const microbatches = setOfRanges(task.microbatches);
  const tokensTotal = countOf(microbatches) * size * sequenceLength;
  const located = await context.files.fetchTensors(task.tensors);
  // A word before the session is created, which can say none: fetching, or making, a large layer takes seconds.
  context.progress(0, tokensTotal, 'tokens');
  await readNextAhead(task, context);
  const input = await openInput(task, context);
  const product = new EngineMatrixProduct(context.threads);
  const products = productsOf(task, product);
  const computeDtype = chooseComputeDtype(context.provider, located.values());
  const inputs = [...products.keys()];
  const modelBytes = buildDecoderLayer({
    description: context.model,
    layer: task.layer,
    tensors: located,
    sequenceLength,
    outputs: { statistics: task.statistics, hidden: task.hidden, inputs },
    attention: chooseAttention(context.model, context.provider, computeDtype),
    computeDtype,
  });
  const settings = layerSettings(context, samples * sequenceLength, sequenceLength);
  const loaded = { layer: task.layer, sequenceLength, computeDtype, tensors: located.values(), inputs };
  const session = await sizedLayerSession(
    () => createLayerSession(modelBytes, settings),
    layerLoad(context.model, loaded),
    { size: context.runSizes.layer, notice: context.notice },
  );
  const loadMs = performance.now() - begunMs;
  const pass: Pass = {
    task,
    context,
    session,
    input,
    write: setOfRanges(task.write),
    drop: setOfRanges(task.drop),
    products,
    tokensTotal,
    done: { count: 0, tokens: 0, computeMs: 0, snapshotMs: 0, bytesRead: 0, snapshots: [] },
  };
  try {
    for (const microbatch of membersOf(microbatches)) {
      if (context.isYielding()) break;
      if (!(await runIfThere(pass, microbatch))) break;
      // One turn of the event loop between runs: messages that the engine was sent are seen.
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    await Promise.all([session.release(), product.release()]);
  }
  reach('engine.pass-computed');
  const { count, bytesRead, ...spent } = pass.done;
  const layerBytes = task.tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const hasProducts = products.size > 0 && count > 0;
  const hessian = hasProducts ? await writeProducts(context, task.layer, task.suffix, products) : null;
  return {
    pass: {
      ...spent,
      done: rangesOf(lowest(microbatches, count)),
      loadMs,
      hessian,
      bytesRead: layerBytes + bytesRead,
      // In kilobytes, as Node has it of the system.
      peakResidentBytes: process.resourceUsage().maxRSS * 1024,
    },
  };
}

/** Of files in place only: what comes through the coordinator is in the system's memory since it came. */
async function readNextAhead({ next }: PassTask__Output, { files, readAhead }: TaskContext): Promise<void> {
  if (next.length === 0 || files.kind !== 'direct') return;
  try {
    readAhead([...(await files.fetchTensors(next)).values()]);
  } catch {
    // What is wrong with the next layer's files is said when they are needed.
  }
}

/** Of the statistics that the task brought sums of. */
function productsOf(task: PassTask__Output, product: EngineMatrixProduct): Map<Statistic, ColumnProducts> {
  const scratch = new TileScratch();
  const wanted = STATISTICS.flatMap((statistic) => {
    const found = task.sums.find((sum) => sum.statistic === statistic);
    if (!task.hessian || found === undefined) return [];
    // Decoded bytes stand at any offset: a copy is aligned.
    const sums = new Float64Array(Uint8Array.from(found.float64).buffer);
    return [[statistic, new ColumnProducts({ layer: task.layer, statistic }, sums, product, scratch)] as const];
  });
  return new Map(wanted);
}

/** Sample by sample: what one adds does not depend on the others of its run. */
async function addProducts({ products }: Pass, { inputs }: LayerOutputs, batch: number): Promise<void> {
  for (const [statistic, sum] of products) {
    const values = inputs.get(statistic) as Float32Array;
    const length = values.length / batch;
    for (let sample = 0; sample < batch; sample++)
      await sum.add(values.subarray(sample * length, (sample + 1) * length));
  }
}

/** False where an input is missing behind others that are done: those count, and the next task begins with this one. */
async function runIfThere(pass: Pass, microbatch: number): Promise<boolean> {
  try {
    await runMicrobatch(pass, microbatch);
    return true;
  } catch (thrown) {
    if (pass.done.count === 0 || toSecateurError(thrown).code !== 'InputsMissing') throw thrown;
    return false;
  }
}

async function runMicrobatch(pass: Pass, microbatch: number): Promise<void> {
  const { task, context, done } = pass;
  const { hidden, job, model } = context;
  const { layer } = task;
  const readMs = performance.now();
  const states = await pass.input(microbatch);
  if (task.input?.snapshot) {
    done.snapshotMs += performance.now() - readMs;
    done.bytesRead += states.byteLength;
  }
  const batch = states.length / (job.sequenceLength * model.hiddenSize);
  const begunMs = performance.now();
  const outputs = await pass.session.run(states, [batch, job.sequenceLength, model.hiddenSize]);
  await addProducts(pass, outputs, batch);
  await slowDown();
  done.computeMs += performance.now() - begunMs;
  if (task.statistics) sendStatistics(task, context, outputs.statistics, microbatch * job.microbatch, batch);
  const next = outputs.hidden;
  const boundary = next === null ? layer : layer + 1;
  if (next !== null && contains(pass.write, microbatch)) {
    const writtenMs = performance.now();
    done.snapshots.push(await writeSnapshot(context, boundary, microbatch, next, task.suffix));
    done.snapshotMs += performance.now() - writtenMs;
  }
  hidden.drop(layer, microbatch);
  if (!contains(pass.drop, microbatch)) hidden.put(boundary, microbatch, next ?? states);
  done.count += 1;
  done.tokens += batch * job.sequenceLength;
  context.progress(done.tokens, pass.tokensTotal, 'tokens');
  reach('engine.pass-microbatch');
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
    context.statistics(task.layer, first + sample, new Uint8Array(row.buffer));
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

/** Where a microbatch's hidden states at the layer's lower boundary come from: memory, token ids, or a file. */
async function openInput(task: PassTask__Output, context: TaskContext): Promise<Input> {
  const { snapshot, embed } = task.input ?? {};
  if (snapshot) {
    const files = new Map(snapshot.files.map((each) => [each.microbatch, each]));
    return (microbatch) => readSnapshot(files.get(microbatch) ?? { boundary: task.layer, microbatch }, context);
  }
  if (embed) return embedder(embed, context);
  return (microbatch) => context.hidden.get(task.layer, microbatch);
}

async function embedder(embed: EmbedInput__Output, context: TaskContext): Promise<Input> {
  const { sequenceLength, microbatch: size, samples } = context.job;
  if (!embed.calibration || !embed.embedding)
    throw new SecateurError('Internal', 'an embed input names its ids and its table');
  const all = await readIds(await context.files.localPath(embed.calibration));
  const table = (await context.files.fetchTensors([embed.embedding])).get(embed.embedding.name);
  invariant(table !== undefined, 'what was fetched is there');
  return (microbatch) => {
    const [first, end] = [microbatch * size, Math.min((microbatch + 1) * size, samples)];
    return embedTokens(all.subarray(first * sequenceLength, end * sequenceLength), table);
  };
}
