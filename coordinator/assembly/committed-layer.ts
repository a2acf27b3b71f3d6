/** Where the tensors of a committed layer stand in its file: the layout is a pure function of the layer's tensors. */
import { layoutSafetensors } from '../../shared/safetensors/layout.ts';
import type { LayerIntake, TensorSlot } from '../core/state.ts';

/** The layer's tensors in its committed file, which is named relative to the staging folder. */
export function committedSlots(file: string, intake: LayerIntake): TensorSlot[] {
  const layout = layoutSafetensors(intake.tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })));
  return intake.tensors.map((tensor) => {
    const { offset, sizeBytes } = layout.tensors.get(tensor.name) as { offset: number; sizeBytes: number };
    return { ...tensor, file, offset, sizeBytes };
  });
}
