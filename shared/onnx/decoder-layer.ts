/**
 * The ONNX model of one decoder layer, with the statistics that pruning needs.
 *
 * B samples (known only when the model runs), S tokens a sample, H hidden size, D input features of a linear.
 *   input   `hidden`      float32 [B, S, H]
 *   output  `nextHidden`  float32 [B, S, H], where asked for
 *   output  one for each of STATISTICS, float32 [B, D], where asked for: Σ over the sample's tokens of the squared input
 *   output  `input.<statistic>`, float32 [B · S, D], for those asked for: the input itself
 *
 * Statistics are kept for each sample, so that they do not depend on how samples are grouped into runs; the coordinator
 * adds samples in float64. Weights are not in the model: they are mapped from the checkpoint's own files.
 * The layer follows huggingface/transformers' LlamaDecoderLayer; with a computeDtype of 16 bits, as it runs in that type:
 * values are rounded to it between operators, statistics and mean squares are float32.
 */
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { invariant } from '../errors/secateur-error.ts';
import { layerTensors, type ModelDescription, type Statistic, statisticWidth } from '../models/family.ts';
import type { FloatDtype } from '../safetensors/dtype.ts';
import { type AttentionOperator, addAttention } from './attention.ts';
import { DATA_TYPE_OF, float, GraphBuilder, int, ints } from './graph.ts';
import { DATA_TYPE } from './model-proto.ts';
import { addParameter } from './parameter.ts';

export const LAYER_INPUT = 'hidden';
export const LAYER_OUTPUT = 'nextHidden';

const BATCH = 'batch';

/** The CPU kernel of GroupQueryAttention rotates in blocks of this many elements. */
const ROTARY_BLOCK = 16;

/** Name of the output that is the input which a statistic is of. */
export function inputOutput(statistic: Statistic): string {
  return `input.${statistic}`;
}

/** Names of the outputs that compare one linear under two weights: mlp.down_proj → error.mlp.down_proj, … */
export function comparisonOutputs(linear: string): { readonly error: string; readonly output: string } {
  return { error: `error.${linear}`, output: `output.${linear}` };
}

/**
 * GroupQueryAttention where the provider has it: the CPU has F32 and F16, CUDA F16 and BF16, and rotary heads are
 * multiples of 16 (read in ONNX Runtime 1.30; the CPU refuses others when the graph runs).
 */
export function chooseAttention(
  description: ModelDescription,
  provider: 'cpu' | 'cuda',
  computeDtype: FloatDtype,
): AttentionOperator {
  const typeRefused = provider === 'cuda' ? computeDtype === 'F32' : computeDtype === 'BF16';
  return !typeRefused && description.headDim % ROTARY_BLOCK === 0 ? 'groupQueryAttention' : 'attention';
}

export interface DecoderLayerOptions {
  readonly description: ModelDescription;
  readonly layer: number;
  /** At least the layer's tensors by name; absolute, resolved paths (no symbolic links). */
  readonly tensors: ReadonlyMap<string, TensorLocation>;
  readonly sequenceLength: number;
  /** Without `hidden` the graph ends at the input of down_proj, and that weight is not read. */
  readonly outputs: {
    readonly statistics: boolean;
    readonly hidden: boolean;
    readonly inputs?: readonly Statistic[];
  };
  readonly attention: AttentionOperator;
  /**
   * Other weights of the same layer, by name. Each linear then is computed with both, on the same input, and the graph has
   * the outputs comparisonOutputs names: float32 [B, O], over the sample's tokens the squares of what the other weights
   * change in its output, and of the output.
   */
  readonly compared?: ReadonlyMap<string, TensorLocation>;
  /** Type of activations and products (compute-dtype.ts); weights of another type are cast in the graph. */
  readonly computeDtype: FloatDtype;
}

/**
 * Bytes of the layer's ONNX model.
 *
 * @throws CheckpointInvalid where a tensor is missing, or of a type or shape that does not fit the description
 */
export function buildDecoderLayer(options: DecoderLayerOptions): Uint8Array {
  const { description, sequenceLength, outputs, computeDtype } = options;
  const { compared } = options;
  const isMeasured = outputs.statistics || (outputs.inputs ?? []).length > 0;
  invariant(isMeasured || outputs.hidden || compared, 'a decoder layer has at least one output');
  const { hiddenSize } = description;
  const builder = new LayerBuilder(options);
  const { graph } = builder;

  graph.input(LAYER_INPUT, DATA_TYPE.FLOAT, [BATCH, sequenceLength, hiddenSize]);
  const hidden = computeDtype === 'F32' ? LAYER_INPUT : graph.cast(LAYER_INPUT, DATA_TYPE_OF[computeDtype]);

  const attentionInput = builder.rows(builder.norm(hidden, 'input_layernorm'), hiddenSize);
  builder.statistic('attentionInput', attentionInput);
  const context = addAttention(graph, {
    description,
    sequenceLength,
    computeDtype,
    operator: options.attention,
    hidden: LAYER_INPUT,
    query: builder.perSample(...builder.linear(attentionInput, 'self_attn.q_proj')),
    key: builder.perSample(...builder.linear(attentionInput, 'self_attn.k_proj')),
    value: builder.perSample(...builder.linear(attentionInput, 'self_attn.v_proj')),
  });
  const attentionOutput = builder.rows(context, description.headCount * description.headDim);
  builder.statistic('attentionOutput', attentionOutput);
  const attended = builder.perSample(...builder.linear(attentionOutput, 'self_attn.o_proj'));
  const afterAttention = graph.operator('Add', [hidden, attended]);

  const mlpInput = builder.rows(builder.norm(afterAttention, 'post_attention_layernorm'), hiddenSize);
  builder.statistic('mlpInput', mlpInput);
  const [gate] = builder.linear(mlpInput, 'mlp.gate_proj');
  const [up] = builder.linear(mlpInput, 'mlp.up_proj');
  const silu = graph.operator('Mul', [gate, graph.operator('Sigmoid', [gate])]);
  const mlpActivation = graph.operator('Mul', [silu, up]);
  builder.statistic('mlpActivation', mlpActivation);

  if (outputs.hidden || compared) {
    const down = builder.perSample(...builder.linear(mlpActivation, 'mlp.down_proj'));
    if (!outputs.hidden) return graph.encode();
    if (computeDtype === 'F32') graph.operator('Add', [afterAttention, down], { output: LAYER_OUTPUT });
    else graph.cast(graph.operator('Add', [afterAttention, down]), DATA_TYPE.FLOAT, LAYER_OUTPUT);
    graph.output(LAYER_OUTPUT, DATA_TYPE.FLOAT, [BATCH, sequenceLength, hiddenSize]);
  }
  return graph.encode();
}

class LayerBuilder {
  readonly graph: GraphBuilder;
  private readonly options: DecoderLayerOptions;
  private readonly prefix: string;
  private readonly shapes: ReadonlyMap<string, readonly number[]>;

  constructor(options: DecoderLayerOptions) {
    this.options = options;
    this.prefix = `model.layers.${options.layer}.`;
    this.graph = new GraphBuilder(`decoder_layer_${options.layer}`);
    const { linears, others } = layerTensors(options.description, options.layer);
    this.shapes = new Map([
      ...linears.map(({ name, outFeatures, inFeatures }) => [name, [outFeatures, inFeatures]] as const),
      ...others.map(({ name, shape }) => [name, shape] as const),
    ]);
  }

  /** RMSNorm over the last dimension, its mean square in float32. [B, S, H] → [B, S, H] */
  norm(hidden: string, name: string): string {
    return this.graph.operator('SimplifiedLayerNormalization', [hidden, this.parameter(`${name}.weight`)], {
      attributes: { axis: int(-1), epsilon: float(this.options.description.rmsNormEpsilon), stash_type: int(1) },
    });
  }

  /** x Wᵀ + b for W [O, I] as the checkpoint stores it. [T, I] → [T, O]. @returns the value and O */
  linear(input: string, linear: string): [value: string, outFeatures: number] {
    const weight = `${linear}.weight`;
    const bias = `${linear}.bias`;
    const [outFeatures] = this.shapes.get(this.prefix + weight) as readonly [number, number];
    const parameters = [weight, ...(this.shapes.has(this.prefix + bias) ? [bias] : [])];
    const value = this.graph.operator('Gemm', [input, ...parameters.map((name) => this.parameter(name))], {
      attributes: { transB: int(1) },
    });
    this.compare(input, linear, value, outFeatures);
    return [value, outFeatures];
  }

  /** `value` [T, O] is what the layer's own weights make of `input` [T, I]. */
  private compare(input: string, linear: string, value: string, outFeatures: number): void {
    const { compared } = this.options;
    if (compared === undefined) return;
    const { graph } = this;
    const weight = this.parameterOf(compared, `${linear}.weight`, 'compared/');
    const bias = `${linear}.bias`;
    const rest = this.shapes.has(this.prefix + bias) ? [this.parameterOf(compared, bias, 'compared/')] : [];
    const other = graph.operator('Gemm', [input, weight, ...rest], { attributes: { transB: int(1) } });
    const names = comparisonOutputs(linear);
    // Their difference may be far below what 16 bits tell apart of each.
    const [output, otherOutput] = [this.float32(value), this.float32(other)];
    this.sumOfSquares(graph.operator('Sub', [output, otherOutput]), outFeatures, names.error);
    this.sumOfSquares(output, outFeatures, names.output);
  }

  /** [B, S, D] → [T, D], T = B · S: what Gemm takes */
  rows(value: string, width: number): string {
    return this.graph.reshape(value, [-1, width]);
  }

  /** [T, D] → [B, S, D] */
  perSample(value: string, width: number): string {
    return this.graph.reshape(value, [-1, this.options.sequenceLength, width]);
  }

  /**
   * Declares the output [B, D] of the squares of `input` [T, D], added over each sample's tokens in float32.
   *
   * The runtime adds a middle dimension in another order when the batch is one. Only the first of two dimensions is
   * added in one order always, so the samples go side by side, [S, B · D]. Two stages of about √S terms each, instead of
   * one of S, keep the rounding error of long sequences small.
   */
  statistic(name: Statistic, input: string): void {
    const { description, outputs } = this.options;
    const width = statisticWidth(description, name);
    if (outputs.statistics) this.sumOfSquares(this.float32(input), width, name);
    if (!outputs.inputs?.includes(name)) return;
    this.graph.cast(input, DATA_TYPE.FLOAT, inputOutput(name));
    this.graph.output(inputOutput(name), DATA_TYPE.FLOAT, ['tokens', width]);
  }

  private float32(value: string): string {
    return this.options.computeDtype === 'F32' ? value : this.graph.cast(value, DATA_TYPE.FLOAT);
  }

  private sumOfSquares(float32: string, width: number, name: string): void {
    const { sequenceLength } = this.options;
    const { graph } = this;
    const squares = this.perSample(graph.operator('Mul', [float32, float32]), width);
    let sums = graph.operator('Transpose', [squares], { attributes: { perm: ints([1, 0, 2]) } });
    for (const terms of accumulationStages(sequenceLength)) {
      const rows = graph.reshape(sums, [terms, -1]);
      sums = graph.operator('ReduceSum', [rows, graph.int64([0])], { attributes: { keepdims: int(0) } });
    }
    graph.operator('Reshape', [sums, graph.int64([-1, width])], { output: name });
    graph.output(name, DATA_TYPE.FLOAT, [BATCH, width]);
  }

  private parameter(name: string): string {
    return this.parameterOf(this.options.tensors, name);
  }

  private parameterOf(tensors: ReadonlyMap<string, TensorLocation>, name: string, label = ''): string {
    const { computeDtype } = this.options;
    const fullName = this.prefix + name;
    const shape = this.shapes.get(fullName);
    invariant(shape !== undefined, `${fullName} is a tensor of the layer`);
    return addParameter(this.graph, tensors, { name: fullName, shape, computeDtype, label });
  }
}

/** Two factors of the sequence length, as near to each other as they can be; one where it is prime. */
function accumulationStages(sequenceLength: number): readonly number[] {
  let factor = Math.floor(Math.sqrt(sequenceLength));
  while (sequenceLength % factor !== 0) factor--;
  return factor === 1 ? [sequenceLength] : [factor, sequenceLength / factor];
}
