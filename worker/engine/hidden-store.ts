/**
 * The hidden states in the engine's memory: for each stage, every microbatch at one layer boundary, float32 [B, S, H].
 *
 * Invariant: a stage that is listed has all its microbatches at `boundary`. While a pass replaces them one by one the
 * stage is taken out, so a pass that fails half way leaves nothing that could be mistaken for a boundary.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { StageHolding } from './messages.ts';

export interface StageHidden {
  boundary: number;
  readonly microbatches: Float32Array[];
}

export class HiddenStore {
  private readonly stages = new Map<number, StageHidden>();

  /** @throws InputsMissing where the stage is not held at that boundary: the coordinator then has it computed again */
  take(stage: number, boundary: number): StageHidden {
    const held = this.stages.get(stage);
    if (held === undefined || held.boundary !== boundary) {
      const found = held === undefined ? 'none' : `those of boundary ${held.boundary}`;
      throw new SecateurError(
        'InputsMissing',
        `stage ${stage}: expected the hidden states of boundary ${boundary} in memory; found ${found}`,
        { retryable: true, details: { stage, boundary } },
      );
    }
    this.stages.delete(stage);
    return held;
  }

  put(stage: number, hidden: StageHidden): void {
    this.stages.set(stage, hidden);
  }

  drop(stage: number): void {
    this.stages.delete(stage);
  }

  holdings(): StageHolding[] {
    return [...this.stages].map(([stage, { boundary }]) => ({ stage, boundary }));
  }
}
