/**
 * Encodes an ONNX ModelProto: the subset that a decoder layer needs, on the wire level of protobuf.
 *
 * Field numbers are those of onnx/onnx.proto (onnx 1.18, IR version 11). The encoder knows nothing of operators; it
 * writes what it is given, and ONNX Runtime checks it.
 */
import protobuf from 'protobufjs/minimal.js';

/** TensorProto.DataType */
export const DATA_TYPE = { FLOAT: 1, INT32: 6, INT64: 7, BOOL: 9, FLOAT16: 10, BFLOAT16: 16 } as const;

export type DataType = (typeof DATA_TYPE)[keyof typeof DATA_TYPE];

export type Attribute =
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'int'; readonly value: number }
  | { readonly type: 'ints'; readonly values: readonly number[] };

export interface NodeProto {
  readonly name: string;
  readonly operator: string;
  /** Empty for ONNX's own operators. */
  readonly domain: string;
  /** An empty name leaves an optional input out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** Bytes of a file, taken as they are: row-major, little-endian. */
interface ExternalData {
  /** Relative to the folder that the session is given. */
  readonly location: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface TensorProto {
  readonly name: string;
  readonly dataType: DataType;
  readonly dims: readonly number[];
  readonly data: Uint8Array | ExternalData;
}

export interface ValueInfoProto {
  readonly name: string;
  readonly dataType: DataType;
  /** A string is a symbolic dimension, known only when the graph runs. */
  readonly dims: readonly (number | string)[];
}

interface GraphProto {
  readonly name: string;
  readonly nodes: readonly NodeProto[];
  readonly initializers: readonly TensorProto[];
  readonly inputs: readonly ValueInfoProto[];
  readonly outputs: readonly ValueInfoProto[];
}

export interface ModelProto {
  readonly irVersion: number;
  readonly producer: string;
  /** Domain to version; the empty domain is ONNX's own. */
  readonly operatorSets: Readonly<Record<string, number>>;
  readonly graph: GraphProto;
}

type Writer = protobuf.Writer;

const VARINT = 0;
const BYTES = 2;
const FIXED32 = 5;

/** AttributeProto.AttributeType */
const ATTRIBUTE_TYPE = { float: 1, int: 2, ints: 7 } as const;
/** TensorProto.DataLocation */
const EXTERNAL = 1;

/** The bytes of the model, as a file of it would hold them. */
export function encodeModel(model: ModelProto): Uint8Array {
  const writer = protobuf.Writer.create();
  tag(writer, 1, VARINT).int64(model.irVersion);
  tag(writer, 2, BYTES).string(model.producer);
  message(writer, 7, () => writeGraph(writer, model.graph));
  for (const [domain, version] of Object.entries(model.operatorSets)) {
    message(writer, 8, () => {
      tag(writer, 1, BYTES).string(domain);
      tag(writer, 2, VARINT).int64(version);
    });
  }
  return writer.finish();
}

function tag(writer: Writer, field: number, wireType: number): Writer {
  return writer.uint32((field << 3) | wireType);
}

function message(writer: Writer, field: number, content: () => void): void {
  tag(writer, field, BYTES).fork();
  content();
  writer.ldelim();
}

function writeGraph(writer: Writer, graph: GraphProto): void {
  for (const node of graph.nodes) message(writer, 1, () => writeNode(writer, node));
  tag(writer, 2, BYTES).string(graph.name);
  for (const tensor of graph.initializers) message(writer, 5, () => writeTensor(writer, tensor));
  for (const input of graph.inputs) message(writer, 11, () => writeValueInfo(writer, input));
  for (const output of graph.outputs) message(writer, 12, () => writeValueInfo(writer, output));
}

function writeNode(writer: Writer, node: NodeProto): void {
  for (const input of node.inputs) tag(writer, 1, BYTES).string(input);
  for (const output of node.outputs) tag(writer, 2, BYTES).string(output);
  tag(writer, 3, BYTES).string(node.name);
  tag(writer, 4, BYTES).string(node.operator);
  for (const [name, attribute] of Object.entries(node.attributes)) {
    message(writer, 5, () => writeAttribute(writer, name, attribute));
  }
  if (node.domain !== '') tag(writer, 7, BYTES).string(node.domain);
}

function writeAttribute(writer: Writer, name: string, attribute: Attribute): void {
  tag(writer, 1, BYTES).string(name);
  switch (attribute.type) {
    case 'float':
      tag(writer, 2, FIXED32).float(attribute.value);
      break;
    case 'int':
      tag(writer, 3, VARINT).int64(attribute.value);
      break;
    case 'ints':
      for (const value of attribute.values) tag(writer, 8, VARINT).int64(value);
  }
  tag(writer, 20, VARINT).int32(ATTRIBUTE_TYPE[attribute.type]);
}

function writeTensor(writer: Writer, tensor: TensorProto): void {
  if (tensor.dims.length > 0) {
    message(writer, 1, () => {
      for (const dim of tensor.dims) writer.int64(dim);
    });
  }
  tag(writer, 2, VARINT).int32(tensor.dataType);
  tag(writer, 8, BYTES).string(tensor.name);
  const { data } = tensor;
  if (data instanceof Uint8Array) {
    tag(writer, 9, BYTES).bytes(data);
    return;
  }
  const entries = { location: data.location, offset: String(data.offset), length: String(data.sizeBytes) };
  for (const [key, value] of Object.entries(entries)) {
    message(writer, 13, () => {
      tag(writer, 1, BYTES).string(key);
      tag(writer, 2, BYTES).string(value);
    });
  }
  tag(writer, 14, VARINT).int32(EXTERNAL);
}

/** ValueInfoProto { name, type: TypeProto { tensor_type: { elem_type, shape: { dim: {dim_value | dim_param}[] } } } } */
function writeValueInfo(writer: Writer, info: ValueInfoProto): void {
  tag(writer, 1, BYTES).string(info.name);
  message(writer, 2, () =>
    message(writer, 1, () => {
      tag(writer, 1, VARINT).int32(info.dataType);
      message(writer, 2, () => {
        for (const dim of info.dims) {
          message(writer, 1, () => {
            if (typeof dim === 'string') tag(writer, 2, BYTES).string(dim);
            else tag(writer, 1, VARINT).int64(dim);
          });
        }
      });
    }),
  );
}
