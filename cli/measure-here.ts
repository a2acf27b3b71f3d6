/** Workers as this machine would run them, for a plan that asks no coordinator: measured by an engine, as a worker's is. */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, hostname, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import type { PlannedWorker } from '../coordinator/core/worker-rates.ts';
import { toSecateurError } from '../shared/errors/secateur-error.ts';
import { VERSION } from '../shared/version.ts';
import { EngineProcess } from '../worker/agent/engine-process.ts';
import type { EngineReady } from '../worker/engine/messages.ts';
import { note } from './render/output.ts';

/** One engine measures for all: they would share the disk evenly, and the cores where there are too few. */
export async function measureHere(count: number): Promise<PlannedWorker[]> {
  const cores = availableParallelism();
  const threads = Math.max(1, Math.floor(cores / count));
  const ready = await engineReady(threads);
  const figures = ready?.figures;
  const capabilities = {
    host: hostname(),
    processId: process.pid,
    provider: ready?.provider ?? 'cpu',
    threads,
    memoryBytes: Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem()),
    version: VERSION,
    engineVersion: ready?.engineVersion ?? '',
    storageReadBytesPerSecond: (figures?.storageReadBytesPerSecond ?? 0) / count,
    storageWriteBytesPerSecond: (figures?.storageWriteBytesPerSecond ?? 0) / count,
    computeFlops: (figures?.computeFlops ?? 0) * Math.min(1, cores / (threads * count)),
    deviceMemoryBytes: figures?.deviceMemoryBytes ?? 0,
  };
  return Array.from({ length: count }, (_, index) => ({ name: `worker-${index + 1}`, capabilities }));
}

/** Null where no engine starts here: the plan is then made with what is assumed of any machine. */
async function engineReady(threads: number): Promise<EngineReady | null> {
  const cacheDirectory = await mkdtemp(join(tmpdir(), 'secateur-plan-'));
  const engine = new EngineProcess(
    {
      provider: 'auto',
      deviceId: 0,
      threads,
      coordinator: '',
      storage: 'auto',
      cacheDirectory,
      measure: true,
    },
    {
      message: (message) => {
        if (message.type === 'log' && message.level !== 'info') note(message.message);
      },
      ended: () => undefined,
    },
  );
  try {
    return await engine.ready;
  } catch (thrown) {
    note(`this machine could not be measured: ${toSecateurError(thrown).message}`);
    return null;
  } finally {
    engine.kill();
    await rm(cacheDirectory, { recursive: true, force: true });
  }
}
