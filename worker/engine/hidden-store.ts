/**
 * The hidden states in the engine's memory: by layer boundary, then by microbatch, float32 [B, S, H].
 *
 * What is stored under (boundary, microbatch) is a pure function of the job's inputs: it does not matter which stage,
 * which task or which worker computed it.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { type MicrobatchSet, setOfMembers } from '../../shared/microbatch-set.ts';

export interface HeldStates {
  readonly boundary: number;
  readonly microbatches: MicrobatchSet;
}

export class HiddenStore {
  private readonly boundaries = new Map<number, Map<number, Float32Array>>();

  /** @throws InputsMissing where they are not held: the coordinator then has them computed again */
  get(boundary: number, microbatch: number): Float32Array {
    const states = this.boundaries.get(boundary)?.get(microbatch);
    if (states !== undefined) return states;
    throw new SecateurError(
      'InputsMissing',
      `expected the hidden states of microbatch ${microbatch} at boundary ${boundary} in memory; they are not there`,
      { retryable: true },
    );
  }

  put(boundary: number, microbatch: number, states: Float32Array): void {
    const held = this.boundaries.get(boundary) ?? new Map<number, Float32Array>();
    held.set(microbatch, states);
    this.boundaries.set(boundary, held);
  }

  drop(boundary: number, microbatch: number): void {
    const held = this.boundaries.get(boundary);
    held?.delete(microbatch);
    if (held?.size === 0) this.boundaries.delete(boundary);
  }

  /** The lowest boundary first. */
  holdings(): HeldStates[] {
    return [...this.boundaries]
      .map(([boundary, held]) => ({
        boundary,
        microbatches: setOfMembers(held.keys()),
      }))
      .sort((a, b) => a.boundary - b.boundary);
  }
}
