/**
 * Which of the runtime's kernels a processor gets. ONNX Runtime chooses them when it starts, by the widest vectors that there
 * are (onnxruntime/core/mlas/lib/platform.cpp), and wider ones add up in another order: two workers whose processors differ
 * in that are as two versions of the runtime, and do not compute the same job.
 */
import { readFile } from 'node:fs/promises';

/** In the words of /proc/cpuinfo, widest first. */
const X64_SETS = ['avx512f', 'avx2', 'avx'] as const;

/** @returns `avx512f`, `avx2`, `avx`, `sse2`; elsewhere than on Linux, or on another architecture, what Node calls that */
export async function instructionSet(
  { platform, arch }: Pick<NodeJS.Process, 'platform' | 'arch'> = process,
  readCpuInfo = (): Promise<string> => readFile('/proc/cpuinfo', 'utf8'),
): Promise<string> {
  if (platform !== 'linux' || arch !== 'x64') return arch;
  const flags = /^flags\s*:(.*)$/m.exec(await readCpuInfo())?.[1]?.split(/\s+/) ?? [];
  return X64_SETS.find((name) => flags.includes(name)) ?? 'sse2';
}
