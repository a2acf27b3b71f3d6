/** A tensor of the checkpoint as a value of a graph: mapped from its file, cast where it is of another type. */
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { SecateurError } from '../errors/secateur-error.ts';
import { type FloatDtype, isFloatDtype } from '../safetensors/dtype.ts';
import { DATA_TYPE_OF, type GraphBuilder } from './graph.ts';

export interface Parameter {
  /** Of the tensor, in full. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly computeDtype: FloatDtype;
  /** Before the name of the value in the graph, where two tensors have one name. */
  readonly label?: string;
}

/**
 * @returns the name of the value, of `computeDtype`
 * @throws CheckpointInvalid where the tensor is missing, or of a type or shape that does not fit
 */
export function addParameter(
  graph: GraphBuilder,
  tensors: ReadonlyMap<string, TensorLocation>,
  { name, shape, computeDtype, label = '' }: Parameter,
): string {
  const location = tensors.get(name);
  if (location === undefined) throw misfit(name, shape, 'nothing');
  const { dtype } = location;
  if (!isFloatDtype(dtype) || location.shape.join() !== shape.join()) {
    throw misfit(name, shape, `${dtype} [${location.shape.join(', ')}]`);
  }
  const external = graph.external({ ...location, name: label + location.name }, dtype);
  return dtype === computeDtype ? external : graph.cast(external, DATA_TYPE_OF[computeDtype]);
}

function misfit(name: string, shape: readonly number[], found: string): SecateurError {
  const expected = `F32, F16 or BF16 [${shape.join(', ')}]`;
  return new SecateurError(
    'CheckpointInvalid',
    `${name}: expected ${expected}; found ${found}. Check that config.json belongs to these shards.`,
    { details: { tensor: name, expected, found } },
  );
}
