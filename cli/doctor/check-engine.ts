/** ONNX Runtime, in a child process: a library that cannot be loaded may take its process with it. */

import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { ENGINE_ENVIRONMENT } from '../../worker/engine/environment.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const PROBE = fileURLToPath(new URL('./probe-engine.ts', import.meta.url));
const PROBE_TIMEOUT_MS = 60_000;

export async function checkCpuEngine(): Promise<Finding> {
  const problem = await probe('cpu');
  if (problem === null) return ok('onnxruntime cpu', `onnxruntime-node ${engineVersion()} computes`);
  return fail('onnxruntime cpu', problem, 'install the dependencies again for this platform');
}

/** A machine without CUDA is a machine that prunes on its CPU. */
export async function checkCudaEngine(): Promise<Finding> {
  const problem = await probe('cuda');
  if (problem === null) return ok('onnxruntime cuda', 'device 0 computes');
  return warn(
    'onnxruntime cuda',
    `not there: ${innermost(problem)}`,
    'nothing, unless this machine is to compute on CUDA',
  );
}

/** @returns the problem; null where there is none */
function probe(provider: 'cpu' | 'cuda'): Promise<string | null> {
  return new Promise((resolve) => {
    const env = { ...process.env, ...ENGINE_ENVIRONMENT };
    execFile(process.execPath, [PROBE, provider], { env, timeout: PROBE_TIMEOUT_MS }, (error, stdout, stderr) => {
      if (error === null) return resolve(null);
      const how = error.signal
        ? `the process ended with ${error.signal}`
        : `the process ended with exit code ${error.code}`;
      resolve(stdout.trim() || stderr.trim().split('\n').at(-1) || how);
    });
  });
}

function engineVersion(): string {
  const require = createRequire(import.meta.url);
  return (require('onnxruntime-node/package.json') as { version: string }).version;
}

/** The runtime's own words stand at the end of probeProvider's first sentence, with paths and source lines after them. */
function innermost(problem: string): string {
  const [sentence = problem] = problem.split(/\n|\. /, 1);
  return sentence.slice(sentence.lastIndexOf(': ') + 1).trim();
}
