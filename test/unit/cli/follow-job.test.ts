/** Following a job over outages: with a coordinator of paper, and time that is wound by hand. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { followJob, type JobListener } from '../../../cli/follow-job.ts';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { toCloudEvent } from '../../../shared/events/cloud-event.ts';
import type { Job__Output } from '../../../shared/rpc/generated/secateur/v1/Job.ts';
import type { WatchRequest } from '../../../shared/rpc/generated/secateur/v1/WatchRequest.ts';
import type { WatchResponse__Output } from '../../../shared/rpc/generated/secateur/v1/WatchResponse.ts';

const REFERENCE = { job: 'job-1', namespace: 'default' };

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function eventJson(sequence: number): string {
  const { job, namespace } = REFERENCE;
  return JSON.stringify(
    toCloudEvent({
      job,
      namespace,
      sequence,
      atMs: sequence,
      entity: 'layer',
      verb: 'committed',
      data: { layer: sequence },
    }),
  );
}

/** Each stream: how many events it brings until it ends, or until it breaks with an error. */
function paperConnection(streams: readonly { events: number; error: SecateurError | null; phase?: string }[]) {
  const asked: number[] = [];
  let phase = 'Pruning';
  return {
    asked,
    async *watch(request: WatchRequest): AsyncGenerator<WatchResponse__Output> {
      const after = Number(request.afterSequence);
      const stream = streams[asked.length];
      asked.push(after);
      if (stream === undefined) throw new Error('one stream too many');
      for (let index = 1; index <= stream.events; index++) {
        yield { eventJson: eventJson(after + index) } as WatchResponse__Output;
      }
      phase = stream.phase ?? phase;
      if (stream.error !== null) throw stream.error;
    },
    get: () => Promise.resolve({ id: 'job-1', phase } as Job__Output),
  };
}

function recordingListener() {
  const heard: number[] = [];
  const outages: string[] = [];
  const listener: JobListener = {
    event: (event) => heard.push(Number(event.sequence)),
    progress: () => undefined,
    status: () => undefined,
    away: (why) => outages.push(why),
    back: () => outages.push('back'),
  };
  return { heard, outages, listener };
}

const away = new SecateurError('Unavailable', 'nobody listens', { retryable: true });

describe('followJob', () => {
  it('hears every event once and in order, over two outages, and says once when each begins and ends', async () => {
    const connection = paperConnection([
      { events: 2, error: away },
      { events: 0, error: away },
      { events: 1, error: new SecateurError('Cancelled', 'the stream was cut') },
      { events: 2, error: null, phase: 'Succeeded' },
    ]);
    const { heard, outages, listener } = recordingListener();
    const ended = followJob(connection, REFERENCE, listener, { after: 0 });
    await vi.advanceTimersByTimeAsync(10_000);
    expect((await ended).phase).toBe('Succeeded');
    expect(heard).toEqual([1, 2, 3, 4, 5]);
    expect(connection.asked).toEqual([0, 2, 2, 3]);
    expect(outages).toEqual(['nobody listens', 'back', 'the stream was cut', 'back']);
  });

  it('goes on when a stream ends and the job has not', async () => {
    const connection = paperConnection([
      { events: 1, error: null },
      { events: 1, error: null, phase: 'Cancelled' },
    ]);
    const { heard, listener } = recordingListener();
    const ended = followJob(connection, REFERENCE, listener, { after: 7 });
    await vi.advanceTimersByTimeAsync(10_000);
    expect((await ended).phase).toBe('Cancelled');
    expect(heard).toEqual([8, 9]);
  });

  it('waits also when the coordinator goes before the first stream: it has just answered', async () => {
    const { listener, outages } = recordingListener();
    const connection = paperConnection([
      { events: 0, error: away },
      { events: 1, error: null, phase: 'Succeeded' },
    ]);
    const ended = followJob(connection, REFERENCE, listener, { after: 0 });
    await vi.advanceTimersByTimeAsync(1_000);
    expect((await ended).phase).toBe('Succeeded');
    expect(outages).toEqual(['nobody listens', 'back']);
  });

  it('fails at once for another reason than an outage', async () => {
    const { listener, outages } = recordingListener();
    const lost = new SecateurError('JobNotFound', 'not known');
    const unknown = paperConnection([{ events: 1, error: lost }]);
    await expect(followJob(unknown, REFERENCE, listener, { after: 0 })).rejects.toBe(lost);
    expect(outages).toEqual([]);
  });

  it('tries less and less often, at most every five seconds', async () => {
    const connection = paperConnection([...Array(1000).fill({ events: 0, error: away })]);
    const ended = followJob(connection, REFERENCE, recordingListener().listener, { after: 0 });
    ended.catch(() => undefined);
    await vi.advanceTimersByTimeAsync(110_000);
    // 0.25, 0.5, 1, 2, 4, 5, 5, … s, each between the half and the whole of it.
    expect(connection.asked.length).toBeGreaterThan(20);
    expect(connection.asked.length).toBeLessThan(5 + 110 / 2.5);
  });

  it('gives a coordinator up that stays away', async () => {
    const connection = paperConnection([{ events: 1, error: away }, ...Array(1000).fill({ events: 0, error: away })]);
    const { listener, outages } = recordingListener();
    const ended = followJob(connection, REFERENCE, listener, { after: 0 });
    const rejected = expect(ended).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringMatching(/nobody listens.*away for 120 s.*goes on when it is back/),
    });
    await vi.advanceTimersByTimeAsync(130_000);
    await rejected;
    expect(outages).toHaveLength(1);
  });
});
