/**
 * Rotary, causal, grouped attention in ONNX, in two ways that agree to float32 rounding.
 *
 * groupQueryAttention is ONNX Runtime's fused operator: fastest, and the smallest in memory. attention is the operator
 * of ONNX 23 with its RotaryEmbedding: every head size and type, with the whole [S, S] matrix of scores.
 */
import type { ModelDescription } from '../models/family.ts';
import type { FloatDtype } from '../safetensors/dtype.ts';
import { DATA_TYPE_OF, float, type GraphBuilder, int } from './graph.ts';
import { ropeTables } from './rope-tables.ts';

export type AttentionOperator = 'groupQueryAttention' | 'attention';

export interface AttentionInputs {
  readonly description: ModelDescription;
  readonly sequenceLength: number;
  readonly computeDtype: FloatDtype;
  readonly operator: AttentionOperator;
  /** The layer's input [B, S, H]: its first dimension is the batch, known only when the graph runs. */
  readonly hidden: string;
  /** [B, S, heads · headDim], before rotation */
  readonly query: string;
  /** [B, S, keyValueHeads · headDim], before rotation */
  readonly key: string;
  readonly value: string;
}

/** Adds attention to the graph. @returns the context [B, S, heads · headDim] */
export function addAttention(graph: GraphBuilder, inputs: AttentionInputs): string {
  return inputs.operator === 'groupQueryAttention'
    ? addGroupQueryAttention(graph, inputs)
    : addPlainAttention(graph, inputs);
}

/** A window as wide as the sequence hides nothing. */
function effectiveWindow({ description, sequenceLength }: AttentionInputs): number | null {
  const { slidingWindow } = description;
  return slidingWindow !== null && slidingWindow < sequenceLength ? slidingWindow : null;
}

function addTables(graph: GraphBuilder, inputs: AttentionInputs): { cos: string; sin: string } {
  const { description, sequenceLength, computeDtype } = inputs;
  const tables = ropeTables(description, sequenceLength);
  const dims = [sequenceLength, description.headDim / 2];
  const add = (name: string, values: Float32Array): string => {
    const table = graph.float32(name, dims, values);
    return computeDtype === 'F32' ? table : graph.cast(table, DATA_TYPE_OF[computeDtype]);
  };
  return { cos: add('rope_cos', tables.cos), sin: add('rope_sin', tables.sin) };
}

function addGroupQueryAttention(graph: GraphBuilder, inputs: AttentionInputs): string {
  const { description, sequenceLength, computeDtype, hidden, query, key, value } = inputs;
  const { headCount, keyValueHeadCount, headDim } = description;
  const { cos, sin } = addTables(graph, inputs);
  const window = effectiveWindow(inputs);
  // Index of the last valid key of each sample; no sample is padded.
  const batch = graph.operator('Shape', [hidden], { attributes: { start: int(0), end: int(1) } });
  const lastKeys = graph.operator('Expand', [graph.int32Scalar(sequenceLength - 1), batch]);
  const noPast = '';
  return graph.operator(
    'GroupQueryAttention',
    [query, key, value, noPast, noPast, lastKeys, graph.int32Scalar(sequenceLength), cos, sin],
    {
      domain: 'com.microsoft',
      // CUDA, which has the operator in 16 bits, writes the rotated keys and the values to outputs that it does not ask
      // whether they are there (read in contrib_ops/cuda/bert/group_query_attention.cc, not run).
      unread: computeDtype === 'F32' ? 0 : 2,
      attributes: {
        num_heads: int(headCount),
        kv_num_heads: int(keyValueHeadCount),
        do_rotary: int(1),
        rotary_interleaved: int(0),
        scale: float(1 / Math.sqrt(headDim)),
        // As in transformers, the window counts the query's own position.
        ...(window === null ? {} : { local_window_size: int(window) }),
      },
    },
  );
}

function addPlainAttention(graph: GraphBuilder, inputs: AttentionInputs): string {
  const { description, sequenceLength, hidden, query, key, value } = inputs;
  const { headCount, keyValueHeadCount, headDim } = description;
  const { cos, sin } = addTables(graph, inputs);
  const window = effectiveWindow(inputs);
  const batchAndSequence = graph.operator('Shape', [hidden], { attributes: { start: int(0), end: int(2) } });
  const positions = graph.operator('Expand', [graph.positions([1, sequenceLength]), batchAndSequence]);
  const rotate = (states: string, heads: number): string =>
    graph.operator('RotaryEmbedding', [states, cos, sin, positions], {
      attributes: { interleaved: int(0), num_heads: int(heads) },
    });
  const mask = window === null ? [] : [addWindowMask(graph, sequenceLength, window)];
  return graph.operator('Attention', [rotate(query, headCount), rotate(key, keyValueHeadCount), value, ...mask], {
    attributes: {
      is_causal: int(window === null ? 1 : 0),
      scale: float(1 / Math.sqrt(headDim)),
      q_num_heads: int(headCount),
      kv_num_heads: int(keyValueHeadCount),
    },
  });
}

/** Which key a query sees, causality included: true where 0 ≤ query - key < window. BOOL [S, S] */
function addWindowMask(graph: GraphBuilder, sequenceLength: number, window: number): string {
  const distance = graph.operator('Sub', [graph.positions([sequenceLength, 1]), graph.positions([1, sequenceLength])]);
  const notLater = graph.operator('GreaterOrEqual', [distance, graph.int64([0])]);
  const inWindow = graph.operator('Less', [distance, graph.int64([window])]);
  return graph.operator('And', [notLater, inWindow]);
}
