/**
 * SparseGPT: weights go by w² / U[c, c]², and those that stay make up for them. The solver is sparsegpt/; here is only how
 * it is a method like others. Source: arXiv 2301.00774; docs/methods.md.
 *
 * Memory: the Hessian of one input and, beside it, one linear's weights [O, I] in float32 (see pruneWithFactor).
 */
import { invariant } from '../../shared/errors/secateur-error.ts';
import type { PruningMethod } from './method.ts';
import { DAMPING_FRACTION } from './sparsegpt/hessian-factor.ts';
import { BLOCK_SIZE, pruneWithFactor } from './sparsegpt/prune-with-factor.ts';

export const sparsegpt: PruningMethod = {
  name: 'sparsegpt',
  needs: 'hessian',
  pruneLinear: async (job, { hessian }) => {
    invariant(hessian !== undefined, 'a method that needs the Hessian is given it');
    const { rows, choice, options, tensor: linear } = job;
    const factor = await hessian.factorOf(job, options.dampingFraction ?? DAMPING_FRACTION);
    const weights = await hessian.readWeights(job);
    const blockSize = options.blockSize ?? BLOCK_SIZE;
    const input = { layer: hessian.layer, linear, weights, rows, choice, blockSize };
    await pruneWithFactor(input, factor, hessian.solver);
    return hessian.writeWeights(job, weights);
  },
};
