/** The pool from file to file: the same bytes on any number of threads, and errors that name what they are about. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { compileKernel } from '../../../worker/kernels/kernel.ts';
import { CHUNK_BYTES, layoutKernelMemory } from '../../../worker/kernels/kernel-layout.ts';
import { KernelPool, type MatrixPruneJob } from '../../../worker/kernels/kernel-pool.ts';
import { gaussian, storeWeight } from '../../../worker/kernels/sample-weights.ts';
import type { Selection } from '../../../worker/kernels/selection.ts';
import { type KernelCase, makeCase } from '../../support/kernel-cases.ts';
import { InMemoryKernel } from '../../support/kernel-in-memory.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const THREADS = [1, 2, 3] as const;
const BEFORE = Buffer.from('a header of 27 bytes, odd..');
const AFTER = Buffer.from('what follows stays');
const HALF: Selection = { kind: 'row', prunedPerRow: 512 };

let folder: string;
let pools: KernelPool[];
let inMemory: InMemoryKernel;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'secateur-kernel-pool-'));
  pools = await Promise.all(THREADS.map((threads) => KernelPool.create({ threads })));
  inMemory = new InMemoryKernel(await compileKernel());
});
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
  rmSync(folder, { recursive: true });
});

let files = 0;
function newPath(): string {
  return join(folder, `${files++}.bin`);
}

/** A matrix of several chunks, made fast. */
function bigCase(dtype: 'BF16' | 'F16' | 'F32', rows: number, columns: number): KernelCase {
  const random = seededRandom(rows + columns);
  const values = Array.from({ length: 4096 }, () => storeWeight(dtype, 0.02 * gaussian(random)));
  const length = rows * columns;
  const weights = dtype === 'F32' ? new Float32Array(length) : new Uint16Array(length);
  for (let i = 0; i < length; i++) weights[i] = values[Math.floor(random() * values.length)]!;
  const columnNorms = Float32Array.from({ length: columns }, () => Math.exp(random()));
  return {
    name: `${dtype} ${rows}x${columns}`,
    matrix: { tensor: 'layers.1.up_proj.weight', dtype, rows, columns },
    weights,
    columnNorms,
  };
}

function bytesOf(weights: KernelCase['weights']): Buffer {
  return Buffer.from(weights.buffer, weights.byteOffset, weights.byteLength);
}

/** Writes a source file with bytes before and after the matrix, and a destination of the same kind; the job on them. */
function jobOf({ matrix, weights, columnNorms }: KernelCase, selection: Selection): MatrixPruneJob {
  const [source, destination] = [newPath(), newPath()];
  writeFileSync(source, Buffer.concat([BEFORE, bytesOf(weights), AFTER]));
  const filler = Buffer.alloc(weights.byteLength, 0xee);
  writeFileSync(destination, Buffer.concat([BEFORE.subarray(3), filler, AFTER]));
  return {
    ...matrix,
    saliency: { kind: 'normed', columnNorms },
    selection,
    source: { file: source, offset: BEFORE.length },
    destination: { file: destination, offset: BEFORE.length - 3 },
  };
}

async function errorOf(promise: Promise<unknown>): Promise<SecateurError> {
  return promise.then(
    () => {
      throw new Error('expected a rejection');
    },
    (error: SecateurError) => error,
  );
}

describe('from file to file', () => {
  const cases: [string, () => KernelCase, Selection][] = [
    ['rows of BF16', () => bigCase('BF16', 1700, 1024), HALF],
    ['rows of F16 of odd length', () => bigCase('F16', 1300, 1001), { kind: 'row', prunedPerRow: 700 }],
    ['rows of F32', () => bigCase('F32', 900, 1024), HALF],
    ['groups of BF16', () => bigCase('BF16', 1700, 1028), { kind: 'group', keep: 2, group: 4 }],
    ['a copy', () => bigCase('BF16', 1700, 1024), { kind: 'keepAll' }],
    ['one weight', () => makeCase('gaussian', 'BF16', 1, 1, 1), { kind: 'row', prunedPerRow: 0 }],
    ['rows longer than a chunk', () => bigCase('BF16', 3, 1 << 20), { kind: 'row', prunedPerRow: 1 << 19 }],
  ];
  test.each(cases)(
    '%s: 1, 2 and 3 threads write the bytes that one call in memory gives',
    async (_, make, selection) => {
      const made = make();
      const expected = inMemory.prune(made.matrix, made.weights, made.columnNorms, selection);
      if (expected.kind !== 'done') throw new Error('finite weights');
      for (const pool of pools) {
        const job = jobOf(made, selection);
        expect(await pool.pruneMatrix(job)).toEqual({ zeros: expected.zeros });
        const found = readFileSync(job.destination.file);
        const wanted = Buffer.concat([BEFORE.subarray(3), bytesOf(expected.weights), AFTER]);
        expect(found.equals(wanted)).toBe(true);
      }
    },
  );

  test('a matrix can be pruned in place', async () => {
    const made = makeCase('gaussian', 'BF16', 5, 64, 1);
    const job = jobOf(made, { kind: 'group', keep: 2, group: 4 });
    await pools[1]!.pruneMatrix(job);
    await pools[1]!.pruneMatrix({ ...job, destination: job.source });
    const inPlace = readFileSync(job.source.file).subarray(BEFORE.length);
    expect(inPlace.equals(readFileSync(job.destination.file).subarray(BEFORE.length - 3))).toBe(true);
  });

  test('a destination that is missing is made', async () => {
    const job = jobOf(makeCase('gaussian', 'F16', 2, 64, 1), { kind: 'keepAll' });
    const file = newPath();
    await pools[0]!.pruneMatrix({ ...job, destination: { file, offset: 5 } });
    expect(readFileSync(file).length).toBe(5 + 2 * 64 * 2);
  });

  test('no rows are no work', async () => {
    const job = jobOf(makeCase('gaussian', 'F16', 1, 64, 1), HALF);
    expect(await pools[0]!.pruneMatrix({ ...job, selection: { kind: 'keepAll' }, rows: 0 })).toEqual({ zeros: 0 });
  });

  test('jobs that come together are done one after the other, each right', async () => {
    const made = [bigCase('BF16', 800, 1024), bigCase('F32', 200, 2048), bigCase('F16', 1100, 512)];
    const jobs = made.map((each) => jobOf(each, HALF));
    const results = await Promise.all(jobs.map((job) => pools[2]!.pruneMatrix(job)));
    made.forEach(({ matrix, weights, columnNorms }, i) => {
      const expected = inMemory.prune(matrix, weights, columnNorms, HALF);
      if (expected.kind !== 'done') throw new Error('finite weights');
      expect(results[i]).toEqual({ zeros: expected.zeros });
      const found = readFileSync(jobs[i]!.destination.file).subarray(BEFORE.length - 3, -AFTER.length);
      expect(found.equals(bytesOf(expected.weights))).toBe(true);
    });
  });
});

describe('numbers that are none', () => {
  test('the first non-finite weight in row order is named, on any number of threads', async () => {
    const made = bigCase('BF16', 3000, 1024);
    // Each one stands before those already there, the last but one in a row that has one.
    for (const [row, column] of [
      [2999, 1023],
      [2400, 7],
      [2400, 5],
      [1100, 900],
    ] as const) {
      made.weights[row * 1024 + column] = 0x7fc0;
      for (const selection of [HALF, { kind: 'group', keep: 2, group: 4 }, { kind: 'keepAll' }] satisfies Selection[]) {
        for (const pool of pools) {
          const error = await errorOf(pool.pruneMatrix(jobOf(made, selection)));
          expect(error.code).toBe('NonFiniteValue');
          expect(error.details).toEqual({ tensor: made.matrix.tensor, row, column });
          expect(error.message).toContain(`${made.matrix.tensor}: `);
        }
      }
    }
  });

  test.each([Number.NaN, Infinity, -1])('a norm of %d is refused before the files are touched', async (norm) => {
    const job = jobOf(makeCase('gaussian', 'BF16', 1, 64, 1), { kind: 'keepAll' });
    if (job.saliency.kind === 'normed') job.saliency.columnNorms[9] = norm;
    const file = newPath();
    const error = await errorOf(pools[0]!.pruneMatrix({ ...job, destination: { file, offset: 0 } }));
    expect(error.code).toBe('NonFiniteValue');
    expect(error.details).toMatchObject({ tensor: job.tensor, column: 9 });
    expect(existsSync(file)).toBe(false);
  });

  test('after an error the pool prunes on', async () => {
    const made = makeCase('gaussian', 'BF16', 2, 1024, 1);
    const bad = jobOf({ ...made, weights: Uint16Array.from(made.weights, () => 0x7f80) }, HALF);
    await errorOf(pools[1]!.pruneMatrix(bad));
    expect(await pools[1]!.pruneMatrix(jobOf(made, HALF))).toEqual({ zeros: 1024 });
  });
});

describe('jobs that do not fit', () => {
  const fitting = () => jobOf(makeCase('gaussian', 'BF16', 2, 66, 1), { kind: 'keepAll' });
  test.each<[string, Partial<MatrixPruneJob>]>([
    ['a group that does not divide the columns', { selection: { kind: 'group', keep: 2, group: 4 } }],
    ['more pruned than there are', { selection: { kind: 'row', prunedPerRow: 67 } }],
    ['a part of a weight', { selection: { kind: 'row', prunedPerRow: 0.5 } }],
    ['norms of another matrix', { saliency: { kind: 'normed', columnNorms: new Float32Array(65) } }],
    ['no columns', { columns: 0, saliency: { kind: 'normed', columnNorms: new Float32Array(0) } }],
    ['half a row', { rows: 1.5 }],
  ])('%s: ArgumentInvalid names the tensor', async (_, part) => {
    const error = await errorOf(pools[0]!.pruneMatrix({ ...fitting(), ...part }));
    expect(error.code).toBe('ArgumentInvalid');
    expect(error.message).toContain(fitting().tensor);
  });

  test('rows too long for WebAssembly say how many threads they were too many for', () => {
    const matrix = { tensor: 'wide', dtype: 'BF16', rows: 8, columns: 100_000_000 } as const;
    expect(() => layoutKernelMemory(matrix, 8)).toThrow('wide: rows of 100000000 columns on 8 threads');
  });

  test('memory is bounded as the layout says', () => {
    const matrix = { tensor: 't', dtype: 'BF16', rows: 1_000_000, columns: 22016 } as const;
    const bound = 65536 + 4 * 22016 + 16 * (CHUNK_BYTES + 10 * 22016 + 2 * 4096) + 2 * 65536;
    expect(layoutKernelMemory(matrix, 16).totalPages * 65536).toBeLessThanOrEqual(bound);
  });

  test.each([0, -1, 1.5])('a pool of %d threads is none', async (threads) => {
    expect((await errorOf(KernelPool.create({ threads }))).code).toBe('ArgumentInvalid');
  });
});

describe('files that fail', () => {
  test('a source that ends inside the tensor: SourceChanged names file and tensor', async () => {
    const job = jobOf(bigCase('BF16', 1700, 1024), HALF);
    writeFileSync(job.source.file, readFileSync(job.source.file).subarray(0, 2_000_001));
    for (const pool of pools) {
      const error = await errorOf(pool.pruneMatrix(job));
      expect(error.code).toBe('SourceChanged');
      expect(error.message).toContain(job.source.file);
      expect(error.details).toMatchObject({ file: job.source.file, tensor: job.tensor, foundEnd: 2_000_001 });
    }
  });

  test('a source that is missing: SourceMissing names it', async () => {
    const job = jobOf(makeCase('gaussian', 'BF16', 1, 64, 1), { kind: 'keepAll' });
    const file = newPath();
    const error = await errorOf(pools[0]!.pruneMatrix({ ...job, source: { file, offset: 0 } }));
    expect(error.code).toBe('SourceMissing');
    expect(error.message).toContain(file);
  });

  test.skipIf(!existsSync('/dev/full'))('a full disk: StorageFull names the file', async () => {
    const job = jobOf(bigCase('BF16', 1700, 1024), HALF);
    const error = await errorOf(pools[2]!.pruneMatrix({ ...job, destination: { file: '/dev/full', offset: 0 } }));
    expect(error.code).toBe('StorageFull');
    expect(error.message).toContain('/dev/full');
  });
});

describe('threads that die', () => {
  const thread = (onJob: string) =>
    new URL(
      `data:text/javascript,${encodeURIComponent(
        `import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => { ${onJob} }); parentPort.postMessage({ type: 'ready' });`,
      )}`,
    );

  test.each([
    ['ends', 'process.exit(3)', 'exit code 3'],
    ['throws', "throw new Error('out of luck')", 'out of luck'],
  ])('one that %s rejects the job in hand and the next', async (_, onJob, reason) => {
    const pool = await KernelPool.create({ threads: 2, threadFile: thread(onJob) });
    const job = jobOf(bigCase('BF16', 1700, 1024), HALF);
    for (const error of await Promise.all([errorOf(pool.pruneMatrix(job)), errorOf(pool.pruneMatrix(job))])) {
      expect(error.code).toBe('EngineFailed');
      expect(error.retryable).toBe(true);
      expect(error.message).toMatch(/^kernel thread [12] of 2 is gone/);
      expect(error.message).toContain(reason);
    }
    await pool.close();
  });

  test('one that does not start rejects the pool', async () => {
    const threadFile = new URL('data:text/javascript,throw new Error("no start")');
    const error = await errorOf(KernelPool.create({ threads: 2, threadFile }));
    expect(error.code).toBe('EngineFailed');
    expect(error.message).toContain('no start');
  });
});

describe('closing', () => {
  test('finishes the jobs that wait, refuses later ones, and may be done twice', async () => {
    const pool = await KernelPool.create({ threads: 2 });
    const jobs = [1, 2].map(() => jobOf(bigCase('BF16', 600, 1024), HALF));
    const results = jobs.map((job) => pool.pruneMatrix(job));
    await pool.close();
    expect(await Promise.all(results)).toEqual(jobs.map(() => ({ zeros: 600 * 512 })));
    expect((await errorOf(pool.pruneMatrix(jobs[0]!))).message).toContain('closed');
    await pool.close();
  });
});
