/** Threads that meet: every item once, sums over all, and nobody is left waiting for one that is gone. */
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { abandonTeam, createTeamMemory, type TeamMemory } from '../../../worker/engine/shared-team.ts';

const ROUNDS = 300;
const ITEMS_MAX = 7;

/** Rounds of items, each with a sum behind it. Posts how the sums were, or that the team was abandoned. */
const MEMBER = `
  import { parentPort, workerData } from 'node:worker_threads';
  const { SharedTeam, TeamAbandoned } = await import(workerData.module);
  const { memory, index, hits, rounds, itemsMax } = workerData;
  const team = new SharedTeam(memory, index);
  try {
    let isRight = true;
    for (let round = 0; round < rounds; round++) {
      const count = round % (itemsMax + 1);
      await team.share(count, async (item) => void Atomics.add(hits, round * itemsMax + item, 1));
      for (let item = 0; item < count; item++) isRight &&= hits[round * itemsMax + item] === 1;
      const counts = Uint32Array.of(round, index, 2 ** 31);
      team.sum(counts);
      isRight &&= counts[0] === round * team.size && counts[1] === (team.size * (team.size - 1)) / 2;
      isRight &&= counts[2] === (team.size % 2 === 0 ? 0 : 2 ** 31);
    }
    parentPort.postMessage(isRight ? 'right' : 'wrong');
  } catch (thrown) {
    parentPort.postMessage(thrown instanceof TeamAbandoned ? 'abandoned' : String(thrown));
  }
`;

function runMember(memory: TeamMemory, index: number, hits: Int32Array): Promise<string> {
  const module = new URL('../../../worker/engine/shared-team.ts', import.meta.url).href;
  const workerData = { module, memory, index, hits, rounds: ROUNDS, itemsMax: ITEMS_MAX };
  const url = new URL(`data:text/javascript,${encodeURIComponent(MEMBER)}`);
  const worker = new Worker(url, { workerData });
  return new Promise((resolve, reject) => {
    worker.on('message', resolve);
    worker.on('error', reject);
  });
}

function newHits(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * ROUNDS * ITEMS_MAX));
}

test.each([1, 2, 4])('%i threads do every item once and agree about sums, round after round', async (size) => {
  const [memory, hits] = [createTeamMemory(size), newHits()];
  const found = await Promise.all(Array.from({ length: size }, (_, index) => runMember(memory, index, hits)));
  expect(found).toEqual(new Array(size).fill('right'));
  const expected = Array.from({ length: ROUNDS }, (_, round) => round % (ITEMS_MAX + 1)).reduce((a, b) => a + b, 0);
  expect(hits.reduce((a, b) => a + b, 0)).toBe(expected);
});

test('of a team that is abandoned no thread goes on, whether it waits already or comes later', async () => {
  const [memory, hits] = [createTeamMemory(3), newHits()];
  const waiting = runMember(memory, 0, hits);
  await expect.poll(() => Atomics.load(memory.control, 0)).toBeGreaterThan(0);
  abandonTeam(memory);
  expect(await waiting).toBe('abandoned');
  expect(await runMember(memory, 1, hits)).toBe('abandoned');
});
