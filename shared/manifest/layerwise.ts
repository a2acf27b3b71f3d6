/** How the sparsity of the model is spread over its layers, with the fields that go with it. Pure. */

/** Left out: every layer has the same. */
export const LAYERWISE = ['owl'] as const;

/** Of the source (coordinator/core/owl.ts): M = 5 and lambda = 0.08, as it has them for LLaMA. */
const OUTLIER_THRESHOLD_DEFAULT = 5;
const DEVIATION_DEFAULT = 0.08;

/** Fills in the defaults of the fields that only `layerwise` has. */
export function withLayerwiseDefaults<Pruning extends { readonly layerwise?: string | undefined }>(
  pruning: Pruning,
): Pruning {
  if (pruning.layerwise === undefined) return pruning;
  return { outlierThreshold: OUTLIER_THRESHOLD_DEFAULT, deviation: DEVIATION_DEFAULT, ...pruning };
}
