// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface PlanResponse {
  /**
   * coordinator/core Plan as JSON.
   */
  'planJson'?: (string);
}

export interface PlanResponse__Output {
  /**
   * coordinator/core Plan as JSON.
   */
  'planJson': (string);
}
