/** What the coordinator asks of a worker, in the core's own words; effects/task-messages.ts turns it into the wire's. */

import { type MicrobatchSet, showMicrobatches } from '../../shared/microbatch-set.ts';
import { fiveDigits } from '../../shared/storage/staging-names.ts';

export type PassInput = 'memory' | 'embed' | 'snapshot';

export type MeasureErrorSpec = Extract<TaskSpec, { kind: 'measureError' }>;
export type EvaluateSpec = Extract<TaskSpec, { kind: 'evaluate' }>;

export type PassSpec = Extract<TaskSpec, { kind: 'pass' }>;

export type TaskSpec =
  | { readonly kind: 'prepareCalibration' }
  | { readonly kind: 'digestSource'; readonly shard: string }
  | {
      readonly kind: 'pass';
      readonly stage: number;
      readonly layer: number;
      /** The layer's weights: dense from the source, or pruned from its committed file. */
      readonly weights: 'source' | 'committed';
      readonly input: PassInput;
      readonly microbatches: MicrobatchSet;
      readonly statistics: boolean;
      /** Products of the inputs' columns: of a layer whose statistics are added up. Never with `statistics`. */
      readonly hessian: boolean;
      readonly hidden: boolean;
      /** Of the microbatches: those whose next hidden states go to files. */
      readonly write: MicrobatchSet;
      /** Of the microbatches: those that the worker gives up afterwards. */
      readonly drop: MicrobatchSet;
    }
  /** For `layerwise`: of the layer's weights, how many stand out. */
  | { readonly kind: 'countOutliers'; readonly layer: number }
  | { readonly kind: 'prune'; readonly stage: number; readonly layer: number }
  /** Cuts a text into windows. */
  | { readonly kind: 'prepareEvaluation'; readonly text: number }
  /** Windows of a text through the whole model. */
  | {
      readonly kind: 'evaluate';
      readonly text: number;
      readonly weights: 'source' | 'committed';
      readonly windows: MicrobatchSet;
    }
  /** Calibration samples through the model, to see what pruning changed. */
  | { readonly kind: 'measureError'; readonly windows: MicrobatchSet }
  /** A worker that leaves writes what it holds to files. */
  | {
      readonly kind: 'handOver';
      readonly stage: number;
      readonly boundary: number;
      readonly microbatches: MicrobatchSet;
    };

/** Whether a task carries the sums of its layer's statistics. */
export function needsSums(spec: TaskSpec): spec is Extract<TaskSpec, { kind: 'pass' | 'prune' | 'countOutliers' }> {
  return spec.kind === 'prune' || spec.kind === 'countOutliers' || (spec.kind === 'pass' && spec.hessian);
}

/** A task's name, unique among the leased ones. */
export function taskName(spec: TaskSpec): string {
  const kind = taskKind(spec);
  if ('microbatches' in spec) return `${kind}-m${showMicrobatches(spec.microbatches)}`;
  return 'windows' in spec ? `${kind}-w${showMicrobatches(spec.windows)}` : kind;
}

/** What the retries of a task are counted by: the same work at the same layer, whichever microbatches it has. */
export function taskKind(spec: TaskSpec): string {
  switch (spec.kind) {
    case 'prepareCalibration':
      return 'prepare-calibration';
    case 'digestSource':
      return `digest-${spec.shard}`;
    case 'pass': {
      if (spec.hessian) return `correlate-${fiveDigits(spec.layer)}`;
      const verb = spec.statistics ? (spec.hidden ? 'pass' : 'calibrate') : 'forward';
      return `${verb}-${fiveDigits(spec.layer)}`;
    }
    case 'countOutliers':
      return `count-outliers-${fiveDigits(spec.layer)}`;
    case 'prune':
      return `prune-${fiveDigits(spec.layer)}`;
    case 'prepareEvaluation':
      return `prepare-evaluation-${spec.text}`;
    case 'evaluate':
      return `evaluate-${spec.weights === 'source' ? 'dense' : 'pruned'}-${spec.text}`;
    case 'measureError':
      return 'measure-error';
    case 'handOver':
      return `hand-over-${fiveDigits(spec.boundary)}`;
  }
}
