/** The most of a CUDA device's memory that is used while a bench runs, by the driver's own tool. */
import { type ChildProcess, spawn } from 'node:child_process';

const INTERVAL_SECONDS = 0.2;
const MEBIBYTE = 1024 ** 2;

/** A process of its own that asks on: ONNX Runtime blocks this one's thread in every run. */
export class DeviceWatch implements Disposable {
  private readonly child: ChildProcess;
  private peakMebibytes: number | null = null;

  constructor(deviceId: number) {
    const ask = `nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -i ${deviceId}`;
    // Asked anew each time: what it says with a loop of its own may wait in a buffer.
    const loop = `while ${ask}; do sleep ${INTERVAL_SECONDS}; done`;
    this.child = spawn('sh', ['-c', loop], { stdio: ['ignore', 'pipe', 'ignore'] });
    // There is no such shell: nothing is known, as without the tool.
    this.child.on('error', () => undefined);
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const found = text
        .split('\n')
        .map(Number)
        .filter((value) => value > 0);
      if (found.length > 0) this.peakMebibytes = Math.max(this.peakMebibytes ?? 0, ...found);
    });
  }

  /** Null where nobody said anything yet. */
  peakBytes(): number | null {
    return this.peakMebibytes === null ? null : this.peakMebibytes * MEBIBYTE;
  }

  [Symbol.dispose](): void {
    this.child.kill();
  }
}
