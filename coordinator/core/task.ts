/** What the coordinator asks of a worker, in the core's own words; effects/task-messages.ts turns it into the wire's. */

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
      return `${verb}-${layerName(spec.layer)}`;
    }
    case 'prune':
      return `prune-${layerName(spec.layer)}`;
  }
}

/** Five digits, as in the names of staged files. */
export function layerName(layer: number): string {
  return String(layer).padStart(5, '0');
}
