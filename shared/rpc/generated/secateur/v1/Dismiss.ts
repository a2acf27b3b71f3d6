// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto


/**
 * A draining worker has nothing left that anybody needs: it may leave.
 */
export interface Dismiss {
}

/**
 * A draining worker has nothing left that anybody needs: it may leave.
 */
export interface Dismiss__Output {
}
