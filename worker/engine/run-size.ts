/**
 * Runs that the device has not the memory for are done in halves: the samples of a microbatch in two runs, those in two
 * again, down to one sample. What a sample gives does not depend on the others of its run, so the results, put together, are
 * those of the whole.
 *
 * What has once been too much is not tried again by the same engine, that is in the same job: whoever learned it at one
 * layer begins the next with runs that fit.
 */
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { DEVICE_BASE_BYTES, type DeviceBytes } from '../../shared/onnx/device-memory.ts';
import { showBytes } from '../../shared/units.ts';

/** What is run: for the words of a notice or an error, and for how much of it is one. */
export interface DeviceLoad {
  /** `layer 12`, `the language head` */
  readonly what: string;
  /** What a run has several of. */
  readonly unit: 'sample' | 'token';
  readonly tokensEach: number;
  /** Estimated (shared/onnx/device-memory.ts), of one. */
  readonly bytes: DeviceBytes;
}

export class RunSize {
  private tokensMax = Number.POSITIVE_INFINITY;

  /**
   * @param run takes those from `first` to `end`, and fails with DeviceMemoryExhausted where they are too many
   * @param notice is told once, behind the runs, where they had to be smaller than any before
   * @returns the result of every run, in order: together those of 0 to `count`
   * @throws DeviceMemoryExhausted where a single one is too much: load, bytes and what to do; otherwise as `run`
   */
  async inParts<Output>(
    count: number,
    load: DeviceLoad,
    run: (first: number, end: number) => Promise<Output>,
    notice: (message: string) => void,
  ): Promise<Output[]> {
    const before = this.tokensMax;
    const outputs = await this.part(0, count, load, run);
    if (this.tokensMax < before) {
      const most = Math.max(1, Math.floor(this.tokensMax / load.tokensEach));
      notice(
        `${load.what}: the device has not the memory for ${several(count, load.unit)} in a run; from here on at most ${several(most, load.unit)}, with the same result`,
      );
    }
    return outputs;
  }

  private async part<Output>(
    first: number,
    end: number,
    load: DeviceLoad,
    run: (first: number, end: number) => Promise<Output>,
  ): Promise<Output[]> {
    const count = end - first;
    if (count === 1 || count * load.tokensEach <= this.tokensMax) {
      try {
        return [await namingLoad(load, count, () => run(first, end))];
      } catch (thrown) {
        if (count === 1 || toSecateurError(thrown).code !== 'DeviceMemoryExhausted') throw thrown;
        this.tokensMax = Math.ceil(count / 2) * load.tokensEach;
      }
    }
    const middle = first + Math.ceil(count / 2);
    return [...(await this.part(first, middle, load, run)), ...(await this.part(middle, end, load, run))];
  }
}

/**
 * @param count of the load's samples or tokens; none where only its weights go to the device
 * @throws as `work`; DeviceMemoryExhausted names the load, what it is estimated to need, and what to do
 */
export async function namingLoad<Result>(
  load: DeviceLoad,
  count: number,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (thrown) {
    const error = toSecateurError(thrown);
    if (error.code !== 'DeviceMemoryExhausted') throw thrown;
    throw tooLarge(load, count, error);
  }
}

function tooLarge({ what, unit, bytes }: DeviceLoad, count: number, cause: SecateurError): SecateurError {
  const estimated = Math.round(DEVICE_BASE_BYTES + bytes.weights + count * bytes.sample);
  const asked = count === 0 ? 'its weights' : several(count, unit);
  return new SecateurError(
    'DeviceMemoryExhausted',
    `${what}: the device has not the memory for ${asked}, about ${showBytes(estimated)} by estimate. End other processes on the device (nvidia-smi lists them), use one with more memory, calibrate on shorter samples, or compute on the CPU (--provider cpu). ${cause.message}`,
    {
      cause,
      retryable: cause.retryable,
      details: { ...cause.details, load: what, [`${unit}s`]: count, estimatedBytes: estimated },
    },
  );
}

function several(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}
