/**
 * Wanda: saliency |w| * ‖x‖₂, compared within each row of output features, or within the groups of a pattern.
 * `variant: cumulative` gives every row a threshold of its own (wanda-cumulative.ts).
 * Source: arXiv 2306.11695, section 3; locuslab/wanda at 8e8fc87, lib/layerwrapper.py (statistic) and lib/prune.py.
 *
 * Memory: norms [I] and the kernel's chunks.
 */
import { columnNorms } from './column-norms.ts';
import type { PruningMethod } from './method.ts';
import { rowSelection } from './selection-of.ts';
import { pruneCumulative } from './wanda-cumulative.ts';

export const wanda: PruningMethod = {
  name: 'wanda',
  needs: 'inputNormSquared',
  pruneLinear: async (job, tools) => {
    const { choice, options, columns, tensor } = job;
    const saliency = { kind: 'normed', columnNorms: columnNorms(job.statistic()) } as const;
    if (choice.kind === 'unstructured' && options.variant === 'cumulative') {
      return pruneCumulative(job, choice.sparsity, saliency, tools);
    }
    return tools.kernels.pruneMatrix({ ...job, saliency, selection: rowSelection(choice, columns, tensor) });
  },
};
