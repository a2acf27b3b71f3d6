/**
 * What the tests of test/gpu compute on.
 *
 *   SECATEUR_GPU=1               a machine without CUDA fails them, rather than skip them
 *   SECATEUR_GPU_PROVIDER=cpu    the same tests on the CPU: for their own logic, on a machine without a device
 */
import { checkCudaEngine } from '../../cli/doctor/check-engine.ts';

export const GPU_PROVIDER = process.env.SECATEUR_GPU_PROVIDER === 'cpu' ? 'cpu' : 'cuda';

/** Why there is nothing to compute on; null where there is. */
export async function missingGpu(): Promise<string | null> {
  if (GPU_PROVIDER === 'cpu') return null;
  const { status, found } = await checkCudaEngine();
  return status === 'ok' ? null : found;
}

export const isGpuRequired = process.env.SECATEUR_GPU === '1';
