/** Runs in halves, against a device that is a number: so many samples fit, more do not. */
import { describe, expect, it } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { isOutOfMemory } from '../../../worker/engine/out-of-memory.ts';
import { type DeviceLoad, namingLoad, RunSize } from '../../../worker/engine/run-size.ts';

const LAYER: DeviceLoad = {
  what: 'layer 3',
  unit: 'sample',
  tokensEach: 128,
  bytes: { weights: 2 ** 30, sample: 2 ** 20 },
};

class Device {
  readonly runs: [number, number][] = [];
  readonly notices: string[] = [];
  private readonly most: number;

  constructor(most: number) {
    this.most = most;
  }

  readonly run = async (first: number, end: number): Promise<number[]> => {
    this.runs.push([first, end]);
    if (end - first > this.most)
      throw new SecateurError('DeviceMemoryExhausted', 'the words of the runtime', { retryable: true });
    return Array.from({ length: end - first }, (_, index) => first + index);
  };

  async through(count: number, size: RunSize, load = LAYER): Promise<number[]> {
    return (await size.inParts(count, load, this.run, (message) => this.notices.push(message))).flat();
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('a microbatch', () => {
  it('that fits is one run, and nothing is said', async () => {
    const device = new Device(8);
    expect(await device.through(8, new RunSize())).toEqual(upTo(8));
    expect([device.runs, device.notices]).toEqual([[[0, 8]], []]);
  });

  it.each([1, 2, 3, 5, 7, 8, 13])('of 13, where %i fit, is every sample once, in order', async (most) => {
    expect(await new Device(most).through(13, new RunSize())).toEqual(upTo(13));
  });

  it('that does not fit is halved until it does; it is said once, and not tried again', async () => {
    const [device, size] = [new Device(2), new RunSize()];
    await device.through(8, size);
    expect(device.runs).toEqual([[0, 8], [0, 4], [0, 2], [2, 4], [4, 6], [6, 8]]); // biome-ignore format: one line
    expect(device.notices).toEqual([
      'layer 3: the device has not the memory for 8 samples in a run; from here on at most 2 samples, with the same result',
    ]);
    device.runs.length = 0;
    expect(await device.through(5, size)).toEqual(upTo(5));
    expect(device.runs).toEqual([[0, 2], [2, 3], [3, 5]]); // biome-ignore format: one line
    expect(device.notices).toHaveLength(1);
  });

  it('of samples twice as long has half as many in a run, and one at least', async () => {
    const [device, size] = [new Device(4), new RunSize()];
    await device.through(8, size);
    device.runs.length = 0;
    await device.through(4, size, { ...LAYER, tokensEach: 256 });
    await device.through(1, size, { ...LAYER, tokensEach: 4096 });
    expect(device.runs).toEqual([[0, 2], [2, 4], [0, 1]]); // biome-ignore format: one line
  });
});

describe('what does not fit at all', () => {
  it('names layer, samples, bytes and what to do', async () => {
    const [device, size] = [new Device(0), new RunSize()];
    await expect(device.through(4, size)).rejects.toMatchObject({
      code: 'DeviceMemoryExhausted',
      retryable: true,
      details: { load: 'layer 3', samples: 1, estimatedBytes: 1e9 + 2 ** 30 + 2 ** 20 },
      message: expect.stringMatching(
        /^layer 3: the device has not the memory for 1 sample, about 1\.93 GiB by estimate\. .*nvidia-smi.*--provider cpu\)\. the words of the runtime$/,
      ),
    });
    expect(device.runs).toEqual([[0, 4], [0, 2], [0, 1]]); // biome-ignore format: one line
  });

  it('are the weights alone, where a session cannot be made', async () => {
    const create = (): Promise<never> => new Device(-1).run(0, 0) as Promise<never>;
    await expect(namingLoad(LAYER, 0, create)).rejects.toMatchObject({
      message: expect.stringContaining('layer 3: the device has not the memory for its weights, about 1.93 GiB'),
    });
  });

  it('another failure is thrown as it is, at once', async () => {
    const failure = new SecateurError('EngineFailed', 'a shape');
    const run = (): Promise<never> => Promise.reject(failure);
    await expect(new RunSize().inParts(8, LAYER, run, () => undefined)).rejects.toBe(failure);
  });
});

describe('the runtime is out of memory where it says', () => {
  it.each([
    "Non-zero status code returned while running Mul node. Name:'node_9_Mul' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 2830172160",
    'Available memory of 1048576 is smaller than requested bytes of 939524096',
    'Failed to find a free memory block despite calling Extend. rounded_bytes=2048',
    'CUDA failure 2: out of memory ; GPU=0 ; hostname=node7 ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_allocator.cc ; line=47 ; expr=cudaMalloc((void**)&p, size);',
    'CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; hostname=node7 ; expr=cublasCreate(&cublas_handle_);',
    'CUDNN failure 2: CUDNN_STATUS_ALLOC_FAILED ; GPU=0',
  ])('%s', (words) => expect(isOutOfMemory(words)).toBe(true));

  it.each([
    'CUDA failure 700: an illegal memory access was encountered ; GPU=0',
    'CUDA failure 209: no kernel image is available for execution on the device ; GPU=0',
    'CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED',
    'Got invalid dimensions for input: hidden for the following indices',
    'Failed to load shared library',
  ])('and not where it says: %s', (words) => expect(isOutOfMemory(words)).toBe(false));
});
