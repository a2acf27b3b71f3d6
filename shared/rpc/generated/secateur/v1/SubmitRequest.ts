// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface SubmitRequest {
  /**
   * The manifest as JSON, every location absolute.
   */
  'manifestJson'?: (string);
  /**
   * A job whose work this one may take over, as far as inputs, specs and versions are the same; empty: none.
   */
  'reuse'?: (string);
  /**
   * Keep what a later job may take over of this one.
   */
  'reusable'?: (boolean);
  /**
   * With `reusable`: the Hessians as well (sparsegpt, propagate: dense). They are large: for a job that is known to want them.
   */
  'keepHessians'?: (boolean);
}

export interface SubmitRequest__Output {
  /**
   * The manifest as JSON, every location absolute.
   */
  'manifestJson': (string);
  /**
   * A job whose work this one may take over, as far as inputs, specs and versions are the same; empty: none.
   */
  'reuse': (string);
  /**
   * Keep what a later job may take over of this one.
   */
  'reusable': (boolean);
  /**
   * With `reusable`: the Hessians as well (sparsegpt, propagate: dense). They are large: for a job that is known to want them.
   */
  'keepHessians': (boolean);
}
