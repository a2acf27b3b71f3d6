/** What the coordinator asks of a worker, in the core's own words; effects/task-messages.ts turns it into the wire's. */

import { fiveDigits } from '../../shared/storage/staging-names.ts';

export type PassInput = 'memory' | 'embed' | 'snapshot';

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
      readonly statistics: boolean;
      readonly hidden: boolean;
      readonly persist: boolean;
    }
  | { readonly kind: 'prune'; readonly stage: number; readonly layer: number };

/** A task's name: the same work has the same name in every attempt. */
export function taskName(spec: TaskSpec): string {
  switch (spec.kind) {
    case 'prepareCalibration':
      return 'prepare-calibration';
    case 'digestSource':
      return `digest-${spec.shard}`;
    case 'pass': {
      const verb = spec.statistics ? (spec.hidden ? 'pass' : 'calibrate') : 'forward';
      return `${verb}-${fiveDigits(spec.layer)}`;
    }
    case 'prune':
      return `prune-${fiveDigits(spec.layer)}`;
  }
}
