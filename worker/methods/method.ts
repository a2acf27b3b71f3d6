/**
 * What a pruning method decides: a norm for every input column, and what to zero given the manifest's choice. The kernel
 * does the rest: saliency = |w| * norm[column], least first. Methods are pure; one per file, listed in registry.ts.
 */
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';
import type { Selection } from '../kernels/selection.ts';

/** What calibration learned about the input of one linear. */
interface LinearStatistic {
  /** Name of the weight, for errors. */
  readonly linear: string;
  /** [I], float64: sum over all tokens of all calibration samples of x². */
  readonly inputNormSquared: Float64Array;
  /** Number of calibration sequences. */
  readonly samples: number;
}

export interface PruningMethod {
  /** As manifests write it. */
  readonly name: string;

  /** Norms [I], finite and not negative. Throws NonFiniteValue naming linear and column. */
  columnNorms(statistic: LinearStatistic): Float32Array;

  /** What to zero in a linear of so many input features. Throws ArgumentInvalid where the choice does not fit it. */
  selection(choice: LinearChoice, columns: number, linear: string): Selection;
}
