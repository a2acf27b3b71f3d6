/** What the kernel's bench and its threads say to each other. */
import type { KernelLayout } from '../../worker/kernels/kernel-layout.ts';
import type { KernelPass } from '../../worker/kernels/kernel-pass.ts';
import type { MatrixDescription } from '../../worker/kernels/selection.ts';

export interface BenchThreadData {
  readonly kernelModule: WebAssembly.Module;
  readonly copyModule: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Int32 words, see MEETING. */
  readonly meeting: SharedArrayBuffer;
}

/** Words that the threads of one measurement change with Atomics, to begin each step together. */
export const MEETING = {
  /** Threads that wait for the others. */
  arrived: 0,
  /** How often all have met. */
  met: 1,
} as const;
export const MEETING_BYTES = 8;

/** One thread's share: its area of the layout has room for its rows twice. */
export interface BenchRequest {
  readonly matrix: MatrixDescription;
  readonly pass: KernelPass;
  readonly layout: KernelLayout;
  readonly area: number;
  readonly threads: number;
  /** Rows of the share. The first half of the chunk is pruned; the second holds the weights as they were. */
  readonly rows: number;
  readonly rowsPerCall: number;
  readonly warmups: number;
  readonly repeats: number;
}

/** Nanoseconds for the thread's share, once. */
export interface BenchAnswer {
  readonly copyNs: number;
  readonly pruneNs: number;
}
