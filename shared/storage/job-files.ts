/**
 * A job's files as an engine sees them, wherever they are: in place on a file system that it shares with the
 * coordinator (direct-job-files.ts), or fetched from and sent to the coordinator (coordinator-job-files.ts). Which of
 * the two is decided once a job, by choose-job-files.ts.
 */
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import type { FileRef } from '../rpc/generated/secateur/v1/FileRef.ts';
import type { TaskIdentity } from '../rpc/generated/secateur/v1/TaskIdentity.ts';
import type { TensorRef } from '../rpc/generated/secateur/v1/TensorRef.ts';

export interface JobFiles {
  readonly kind: 'direct' | 'coordinator';

  /**
   * The task that is about to run: commits are made in its name. Whatever the task before was given may be dropped from
   * a cache from now on.
   */
  setIdentity(identity: TaskIdentity | null): void;

  /**
   * An absolute path, free of links, of a local file with this content; valid until `release` or the next task.
   * A given size is checked, and the digest of a staged file, here or when it came over a network.
   *
   * @throws SourceMissing, SourceChanged, LimitExceeded (the cache is too small); StorageFailed, ChecksumMismatch: of a
   * staged file with its name in `details.staged`
   */
  localPath(ref: FileRef): Promise<string>;

  /** Says that the path is no longer read. Without it, that is known when the next task begins. */
  release(ref: FileRef): void;

  /**
   * Where these tensors stand in local files, by name, in the order given; valid until the next task.
   *
   * @throws as `localPath`; ArgumentInvalid where dtype, shape and size contradict each other
   */
  fetchTensors(refs: readonly TensorRef[]): Promise<Map<string, TensorLocation>>;

  /** Says that none of these tensors is read any more: a long task may go through more of them than a cache holds. */
  releaseTensors(refs: readonly TensorRef[]): void;

  /** A local directory that holds these files of the source under these names. A name that the source lacks is left out. */
  sourceDirectory(names: readonly string[]): Promise<string>;

  /** Where to write a file that `commit` is then given under the same name. Nothing stands there yet. */
  scratchPath(name: string): Promise<string>;

  /**
   * Makes a finished file appear under its name in staging, whole and durable, in the place of any earlier one. The
   * scratch file is gone afterwards.
   *
   * @param ref root staging, with size and digest
   * @returns what was committed
   * @throws StaleEpoch (another attempt has taken this task over), StorageFull, StorageFailed, ChecksumMismatch
   */
  commit(ref: FileRef, scratch: string): Promise<FileRef>;
}
