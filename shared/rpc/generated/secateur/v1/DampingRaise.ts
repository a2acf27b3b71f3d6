// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


/**
 * A Hessian whose factorization failed, and what was added to its diagonal then: fractions of the diagonal's mean.
 */
export interface DampingRaise {
  /**
   * Those that share it.
   */
  'linears'?: (string)[];
  'from'?: (number);
  'to'?: (number);
}

/**
 * A Hessian whose factorization failed, and what was added to its diagonal then: fractions of the diagonal's mean.
 */
export interface DampingRaise__Output {
  /**
   * Those that share it.
   */
  'linears': (string)[];
  'from': (number);
  'to': (number);
}
