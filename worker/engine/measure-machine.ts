/**
 * What a worker tells the planner about its machine, measured once when it starts: a third of a second in all. What
 * cannot be measured is zero, "not known", and never the reason not to serve.
 */
import { execFile } from 'node:child_process';
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import { type ComputeSettings, measureFlops } from './measure-compute.ts';
import { measureStorage } from './measure-storage.ts';
import type { MachineFigures } from './messages.ts';

/** nvidia-smi wakes a driver that sleeps. */
const DEVICE_TIMEOUT_MS = 5_000;

/** @param directory where the worker would keep files of its own */
export async function measureMachine(
  settings: ComputeSettings,
  directory: string,
  say: (text: string) => void,
): Promise<MachineFigures> {
  const orUnknown = async <Value>(what: string, measure: () => Promise<Value>): Promise<Value | null> => {
    try {
      return await measure();
    } catch (thrown) {
      say(`${what} could not be measured: ${toSecateurError(thrown).message}`);
      return null;
    }
  };
  // One after the other: measured at once, each would slow the other.
  const storage = await orUnknown(`the storage at ${directory}`, () => measureStorage(directory));
  const computeFlops = await orUnknown('the rate of computation', () => measureFlops(settings));
  const device =
    settings.provider === 'cuda' ? await orUnknown("the device's memory", () => deviceMemory(settings.deviceId)) : null;
  return {
    storageReadBytesPerSecond: storage?.readBytesPerSecond ?? 0,
    storageWriteBytesPerSecond: storage?.writeBytesPerSecond ?? 0,
    computeFlops: computeFlops ?? 0,
    deviceMemoryBytes: device ?? 0,
  };
}

/** ONNX Runtime does not say; the driver's own tool does. Not run on a machine with a GPU yet. */
function deviceMemory(deviceId: number): Promise<number> {
  const args = ['--query-gpu=memory.total', '--format=csv,noheader,nounits', '-i', String(deviceId)];
  return new Promise((resolve, reject) => {
    execFile('nvidia-smi', args, { timeout: DEVICE_TIMEOUT_MS }, (error, stdout) => {
      const mebibytes = Number(stdout);
      if (error !== null) reject(error);
      else if (Number.isFinite(mebibytes) && mebibytes > 0) resolve(mebibytes * 1024 ** 2);
      else reject(new Error(`nvidia-smi: expected a number of MiB; found ${JSON.stringify(stdout)}`));
    });
  });
}
