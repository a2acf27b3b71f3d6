/**
 * Magnitude: saliency |w|. `scope: matrix` has one threshold over the matrix, `scope: row` compares within each row of
 * output features, as Wanda does; a pattern compares within its groups whatever the scope. Needs no calibration.
 * Source: prune_magnitude in locuslab/wanda at 8e8fc87, lib/prune.py. Of equal magnitudes in a row or a group the lower
 * column goes first (ours: the reference leaves it open); a matrix's threshold takes all that are equal to it.
 *
 * Memory: the kernel's chunks, and counts for `scope: matrix` (matrix-threshold.ts).
 */
import { pruneBelowThreshold } from './matrix-threshold.ts';
import type { PruningMethod } from './method.ts';
import { rowSelection } from './selection-of.ts';

const SALIENCY = { kind: 'magnitude' } as const;

export const magnitude: PruningMethod = {
  name: 'magnitude',
  needs: 'nothing',
  pruneLinear: async (job, tools) => {
    const { choice, options, columns, tensor } = job;
    if (choice.kind === 'unstructured' && options.scope !== 'row') {
      return pruneBelowThreshold(job, choice.sparsity, SALIENCY, tools);
    }
    return tools.kernels.pruneMatrix({ ...job, saliency: SALIENCY, selection: rowSelection(choice, columns, tensor) });
  },
};
