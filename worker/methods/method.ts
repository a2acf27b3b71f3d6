/**
 * What a pruning method is: given one linear's weights in a file, what was asked of it, and what calibration learned, it
 * writes the pruned weights. One method a file, listed in registry.ts.
 *
 * Methods are pure but for their tools: they open no file, know no clock. What they need of the weights, the kernel pool's
 * passes bring them, so that no method holds a matrix. A method that changes weights, or needs another statistic, adds a
 * need here and its tool in MethodTools; engine/tasks/run-prune.ts hands out both.
 *
 * Invariant: the bytes written depend on the job alone, not on threads, machine or what was pruned before.
 */
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';
import type { KernelPool, StoredMatrix } from '../kernels/kernel-pool.ts';
import type { HessianFactor } from './sparsegpt/hessian-factor.ts';
import type { Solver } from './sparsegpt/solver.ts';

/** What calibration learned about the input of one linear. */
export interface LinearStatistic {
  /** Name of the weight, for errors. */
  readonly linear: string;
  /** [I], float64: sum over all tokens of all calibration samples of x². */
  readonly inputNormSquared: Float64Array;
  /** Number of calibration sequences. */
  readonly samples: number;
}

/** Fields of the manifest that only some methods have, defaults filled in (shared/manifest/method-options.ts). */
export interface MethodOptions {
  /** Over what metrics are compared where the sparsity is unstructured. */
  readonly scope?: 'row' | 'matrix';
  readonly variant?: 'cumulative';
  readonly activationPower?: number;
  readonly seed?: number;
  /** Columns over which one threshold is chosen. */
  readonly blockSize?: number;
  readonly dampingFraction?: number;
}

/** A linear that loses weights. The matrix is [O, I] as stored. */
export interface LinearJob extends StoredMatrix {
  /** Where the pruned matrix goes, as many bytes as it has. */
  readonly destination: { readonly file: string; readonly offset: number };
  readonly choice: Exclude<LinearChoice, { kind: 'keepAll' }>;
  /** Read only where the method needs it. Throws Internal where the task brought none. */
  readonly statistic: () => LinearStatistic;
  readonly options: MethodOptions;
}

export interface MethodTools {
  readonly kernels: KernelPool;
  /** A sentence for the job's log. */
  readonly notice: (message: string) => void;
  /** For a method that needs it. */
  readonly hessian?: HessianTools;
}

/** What a method that solves equations works with; one layer at a time. */
export interface HessianTools {
  readonly layer: number;
  readonly solver: Solver;
  /** Of the input of a linear. Only the one asked for last is kept: linears with the same input come one after the other. */
  factorOf(job: LinearJob, dampingFraction: number): Promise<HessianFactor>;
  /** [O, I] float32, in shared memory. */
  readWeights(job: LinearJob): Promise<Float32Array>;
  /**
   * Rounds to the type of the matrix, to the nearest, ties to even. `zeros` counts those that are stored. Throws
   * NonFiniteValue where a value is beyond that type.
   */
  writeWeights(job: LinearJob, weights: Float32Array): Promise<{ zeros: number }>;
}

export interface PruningMethod {
  /** As manifests write it. */
  readonly name: string;
  /** Of the calibration. Who needs the Hessian has it through MethodTools.hessian. */
  readonly needs: 'nothing' | 'inputNormSquared' | 'hessian';

  /**
   * Writes the whole destination; `zeros` counts those that it holds then. Throws ArgumentInvalid where the choice does not
   * fit the matrix, NonFiniteValue (weight or statistic, with row or column), and what KernelPool.pruneMatrix throws.
   */
  pruneLinear(job: LinearJob, tools: MethodTools): Promise<{ zeros: number }>;
}
