/** What the pool and its threads say to each other; the weights themselves never pass here. */
import type { KernelLayout } from './kernel-layout.ts';
import type { KernelPass } from './kernel-pass.ts';
import type { MatrixDescription } from './selection.ts';

export interface ThreadData {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Int32 words, see CONTROL. */
  readonly control: SharedArrayBuffer;
}

/** Words that all threads change with Atomics. */
export const CONTROL = {
  /** The next block of chunks that nobody has claimed. */
  nextBlock: 0,
  /** Blocks after this one are not begun: the first that failed, -1 to stop everything. */
  lastBlock: 1,
} as const;
export const CONTROL_BYTES = 8;
export const NO_LAST_BLOCK = 0x7fffffff;

/** One matrix, or the share of one thread in it. Descriptors belong to the process: the pool opens and closes them. */
export interface PassRequest {
  readonly matrix: MatrixDescription;
  readonly pass: KernelPass;
  readonly layout: KernelLayout;
  /** Which of the layout's areas is this thread's. */
  readonly area: number;
  /** What a thread claims at once. */
  readonly chunksPerBlock: number;
  readonly source: { readonly descriptor: number; readonly offset: number };
  /** Null: the pass changes nothing. */
  readonly destination: { readonly descriptor: number; readonly offset: number } | null;
}

export type ChunkFailure =
  /** row counts from the matrix's first. */
  | { readonly kind: 'nonFinite'; readonly chunk: number; readonly row: number; readonly column: number }
  | { readonly kind: 'shortRead'; readonly chunk: number; readonly expectedEnd: number; readonly foundEnd: number }
  | {
      readonly kind: 'system';
      readonly chunk: number;
      readonly file: 'source' | 'destination';
      readonly errno: string | null;
      readonly message: string;
    };

export type FromThread =
  | { readonly type: 'ready' }
  | { readonly type: 'done'; readonly zeros: number; readonly failure: ChunkFailure | null };
