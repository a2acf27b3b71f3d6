/** What the solver's pool and its threads say to each other; matrices stand in memory that they share. */
import type { ErrorCode, ErrorDetails } from '../../shared/errors/secateur-error.ts';
import type { PartOutcome, SweepTask } from '../methods/sparsegpt/column-sweep.ts';
import type { TileSizes } from '../methods/sparsegpt/invert-cholesky.ts';
import type { Range, SquareMatrix } from '../methods/sparsegpt/matrix-product.ts';
import type { TeamMemory } from './shared-team.ts';

export interface SolverThreadData {
  /** sparsegpt.wasm, compiled. */
  readonly module: WebAssembly.Module;
}

/** What a team is asked for; `rows`: this thread's. */
export type SolverWork =
  | { readonly type: 'invert'; readonly matrix: SquareMatrix; readonly sizes: TileSizes }
  | { readonly type: 'sweep'; readonly task: SweepTask; readonly rows: Range };

export type SolverRequest = SolverWork & {
  readonly team: TeamMemory;
  /** Of this thread in the team. */
  readonly index: number;
};

/** `close`: give everything back and end. */
export type ToSolverThread = SolverRequest | { readonly type: 'close' };

export type FromSolverThread =
  | { readonly type: 'ready' }
  | { readonly type: 'inverted'; readonly failedColumn: number | null }
  | { readonly type: 'swept'; readonly outcome: PartOutcome }
  | {
      readonly type: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly retryable: boolean;
      readonly details: ErrorDetails;
      readonly stack: string;
    }
  /** Another thread of the team failed. */
  | { readonly type: 'abandoned' };
