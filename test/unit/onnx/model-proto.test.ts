/** The encoder against an independent decoder: the schema of onnx/onnx.proto in the package onnx-proto. */
import { onnx } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import type { TensorLocation } from '../../../shared/checkpoint/tensor-location.ts';
import { layerTensors, type ModelDescription, STATISTICS } from '../../../shared/models/family.ts';
import { buildDecoderLayer, chooseAttention, type DecoderLayerOptions } from '../../../shared/onnx/decoder-layer.ts';
import { float, GraphBuilder, int, ints } from '../../../shared/onnx/graph.ts';
import { DTYPE_SIZE_BYTES, type FloatDtype } from '../../../shared/safetensors/dtype.ts';

const MODEL: ModelDescription = {
  architecture: 'LlamaForCausalLM',
  hiddenSize: 64,
  intermediateSize: 96,
  layerCount: 4,
  headCount: 4,
  keyValueHeadCount: 2,
  headDim: 16,
  vocabularySize: 128,
  rmsNormEpsilon: 1e-5,
  rope: { theta: 10_000, scaling: { type: 'none' } },
  slidingWindow: null,
  maxPositionEmbeddings: 64,
  tieWordEmbeddings: false,
  attentionBias: false,
  mlpBias: false,
};
/** Beyond 32 bits: shards of large models are. */
const FAR = 6_000_000_001;

function located(description: ModelDescription, layer: number, dtype: FloatDtype): Map<string, TensorLocation> {
  const { linears, others } = layerTensors(description, layer);
  const all = [
    ...linears.map(({ name, outFeatures, inFeatures }) => ({ name, shape: [outFeatures, inFeatures] })),
    ...others,
  ];
  return new Map(
    all.map(({ name, shape }, index) => {
      const sizeBytes = DTYPE_SIZE_BYTES[dtype] * shape.reduce((product, dim) => product * dim, 1);
      return [name, { name, dtype, shape, file: '/models/a b/shard.safetensors', offset: FAR + index, sizeBytes }];
    }),
  );
}

function build(changes: Partial<DecoderLayerOptions> & { dtype?: FloatDtype } = {}): onnx.ModelProto {
  const description = changes.description ?? MODEL;
  const bytes = buildDecoderLayer({
    description,
    layer: 2,
    tensors: located(description, 2, changes.dtype ?? 'BF16'),
    sequenceLength: 13,
    outputs: { statistics: true, hidden: true },
    attention: 'groupQueryAttention',
    computeDtype: 'F32',
    ...changes,
  });
  return onnx.ModelProto.decode(bytes);
}

function graphOf(model: onnx.ModelProto): onnx.IGraphProto {
  if (!model.graph) throw new Error('no graph');
  return model.graph;
}

function operators(model: onnx.ModelProto): (string | null | undefined)[] {
  return (graphOf(model).node ?? []).map((node) => node.opType);
}

/** Dimensions as numbers, and names where they are symbolic. */
function dims(value: onnx.IValueInfoProto): unknown[] {
  const shape = value.type?.tensorType?.shape?.dim ?? [];
  return shape.map((dim) => dim.dimParam || Number(dim.dimValue));
}

describe('an encoded model, decoded by the official schema', () => {
  it('names its operator sets, inputs and outputs', () => {
    const model = build();
    expect(Number(model.irVersion)).toBe(11);
    expect(model.opsetImport.map(({ domain, version }) => [domain, Number(version)])).toEqual([
      ['', 23],
      ['com.microsoft', 1],
    ]);
    const graph = graphOf(model);
    expect(graph.input?.map((input) => [input.name, dims(input)])).toEqual([['hidden', ['batch', 13, 64]]]);
    expect(graph.output?.map((output) => [output.name, dims(output)])).toEqual([
      ['attentionInput', ['batch', 64]],
      ['attentionOutput', ['batch', 64]],
      ['mlpInput', ['batch', 64]],
      ['mlpActivation', ['batch', 96]],
      ['nextHidden', ['batch', 13, 64]],
    ]);
    expect(graph.output?.every((output) => output.type?.tensorType?.elemType === 1)).toBe(true);
  });

  it('maps every weight out of its file, at offsets beyond 4 GiB', () => {
    const graph = graphOf(build());
    const external = new Map(
      graph.initializer
        ?.filter((tensor) => tensor.dataLocation === onnx.TensorProto.DataLocation.EXTERNAL)
        .map((tensor) => [tensor.name, tensor]),
    );
    const expected = located(MODEL, 2, 'BF16');
    expect([...external.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, { shape, offset, sizeBytes }] of expected) {
      const tensor = external.get(name);
      expect(tensor?.dataType).toBe(16);
      expect(tensor?.dims?.map(Number)).toEqual(shape);
      expect(Object.fromEntries(tensor?.externalData?.map(({ key, value }) => [key, value]) ?? [])).toEqual({
        location: 'models/a b/shard.safetensors',
        offset: String(offset),
        length: String(sizeBytes),
      });
    }
  });

  it('uses no value before it exists, and gives each name once', () => {
    const graph = graphOf(build({ attention: 'attention', computeDtype: 'F16' }));
    const known = new Set([...(graph.input ?? []), ...(graph.initializer ?? [])].map(({ name }) => name));
    for (const node of graph.node ?? []) {
      for (const input of node.input ?? [])
        expect(input === '' || known.has(input), `${node.name}: ${input}`).toBe(true);
      for (const output of node.output ?? []) {
        expect(known.has(output), output).toBe(false);
        known.add(output);
      }
    }
    for (const { name } of graph.output ?? []) expect(known.has(name)).toBe(true);
  });

  it('keeps attributes of every type', () => {
    const graph = new GraphBuilder('g');
    const attributes = { a: int(-1), b: float(0.125), c: ints([1, 0, 2]) };
    graph.operator('Op', ['x', '', 'y'], { attributes, domain: 'd', output: 'z' });
    const [node] = graphOf(onnx.ModelProto.decode(graph.encode())).node ?? [];
    expect(node).toMatchObject({ opType: 'Op', domain: 'd', input: ['x', '', 'y'], output: ['z'] });
    const [a, b, c] = node?.attribute ?? [];
    expect([a?.name, a?.type, Number(a?.i)]).toEqual(['a', onnx.AttributeProto.AttributeType.INT, -1]);
    expect([b?.name, b?.type, b?.f]).toEqual(['b', onnx.AttributeProto.AttributeType.FLOAT, 0.125]);
    expect([c?.name, c?.type, c?.ints?.map(Number)]).toEqual(['c', onnx.AttributeProto.AttributeType.INTS, [1, 0, 2]]);
  });

  it('keeps the values of constants, and adds one constant once', () => {
    const graph = new GraphBuilder('g');
    expect(graph.int64([-1, 64])).toBe(graph.int64([-1, 64]));
    graph.int32Scalar(12);
    const tensors = graphOf(onnx.ModelProto.decode(graph.encode())).initializer ?? [];
    expect(
      tensors.map(({ dataType, dims: shape, rawData }) => [dataType, shape?.map(Number), [...(rawData ?? [])]]),
    ).toEqual([
      [7, [2], [255, 255, 255, 255, 255, 255, 255, 255, 64, 0, 0, 0, 0, 0, 0, 0]],
      [6, [], [12, 0, 0, 0]],
    ]);
  });
});

describe('a decoder layer holds what it needs and no more', () => {
  it('without the next hidden states it ends before down_proj', () => {
    const graph = graphOf(build({ outputs: { statistics: true, hidden: false } }));
    expect(graph.output?.map(({ name }) => name)).toEqual([...STATISTICS]);
    expect(graph.initializer?.some(({ name }) => name?.includes('down_proj'))).toBe(false);
  });

  it('without statistics it reduces nothing', () => {
    const model = build({ outputs: { statistics: false, hidden: true } });
    expect(graphOf(model).output?.map(({ name }) => name)).toEqual(['nextHidden']);
    expect(operators(model)).not.toContain('ReduceSum');
  });

  it('weights in the type of computation are not cast', () => {
    expect(operators(build({ dtype: 'F32' }))).not.toContain('Cast');
    // Nine weights: seven linears, two norms.
    expect(operators(build({ dtype: 'BF16' })).filter((operator) => operator === 'Cast')).toHaveLength(9);
    // The tables of rope (two), the input, the output, and each of the four statistics.
    const bf16 = operators(build({ dtype: 'BF16', computeDtype: 'BF16' }));
    expect(bf16.filter((operator) => operator === 'Cast')).toHaveLength(8);
  });

  it('a window wider than the sequence hides nothing and needs no mask', () => {
    const plain = operators(build({ attention: 'attention' }));
    const description = { ...MODEL, slidingWindow: 13 };
    expect(operators(build({ attention: 'attention', description }))).toEqual(plain);
    expect(operators(build({ attention: 'attention', description: { ...MODEL, slidingWindow: 12 } }))).toContain(
      'Less',
    );
  });

  it('is a few kilobytes and the tables of rope', () => {
    const { rope_cos, rope_sin } = Object.fromEntries(
      (graphOf(build()).initializer ?? []).map(({ name, rawData }) => [name, rawData?.length]),
    );
    expect([rope_cos, rope_sin]).toEqual([13 * 8 * 4, 13 * 8 * 4]);
    expect(onnx.ModelProto.encode(build()).finish().length).toBeLessThan(10_000);
  });

  it.each([
    ['missing', undefined],
    ['of another shape', { shape: [64, 97] }],
    ['of integers', { dtype: 'I8' }],
  ] as const)('a tensor that is %s is named', (_, change) => {
    const name = 'model.layers.2.mlp.down_proj.weight';
    const tensors = located(MODEL, 2, 'F16');
    if (change === undefined) tensors.delete(name);
    else tensors.set(name, { ...(tensors.get(name) as TensorLocation), ...change });
    expect(() => build({ tensors })).toThrow(
      /^model\.layers\.2\.mlp\.down_proj\.weight: expected .*\[64, 96\]; found /,
    );
  });
});

describe('computed in 16 bits', () => {
  const FLOAT = onnx.TensorProto.DataType.FLOAT;

  /** The node that makes a value; null for inputs and weights. */
  function makerOf(graph: onnx.IGraphProto, value: string): onnx.INodeProto | null {
    return graph.node?.find((node) => node.output?.includes(value)) ?? null;
  }

  it.each(['BF16', 'F16'] as const)('%s weights are multiplied as they are', (dtype) => {
    const graph = graphOf(build({ dtype, computeDtype: dtype }));
    const products = graph.node?.filter(({ opType }) => opType === 'Gemm') ?? [];
    expect(products).toHaveLength(7);
    for (const { input } of products) expect(input?.[1]).toMatch(/^model\.layers\.2\..*\.weight$/);
  });

  it('a norm of another type is cast to it', () => {
    const tensors = located(MODEL, 2, 'BF16');
    const name = 'model.layers.2.input_layernorm.weight';
    tensors.set(name, { ...(tensors.get(name) as TensorLocation), dtype: 'F32' });
    const graph = graphOf(build({ tensors, computeDtype: 'BF16' }));
    const [norm] = graph.node?.filter(({ opType }) => opType === 'SimplifiedLayerNormalization') ?? [];
    expect(makerOf(graph, norm?.input?.[1] ?? '')).toMatchObject({ opType: 'Cast', input: [name] });
  });

  it('hidden states and statistics are float32 outside, squares are added in float32', () => {
    const graph = graphOf(build({ dtype: 'BF16', computeDtype: 'BF16' }));
    const all = [...(graph.input ?? []), ...(graph.output ?? [])];
    expect(all.map((each) => each.type?.tensorType?.elemType)).toEqual(all.map(() => FLOAT));
    const squares = graph.node?.filter(({ opType, input }) => opType === 'Mul' && input?.[0] === input?.[1]) ?? [];
    expect(squares).toHaveLength(STATISTICS.length);
    for (const { input } of squares) {
      const cast = makerOf(graph, input?.[0] ?? '');
      expect([cast?.opType, Number(cast?.attribute?.[0]?.i)]).toEqual(['Cast', FLOAT]);
    }
  });

  it('outputs of two weights are told apart in float32', () => {
    const compared = located(MODEL, 2, 'BF16');
    const outputs = { statistics: false, hidden: false };
    const graph = graphOf(build({ dtype: 'BF16', computeDtype: 'BF16', compared, outputs }));
    const differences = graph.node?.filter(({ opType }) => opType === 'Sub') ?? [];
    expect(differences).toHaveLength(7);
    for (const { input } of differences)
      expect(input?.map((value) => makerOf(graph, value)?.opType)).toEqual(['Cast', 'Cast']);
  });

  it('GroupQueryAttention has the outputs that CUDA writes; on the CPU it has one', () => {
    const outputsOf = (computeDtype: FloatDtype) =>
      graphOf(build({ computeDtype })).node?.find(({ opType }) => opType === 'GroupQueryAttention')?.output?.length;
    expect([outputsOf('BF16'), outputsOf('F16'), outputsOf('F32')]).toEqual([3, 3, 1]);
  });
});

describe('attention is computed by the fused operator where the provider has it', () => {
  it.each([
    ['cpu', 128, 'F32', 'groupQueryAttention'],
    ['cpu', 80, 'F32', 'groupQueryAttention'],
    ['cpu', 100, 'F32', 'attention'],
    ['cpu', 128, 'F16', 'groupQueryAttention'],
    ['cuda', 128, 'F32', 'attention'],
    ['cuda', 128, 'F16', 'groupQueryAttention'],
    ['cuda', 128, 'BF16', 'groupQueryAttention'],
    ['cuda', 100, 'BF16', 'attention'],
  ] as const)('%s, heads of %i, %s: %s', (provider, headDim, computeDtype, expected) => {
    expect(chooseAttention({ ...MODEL, headDim }, provider, computeDtype)).toBe(expected);
  });
});
