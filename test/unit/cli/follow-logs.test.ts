/** Following a log over restarts of the coordinator: with a coordinator of paper, and time that is wound by hand. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { followLogs } from '../../../cli/follow-logs.ts';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import type { Job__Output } from '../../../shared/rpc/generated/secateur/v1/Job.ts';
import type { LogsResponse__Output } from '../../../shared/rpc/generated/secateur/v1/LogsResponse.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const line = (worker: string, atMs: number, message: string): LogsResponse__Output => ({
  worker,
  source: 'agent',
  level: 'info',
  atMs,
  task: '',
  message,
});
const away = new SecateurError('Unavailable', 'nobody listens');

/** Each stream gives the whole log as it is by then, and breaks; after the last one the job has ended. */
function paperConnection(streams: readonly (readonly LogsResponse__Output[] | SecateurError)[]) {
  let next = 0;
  return {
    async *logs(): AsyncGenerator<LogsResponse__Output> {
      const stream = streams[next];
      next += 1;
      if (stream === undefined || stream instanceof SecateurError) throw stream ?? new Error('one stream too many');
      yield* stream;
      if (next < streams.length) throw away;
    },
    get: () => Promise.resolve({ phase: next < streams.length ? 'Pruning' : 'Succeeded' } as Job__Output),
  };
}

async function follow(streams: Parameters<typeof paperConnection>[0]): Promise<{ said: string[]; outages: string[] }> {
  const said: string[] = [];
  const outages: string[] = [];
  const request = { job: 'job-1', namespace: '', worker: '' };
  const listener = { away: (why: string) => outages.push(why), back: () => outages.push('back') };
  const all = (async () => {
    for await (const each of followLogs(paperConnection(streams), request, listener)) said.push(each.message);
  })();
  all.catch(() => undefined);
  await vi.advanceTimersByTimeAsync(60_000);
  await all;
  return { said, outages };
}

describe('followLogs', () => {
  it('gives every line once over restarts, also lines of the same millisecond and a late worker’s older ones', async () => {
    const first = [line('w1', 10, 'a'), line('w1', 20, 'b'), line('w2', 5, 'c')];
    const later = [line('w1', 20, 'b2'), line('w2', 15, 'written while the coordinator was away'), line('w1', 30, 'd')];
    const { said, outages } = await follow([first, away, [...first, ...later]]);
    expect(said).toEqual(['a', 'b', 'c', 'b2', 'written while the coordinator was away', 'd']);
    expect(outages).toEqual(['nobody listens', 'back']);
  });

  it('ends with a reason that no patience helps against', async () => {
    const unknown = new SecateurError('JobNotFound', 'not known');
    await expect(follow([[line('w1', 1, 'a')], unknown])).rejects.toBe(unknown);
  });
});
