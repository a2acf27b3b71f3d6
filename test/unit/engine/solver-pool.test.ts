/** The solver's threads: what they cannot do is told once, and one that dies takes nobody with it but the pool. */
import { afterEach, expect, test } from 'vitest';
import type { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { LocalSolver } from '../../../worker/engine/local-solver.ts';
import { SolverPool } from '../../../worker/engine/solver-pool.ts';
import type { SweepTask } from '../../../worker/methods/sparsegpt/column-sweep.ts';
import { TILE_SIZES } from '../../../worker/methods/sparsegpt/invert-cholesky.ts';
import { sharedFloats } from '../../../worker/methods/sparsegpt/team.ts';
import { randomWeights, sharedCopy } from '../../support/sparsegpt-cases.ts';

const pools: SolverPool[] = [];
afterEach(() => Promise.all(pools.splice(0).map((pool) => pool.close())));

async function createPool(threads: number, script?: string): Promise<SolverPool> {
  const threadFile =
    script === undefined ? {} : { threadFile: new URL(`data:text/javascript,${encodeURIComponent(script)}`) };
  const pool = await SolverPool.create({ threads, ...threadFile });
  pools.push(pool);
  return pool;
}

function errorOf(promise: Promise<unknown>): Promise<SecateurError> {
  return promise.then(
    () => {
      throw new Error('expected a rejection');
    },
    (error: SecateurError) => error,
  );
}

/** U is the identity: nothing is made up for. */
function taskOf(rows: number, columns: number, options: Partial<SweepTask> = {}): SweepTask {
  const upper = { values: sharedFloats(columns * columns), size: columns };
  for (let column = 0; column < columns; column++) upper.values[column * (columns + 1)] = 1;
  const weights = sharedCopy(randomWeights(rows * columns, 1));
  const choice = { kind: 'pattern', keep: 1, group: 2 } as const;
  return { linear: 'up_proj', weights, rows, choice, blockSize: 2, upper, deadColumns: [], ...options };
}

test('parts follow one another, and are as many as threads where there are rows enough', async () => {
  const pool = await createPool(3);
  const zeros = async (rows: number) =>
    (await pool.sweep(taskOf(rows, 4))).map((part) => part.kind === 'done' && part.zeros);
  expect(await zeros(1)).toEqual([2]);
  expect(await zeros(250)).toEqual([192, 308]);
  expect(await zeros(1001)).toEqual([640, 640, 722]);
});

test('a weight that is not finite stops the other parts before they change anything', async () => {
  const pool = await createPool(2);
  const task = taskOf(300, 4);
  task.weights[4 * 200 + 3] = Number.NaN;
  const before = task.weights.slice();
  expect(await pool.sweep(task)).toEqual([
    { kind: 'stopped' },
    { kind: 'nonFinite', when: 'before', row: 200, column: 3, value: Number.NaN },
  ]);
  expect(task.weights.slice()).toEqual(before);
});

test('a block that does not fit a memory is an error, and the pool goes on', async () => {
  const pool = await createPool(2);
  const size = 40_000;
  // Nobody comes to read of this matrix.
  const task = {
    ...taskOf(2, 2),
    weights: sharedFloats(200 * size),
    rows: 200,
    upper: { values: sharedFloats(1), size },
  };
  const error = await errorOf(pool.sweep({ ...task, blockSize: size }));
  expect(error).toMatchObject({ code: 'LimitExceeded', details: { linear: 'up_proj', columns: size } });
  expect(error.message).toContain('blockSize');
  expect(await pool.sweep(taskOf(1, 2))).toEqual([{ kind: 'done', zeros: 1 }]);
});

test('a thread that dies at work ends the pool, and the one that waits for it', async () => {
  const module = new URL('../../../worker/engine/shared-team.ts', import.meta.url).href;
  const pool = await createPool(
    2,
    `
    import { parentPort } from 'node:worker_threads';
    const { SharedTeam, TeamAbandoned } = await import(${JSON.stringify(module)});
    parentPort.on('message', async ({ type, team, index }) => {
      if (type === 'close') return parentPort.close();
      if (index === 0) process.exit(7);
      try {
        new SharedTeam(team, index).sum(new Uint32Array(1));
      } catch (thrown) {
        if (thrown instanceof TeamAbandoned) parentPort.postMessage({ type: 'abandoned' });
      }
    });
    parentPort.postMessage({ type: 'ready' });
    `,
  );
  const matrix = { values: sharedFloats(1), size: 1 };
  const error = await errorOf(pool.invert(matrix, TILE_SIZES));
  expect(error).toMatchObject({ code: 'EngineFailed', retryable: true, details: { thread: 0 } });
  expect(error.message).toContain('exit code 7');
  expect(await errorOf(pool.invert(matrix, TILE_SIZES))).toBe(error);
});

test('a thread that does not start is an error', async () => {
  const error = await errorOf(createPool(2, 'throw new Error("no start")'));
  expect(error).toMatchObject({ code: 'EngineFailed' });
  expect(error.message).toContain('no start');
});

test('threads say how much they have done, and it is about what solving takes', async () => {
  const [size, rows] = [1024, 300];
  for (const create of [
    (worked: (operations: number) => void) => SolverPool.create({ threads: 2, worked }),
    (worked: (operations: number) => void) => LocalSolver.create(worked),
  ]) {
    const told: number[] = [];
    const solver = await create((operations) => told.push(operations));
    const identity = { values: sharedFloats(size * size), size };
    for (let at = 0; at < size; at++) identity.values[at * (size + 1)] = 1;
    expect(await solver.invert(identity, TILE_SIZES)).toBeNull();
    const factor = told.at(-1) as number;
    await solver.sweep(taskOf(rows, size, { blockSize: 128 }));
    const sweep = (told.at(-1) as number) - factor;
    await solver.close();
    expect(told).toEqual(told.toSorted((a, b) => a - b));
    // Products of tiles; what a WebAssembly kernel does of it is not counted, and tiles reach over the diagonal.
    expect(factor / ((2 / 3) * size ** 3)).toBeGreaterThan(0.5);
    expect(factor / ((2 / 3) * size ** 3)).toBeLessThan(2.5);
    expect(sweep / (rows * size ** 2)).toBeGreaterThan(0.5);
    expect(sweep / (rows * size ** 2)).toBeLessThan(1.5);
  }
});
