// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { GroupPattern as _secateur_v1_GroupPattern, GroupPattern__Output as _secateur_v1_GroupPattern__Output } from '../../secateur/v1/GroupPattern.ts';

export interface LinearSelection {
  /**
   * The tensor, for example "model.layers.3.mlp.down_proj.weight".
   */
  'tensor'?: (string);
  'statistic'?: (string);
  'keepAll'?: (boolean);
  'sparsity'?: (number);
  'pattern'?: (_secateur_v1_GroupPattern | null);
  'selection'?: "keepAll"|"sparsity"|"pattern";
}

export interface LinearSelection__Output {
  /**
   * The tensor, for example "model.layers.3.mlp.down_proj.weight".
   */
  'tensor': (string);
  'statistic': (string);
  'keepAll'?: (boolean);
  'sparsity'?: (number);
  'pattern'?: (_secateur_v1_GroupPattern__Output | null);
  'selection'?: "keepAll"|"sparsity"|"pattern";
}
