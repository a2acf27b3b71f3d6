/**
 * OWL, outlier weighed layerwise sparsity: layers with more outliers among their weights (worker/methods/outliers.ts) keep
 * more of them; the model as a whole loses as many as if every layer had the same sparsity. Pure arithmetic.
 *
 * Source: Yin et al., "Outlier Weighed Layerwise Sparsity (OWL): A Missing Secret Sauce for Pruning LLMs to High
 * Sparsity", ICML 2024, arXiv:2310.05175; prune_wanda_outlier in luuyin/OWL, lib/prune_all.py. Ours differ from it in two
 * things: the mean is over weights, not layers (the same where layers are alike); and what rounding to whole weights of a
 * row loses is given back, so that no weight more or less goes than with one sparsity, up to one a row of one linear.
 */

/** Weights of one layer that share its sparsity. */
export interface BudgetedLayer {
  /** Share of outliers among its weights. */
  readonly outlierRatio: number;
  readonly weights: number;
}

/** Linears [O, I] of a layer. */
export interface BudgetedLinear {
  /** Of the list of layers. */
  readonly layer: number;
  readonly outFeatures: number;
  readonly inFeatures: number;
}

/**
 * Of each layer, the share of its weights that goes: sparsity + mean(d) - d, where d is the layer's outlier ratio, scaled
 * so that all of them span [0, 2 · deviation]; the mean is over weights. Where a share would leave [0, 1], the span is
 * made as much narrower as that takes.
 */
export function layerSparsities(layers: readonly BudgetedLayer[], sparsity: number, deviation: number): number[] {
  const ratios = layers.map(({ outlierRatio }) => outlierRatio);
  const least = Math.min(...ratios);
  const span = Math.max(...ratios) - least;
  const weights = layers.reduce((sum, layer) => sum + layer.weights, 0);
  if (!(span > 0) || weights === 0) return layers.map(() => sparsity);
  const scaled = ratios.map((ratio) => ((ratio - least) / span) * 2 * deviation);
  const mean = layers.reduce((sum, layer, at) => sum + layer.weights * (scaled[at] as number), 0) / weights;
  const offsets = scaled.map((each) => mean - each);
  const room = offsets.map((offset) => (offset > 0 ? (1 - sparsity) / offset : offset < 0 ? sparsity / -offset : 1));
  const shrink = Math.min(1, ...room);
  return offsets.map((offset) => Math.min(1, Math.max(0, sparsity + shrink * offset)));
}

/**
 * Of each linear, how many weights of each row go, so that in all as many go as with ⌊I · sparsity⌋ everywhere: each
 * gets its layer's share rounded down, then those whose rounding lost the most get one more, as long as that is not too
 * many. What is left over is less than one weight in each row of one linear.
 *
 * @param sparsities of each layer, whose mean over the weights of these linears is `sparsity`
 */
export function prunedPerRow(
  linears: readonly BudgetedLinear[],
  sparsities: readonly number[],
  sparsity: number,
): number[] {
  const sizeOf = ({ outFeatures, inFeatures }: BudgetedLinear): number => outFeatures * inFeatures;
  const weights = linears.reduce((sum, linear) => sum + sizeOf(linear), 0);
  const target = linears.reduce(
    (sum, { outFeatures, inFeatures }) => sum + outFeatures * Math.floor(inFeatures * sparsity),
    0,
  );
  // With one sparsity for all, rounding down leaves a little less: every share is taken of that.
  const left = target === 0 ? 0 : target / (weights * sparsity);
  const wanted = linears.map(({ layer, inFeatures }) => (sparsities[layer] as number) * inFeatures * left);
  const counts = wanted.map(Math.floor);
  let rest = target - linears.reduce((sum, { outFeatures }, at) => sum + outFeatures * (counts[at] as number), 0);
  const order = linears
    .map((_, at) => at)
    .sort((a, b) => fraction(wanted[b] as number) - fraction(wanted[a] as number) || a - b);
  for (const at of order) {
    const { outFeatures, inFeatures } = linears[at] as BudgetedLinear;
    if (outFeatures > rest || counts[at] === inFeatures) continue;
    counts[at] = (counts[at] as number) + 1;
    rest -= outFeatures;
  }
  return counts;
}

/** The least share of which `⌊inFeatures · share⌋` is `count`: in binary, count / inFeatures may be a hair too small. */
export function shareOf(count: number, inFeatures: number): number {
  const share = count / inFeatures;
  return Math.floor(share * inFeatures) === count ? share : share * (1 + Number.EPSILON);
}

function fraction(value: number): number {
  return value - Math.floor(value);
}
