/** Methods as the engine runs them, on weights that a test has in memory: written to a file, pruned by a pool, read back. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KernelPool } from '../../worker/kernels/kernel-pool.ts';
import type { StoredWeights } from '../../worker/kernels/reference.ts';
import type { MatrixDescription } from '../../worker/kernels/selection.ts';
import type { LinearJob, MethodOptions } from '../../worker/methods/method.ts';
import { methodByName } from '../../worker/methods/registry.ts';

/** The statistic that gives these norms: their squares, of one sample. Exact for a scaler_row of the reference. */
export function statisticOf(scaler: ArrayLike<number>): LinearJob['statistic'] {
  return () => ({ linear: 'linear', inputNormSquared: Float64Array.from(scaler), samples: 1 });
}

export function noStatistic(): never {
  throw new Error('a method that needs no statistic asked for one');
}

export class MethodBench {
  readonly notices: string[] = [];
  private readonly folder = mkdtempSync(join(tmpdir(), 'secateur-methods-'));
  private readonly pool: KernelPool;

  private constructor(pool: KernelPool) {
    this.pool = pool;
  }

  static async create(threads: number): Promise<MethodBench> {
    return new MethodBench(await KernelPool.create({ threads }));
  }

  async prune(
    method: string,
    matrix: MatrixDescription,
    weights: StoredWeights,
    choice: LinearJob['choice'],
    options: MethodOptions = {},
    statistic: LinearJob['statistic'] = noStatistic,
  ): Promise<{ zeros: number; weights: StoredWeights }> {
    const source = { file: join(this.folder, 'source'), offset: 3 };
    const destination = { file: join(this.folder, 'destination'), offset: 5 };
    const bytes = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
    writeFileSync(source.file, Buffer.concat([Buffer.alloc(source.offset), bytes]));
    writeFileSync(destination.file, '');
    const job = { ...matrix, source, destination, choice, options, statistic };
    const notice = (message: string) => this.notices.push(message);
    const { zeros } = await methodByName(method).pruneLinear(job, { kernels: this.pool, notice });
    const { buffer } = Uint8Array.from(readFileSync(destination.file).subarray(destination.offset));
    return { zeros, weights: weights instanceof Float32Array ? new Float32Array(buffer) : new Uint16Array(buffer) };
  }

  async close(): Promise<void> {
    await this.pool.close();
    rmSync(this.folder, { recursive: true });
  }
}
