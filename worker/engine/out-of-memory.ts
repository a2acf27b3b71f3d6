/** Whether the runtime failed for want of the device's memory: it says so in words alone. Pure. */

/**
 * From the sources of ONNX Runtime: core/framework/bfc_arena.cc (the arena that it allocates from), core/providers/cuda/
 * cuda_call.cc (what CUDA and its libraries answer). 2 is cudaErrorMemoryAllocation.
 */
const WORDS: readonly RegExp[] = [
  /failed to allocate memory for requested buffer of size/i,
  /available memory of \d+ is smaller than requested bytes of/i,
  /failed to find a free memory block despite calling extend/i,
  /cuda failure 2\b/i,
  /cuda(?: error)?: out of memory/i,
  /cudaErrorMemoryAllocation/,
  /CU(?:BLAS|DNN|RAND|FFT)_STATUS_(?:\w+_)?ALLOC(?:ATION)?_FAILED/,
];

export function isOutOfMemory(words: string): boolean {
  return WORDS.some((each) => each.test(words));
}
