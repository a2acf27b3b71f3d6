/**
 * In which type a graph computes: that of its weights where the provider multiplies it, float32 elsewhere. Pure.
 *
 * The CPU provider computes everything in float32: it has no BF16, and its F16 is float32 behind casts. CUDA multiplies
 * 16-bit matrices many times as fast as float32 ones and adds their products in float32; weights are then copied to the
 * device as they are. Statistics are float32 whatever the type (decoder-layer.ts).
 */
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import type { FloatDtype } from '../safetensors/dtype.ts';

/**
 * @param weights tensors of the graph; of those, matrices decide, and norms and biases are cast to their type. Matrices of
 *   several types are computed in float32, which holds them all.
 */
export function chooseComputeDtype(
  provider: 'cpu' | 'cuda',
  weights: Iterable<Pick<TensorLocation, 'dtype' | 'shape'>>,
): FloatDtype {
  if (provider === 'cpu') return 'F32';
  const found = new Set([...weights].filter(({ shape }) => shape.length === 2).map(({ dtype }) => dtype));
  const [only] = found;
  return found.size === 1 && (only === 'BF16' || only === 'F16') ? only : 'F32';
}
