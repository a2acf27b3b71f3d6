// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

/**
 * The folders that belong to a job. Nothing outside them can be named on the wire.
 */
export const FileRoot = {
  FILE_ROOT_UNSPECIFIED: 'FILE_ROOT_UNSPECIFIED',
  /**
   * The source checkpoint's directory (read only).
   */
  FILE_ROOT_SOURCE: 'FILE_ROOT_SOURCE',
  /**
   * <output>/.secateur: committed layers, snapshots, calibration ids (read and write).
   */
  FILE_ROOT_STAGING: 'FILE_ROOT_STAGING',
  /**
   * The manifest's calibration files, named by their position: "0", "1", … (read only).
   */
  FILE_ROOT_CALIBRATION: 'FILE_ROOT_CALIBRATION',
  /**
   * The manifest's evaluation files, named by their position (read only).
   */
  FILE_ROOT_EVALUATION: 'FILE_ROOT_EVALUATION',
} as const;

/**
 * The folders that belong to a job. Nothing outside them can be named on the wire.
 */
export type FileRoot =
  | 'FILE_ROOT_UNSPECIFIED'
  /**
   * The source checkpoint's directory (read only).
   */
  | 'FILE_ROOT_SOURCE'
  /**
   * <output>/.secateur: committed layers, snapshots, calibration ids (read and write).
   */
  | 'FILE_ROOT_STAGING'
  /**
   * The manifest's calibration files, named by their position: "0", "1", … (read only).
   */
  | 'FILE_ROOT_CALIBRATION'
  /**
   * The manifest's evaluation files, named by their position (read only).
   */
  | 'FILE_ROOT_EVALUATION'

/**
 * The folders that belong to a job. Nothing outside them can be named on the wire.
 */
export type FileRoot__Output = typeof FileRoot[keyof typeof FileRoot]
