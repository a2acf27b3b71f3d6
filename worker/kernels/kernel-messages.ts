/** What the pool and its threads say to each other; the weights themselves never pass here. */
import type { KernelLayout } from './kernel-layout.ts';
import type { MatrixDescription, Selection } from './selection.ts';

export interface ThreadData {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Int32 words, see CONTROL. */
  readonly control: SharedArrayBuffer;
}

/** Words that all threads change with Atomics. */
export const CONTROL = {
  /** The next chunk that nobody has claimed. */
  nextChunk: 0,
  /** Chunks after this one are not begun: the first that failed, -1 to stop everything. */
  lastChunk: 1,
} as const;
export const CONTROL_BYTES = 8;
export const NO_LAST_CHUNK = 0x7fffffff;

/** One matrix, or the share of one thread in it. Descriptors belong to the process: the pool opens and closes them. */
export interface PruneRequest {
  readonly matrix: MatrixDescription;
  readonly selection: Selection;
  readonly layout: KernelLayout;
  /** Which of the layout's areas is this thread's. */
  readonly area: number;
  readonly source: { readonly descriptor: number; readonly offset: number };
  readonly destination: { readonly descriptor: number; readonly offset: number };
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
