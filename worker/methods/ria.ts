/**
 * RIA, relative importance and activations: saliency (|w| / Σ_column |w| + |w| / Σ_row |w|) * ‖x‖₂ ^ activationPower.
 * `scope: matrix` has one threshold over the matrix, `scope: row` compares within each row; a pattern within its groups.
 * Source: Zhang et al., "Plug-and-Play: An Efficient Post-training Pruning Method for Large Language Models", ICLR 2024;
 * prune_ria in biomedical-cybernetics/Relative-importance-and-activation-pruning at b87b897, lib/prune.py, whose
 * unstructured default is the matrix (`--per_outneuron` is our row) and whose channel permutation is not here.
 *
 * Sums are taken in float64 and rounded to float32 (the reference sums in the weights' own type), every other step is in
 * float32. A weight in a row or column of zeros has metric 0 (there 0 / 0, which its sort keeps).
 *
 * Memory: two vectors [I] of float32, up to 32 of float64 while the columns are summed, and the counts of
 * matrix-threshold.ts. One pass for the sums, then one (row, groups) or three (matrix).
 */
import type { Saliency } from '../kernels/saliency.ts';
import { columnNorms } from './column-norms.ts';
import { pruneBelowThreshold } from './matrix-threshold.ts';
import type { PruningMethod } from './method.ts';
import { rowSelection } from './selection-of.ts';

const ACTIVATION_POWER_DEFAULT = 0.5;

export const ria: PruningMethod = {
  name: 'ria',
  needs: 'inputNormSquared',
  pruneLinear: async (job, tools) => {
    const { choice, options, columns, tensor } = job;
    const { activationPower = ACTIVATION_POWER_DEFAULT } = options;
    const columnFactors = columnNorms(job.statistic()).map((norm) => power(norm, activationPower));
    const columnSums = Float32Array.from(await tools.kernels.sumColumns(job));
    const saliency: Saliency = { kind: 'relative', columnSums, columnFactors };
    if (choice.kind === 'unstructured' && options.scope !== 'row') {
      return pruneBelowThreshold(job, choice.sparsity, saliency, tools);
    }
    return tools.kernels.pruneMatrix({ ...job, saliency, selection: rowSelection(choice, columns, tensor) });
  },
};

/** A root is rounded once; what pow makes of 0.5 need not be. */
function power(norm: number, exponent: number): number {
  return exponent === 0.5 ? Math.sqrt(norm) : norm ** exponent;
}
