/**
 * What choosing the weights of a linear and writing them costs, by method, option and amount: nanoseconds a weight, from
 * file to file through the page cache, on one thread. Pure.
 *
 * Measured: `npx node bench/methods.ts --threads 1` (docs/performance.md, "What plans are made with").
 */
import type { Manifest } from '../../shared/manifest/schema.ts';
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';
import type { LinearIntake } from './state.ts';

/** Unstructured or 2:4 or 8:16; a linear that is kept whole is a copy. */
const NS_PER_WEIGHT = {
  copy: { BF16: 0.64, F16: 0.65, F32: 1.2 },
  wanda: { BF16: 1.2, F16: 1.2, F32: 4.9 },
  'wanda 2:4': { BF16: 1.1, F16: 1.2, F32: 3.3 },
  'wanda 8:16': { BF16: 8, F16: 8.7, F32: 7.9 },
  'wanda cumulative': { BF16: 30, F16: 30, F32: 29 },
  'magnitude matrix': { BF16: 1.7, F16: 1.7, F32: 5.7 },
  'magnitude row': { BF16: 1.1, F16: 1.2, F32: 3.7 },
  'magnitude 2:4': { BF16: 1, F16: 1.2, F32: 2 },
  'magnitude 8:16': { BF16: 6.2, F16: 6.4, F32: 6.6 },
  'ria matrix': { BF16: 7.4, F16: 9.8, F32: 9 },
  'ria row': { BF16: 4.5, F16: 5.4, F32: 5.5 },
  'ria 2:4': { BF16: 3, F16: 4.1, F32: 3.8 },
  'ria 8:16': { BF16: 7.5, F16: 8.6, F32: 8.3 },
  random: { BF16: 3.7, F16: 3.7, F32: 4.2 },
  'random 2:4': { BF16: 2.3, F16: 2.3, F32: 2.8 },
  'random 8:16': { BF16: 6.6, F16: 6.5, F32: 7.1 },
} as const;

/** Patterns of these groups are timed as 2:4, all others as 8:16. */
const FAST_GROUPS: ReadonlySet<number> = new Set([4, 8]);

export type WeightDtype = keyof (typeof NS_PER_WEIGHT)['copy'];

type Pruning = Manifest['spec']['pruning'];

/** Of all weights of these linears, on average. */
export function pruneNsPerWeight(pruning: Pruning, linears: readonly LinearIntake[], dtype: WeightDtype): number {
  let [weights, ns] = [0, 0];
  for (const { outFeatures, inFeatures, choice } of linears) {
    weights += outFeatures * inFeatures;
    ns += outFeatures * inFeatures * NS_PER_WEIGHT[caseOf(pruning, choice)][dtype];
  }
  return weights === 0 ? 0 : ns / weights;
}

function caseOf({ method, variant, scope }: Pruning, choice: LinearChoice): keyof typeof NS_PER_WEIGHT {
  if (choice.kind === 'keepAll') return 'copy';
  // It reads and writes as Wanda does; what it computes between is counted in operations (layer-times.ts).
  const name = method === 'sparsegpt' ? 'wanda' : method;
  if (choice.kind === 'pattern') return FAST_GROUPS.has(choice.group) ? `${name} 2:4` : `${name} 8:16`;
  if (name === 'magnitude' || name === 'ria') return `${name} ${scope ?? 'matrix'}`;
  return variant === 'cumulative' ? 'wanda cumulative' : name;
}
