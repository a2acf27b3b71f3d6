/**
 * What the engine's process is started with. Libraries read these when they are loaded: setting them later is too late.
 */
export const ENGINE_ENVIRONMENT: Readonly<Record<string, string>> = {
  // The runtime's binary starts a telemetry thread unless it is told not to.
  ORT_DISABLE_TELEMETRY: '1',
  // CUDA multiplies float32 with 10 bits of mantissa otherwise, and the binding cannot say so.
  NVIDIA_TF32_OVERRIDE: '0',
  // Activations of tens of megabytes come and go with every operator. Kept in the process rather than mapped anew each
  // time, a layer takes a fifth less time (bench/forward.ts) for about half a layer more memory (`secateur bench
  // model`; the bound holds). glibc only; others ignore it.
  MALLOC_MMAP_THRESHOLD_: '4294967296',
  MALLOC_TRIM_THRESHOLD_: '8589934592',
};
