/** What happens to each linear of a job: as the manifest has it, or as its layer's budget says once there is one. Pure. */
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';
import { type JobState, type LinearIntake, own } from './state.ts';

/** Whether it is known what goes from each layer: with `layerwise` only once all layers are surveyed (budgets.ts). */
export function isSurveyed({ manifest, budgets }: Pick<JobState, 'manifest' | 'budgets'>): boolean {
  return manifest.spec.pruning.layerwise === undefined || budgets !== undefined;
}

export function choiceIn(
  { budgets }: Pick<JobState, 'budgets'>,
  layer: number,
  { tensor, choice }: LinearIntake,
): LinearChoice {
  if (choice.kind !== 'unstructured' || choice.layerwise !== true) return choice;
  const sparsity = own(budgets?.[layer]?.sparsities ?? {}, tensor) ?? choice.sparsity;
  return sparsity === 0 ? { kind: 'keepAll' } : { kind: 'unstructured', sparsity };
}

export function keepsAll(job: Pick<JobState, 'intake' | 'budgets'>, layer: number): boolean {
  const linears = job.intake?.layers[layer]?.linears ?? [];
  return linears.every((linear) => choiceIn(job, layer, linear).kind === 'keepAll');
}

/** Linears of a layer that its budget is for. */
export function budgetedLinears({ intake }: Pick<JobState, 'intake'>, layer: number): LinearIntake[] {
  const linears = intake?.layers[layer]?.linears ?? [];
  return linears.filter(({ choice }) => choice.kind === 'unstructured' && choice.layerwise === true);
}
