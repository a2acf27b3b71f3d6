/**
 * Builds an ONNX graph node by node; every method returns the name of the value that it made.
 *
 * Invariants: 1. names of values are unique: a generated name holds a counter. 2. nodes stand in the order in which they
 * were added, which is a topological order since a node can name only values that exist. 3. bytes are little-endian, as
 * ONNX wants them and as every machine that Node runs on has them.
 */
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { invariant } from '../errors/secateur-error.ts';
import type { FloatDtype } from '../safetensors/dtype.ts';
import {
  type Attribute,
  DATA_TYPE,
  type DataType,
  encodeModel,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from './model-proto.ts';

/** The session is told that external data stands below this folder; locations are relative to it. */
export const EXTERNAL_DATA_FOLDER = '/';

/** Operator set 23 brought Attention and RotaryEmbedding; IR version 11 belongs to it. */
const IR_VERSION = 11;
const OPERATOR_SETS = { '': 23, 'com.microsoft': 1 };

export const DATA_TYPE_OF: Readonly<Record<FloatDtype, DataType>> = {
  F32: DATA_TYPE.FLOAT,
  F16: DATA_TYPE.FLOAT16,
  BF16: DATA_TYPE.BFLOAT16,
};

export interface OperatorOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly domain?: string;
  /** Name of the first output; generated where absent. */
  readonly output?: string;
  /** Outputs behind the first that the operator must have and nothing reads. */
  readonly unread?: number;
}

export function int(value: number): Attribute {
  return { type: 'int', value };
}

export function float(value: number): Attribute {
  return { type: 'float', value };
}

export function ints(values: readonly number[]): Attribute {
  return { type: 'ints', values };
}

export class GraphBuilder {
  private readonly name: string;
  private readonly nodes: NodeProto[] = [];
  private readonly initializers = new Map<string, TensorProto>();
  private readonly inputs: ValueInfoProto[] = [];
  private readonly outputs: ValueInfoProto[] = [];
  private counter = 0;

  constructor(name: string) {
    this.name = name;
  }

  input(name: string, dataType: DataType, dims: readonly (number | string)[]): string {
    this.inputs.push({ name, dataType, dims });
    return name;
  }

  /** Declares an existing value as an output of the graph. */
  output(name: string, dataType: DataType, dims: readonly (number | string)[]): void {
    this.outputs.push({ name, dataType, dims });
  }

  /** Adds a node; returns its first output, the only one that decoder layers read. */
  operator(operator: string, inputs: readonly string[], options: OperatorOptions = {}): string {
    const output = options.output ?? this.fresh(operator);
    this.nodes.push({
      name: `node_${this.nodes.length}_${operator}`,
      operator,
      domain: options.domain ?? '',
      inputs,
      outputs: [output, ...Array.from({ length: options.unread ?? 0 }, () => this.fresh(operator))],
      attributes: options.attributes ?? {},
    });
    return output;
  }

  cast(value: string, dataType: DataType, output?: string): string {
    return this.operator('Cast', [value], {
      attributes: { to: int(dataType) },
      ...(output === undefined ? {} : { output }),
    });
  }

  reshape(value: string, dims: readonly number[]): string {
    return this.operator('Reshape', [value, this.int64(dims)]);
  }

  /** An INT64 constant; the same values give the same initializer. */
  int64(values: readonly number[]): string {
    return this.constant(
      `int64_${values.join('_')}`,
      DATA_TYPE.INT64,
      [values.length],
      BigInt64Array.from(values, BigInt),
    );
  }

  int32Scalar(value: number): string {
    return this.constant(`int32_${value}`, DATA_TYPE.INT32, [], Int32Array.of(value));
  }

  /** The integers 0 … count - 1 as INT64, in the given shape. */
  positions(dims: readonly number[]): string {
    const count = dims.reduce((product, dim) => product * dim, 1);
    const values = BigInt64Array.from({ length: count }, (_, index) => BigInt(index));
    return this.constant(`positions_${dims.join('_')}`, DATA_TYPE.INT64, dims, values);
  }

  float32(name: string, dims: readonly number[], values: Float32Array): string {
    return this.constant(name, DATA_TYPE.FLOAT, dims, values);
  }

  /** A tensor that stays where it is: the runtime maps its bytes out of the checkpoint's file. */
  external(location: TensorLocation, dtype: FloatDtype): string {
    const { name, shape, file, offset, sizeBytes } = location;
    invariant(file.startsWith(EXTERNAL_DATA_FOLDER), `${name}: the file's path is absolute: ${file}`);
    const data = { location: file.slice(EXTERNAL_DATA_FOLDER.length), offset, sizeBytes };
    this.initializers.set(name, { name, dataType: DATA_TYPE_OF[dtype], dims: shape, data });
    return name;
  }

  encode(): Uint8Array {
    return encodeModel({
      irVersion: IR_VERSION,
      producer: 'secateur',
      operatorSets: OPERATOR_SETS,
      graph: {
        name: this.name,
        nodes: this.nodes,
        initializers: [...this.initializers.values()],
        inputs: this.inputs,
        outputs: this.outputs,
      },
    });
  }

  private constant(name: string, dataType: DataType, dims: readonly number[], values: ArrayBufferView): string {
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.initializers.set(name, { name, dataType, dims, data });
    return name;
  }

  private fresh(operator: string): string {
    return `value_${this.counter++}_${operator}`;
  }
}
