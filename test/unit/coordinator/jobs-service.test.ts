/** Limits of the users' side: readers over all connections, jobs in one answer, jobs that wait. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JobsService } from '../../../coordinator/api/jobs-service.ts';
import { ProgressTracker } from '../../../coordinator/api/progress.ts';
import { type CoordinatorState, INITIAL_STATE } from '../../../coordinator/core/state.ts';
import { step } from '../../../coordinator/core/step.ts';
import { JobLogs } from '../../../coordinator/logs/job-logs.ts';
import type { JobLogLine } from '../../../coordinator/logs/read-job-log.ts';
import { SERVICES } from '../../../shared/rpc/load-protos.ts';
import { SYSTEM_TIMERS } from '../../../shared/timers.ts';
import { fakeManifest } from '../../simulation/cluster.ts';
import { emptyEventLog } from '../../support/empty-event-log.ts';

function manifestOf(name: string) {
  const base = fakeManifest({ propagate: 'pruned', stages: 1 });
  const output = { ...base.spec.output, destination: `file:///out/${name}` };
  // Locations as clients send them; long, as those of deep folders are.
  const text = Array.from({ length: 50 }, (_, index) => `file:///${'data/'.repeat(20)}${index}.txt`);
  const calibration = { ...base.spec.calibration, text };
  return { ...base, metadata: { name, namespace: 'default' }, spec: { ...base.spec, output, calibration } };
}

function stateWith(jobs: number): CoordinatorState {
  let state = INITIAL_STATE;
  for (let n = 0; n < jobs; n++) {
    const name = `job-${n}`;
    const manifest = manifestOf(name) as never;
    state = step(state, { type: 'jobSubmitted', job: name, namespace: 'default', name, manifest }, n).state;
  }
  return state;
}

describe('the users’ side of the API', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-jobs-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function serviceOn(state: CoordinatorState, logs = new JobLogs(() => folder)): JobsService {
    return new JobsService({
      loop: { state } as never,
      events: emptyEventLog(),
      logs,
      progress: new ProgressTracker(),
      workers: {} as never,
      timers: SYSTEM_TIMERS,
    });
  }

  it('says of a namespace without jobs that it has none, and which have', () => {
    const jobs = serviceOn(stateWith(1));
    expect(() => jobs.get({ job: 'zzz', namespace: 'nope' })).toThrow(
      /there are no jobs in that namespace; there are in default$/,
    );
    expect(() => serviceOn(INITIAL_STATE).get({ job: 'zzz', namespace: 'nope' })).toThrow(/there are no jobs$/);
  });

  it('gives a follower the new lines of all workers in the order of their times', async () => {
    const logs = new JobLogs(() => folder);
    const jobs = serviceOn(stateWith(1), logs);
    const { signal } = new AbortController();
    const line = (worker: string, atMs: number): JobLogLine => ({
      worker,
      source: 'agent',
      level: 'info',
      atMs,
      task: '',
      message: '',
    });
    const following = jobs.logs({ job: 'job-0', namespace: '', worker: '', follow: true }, signal);
    const first = following.next();
    await logs.flush();
    for (const each of [line('w1', 20), line('w1', 40), line('w2', 10), line('w2', 30)])
      void logs.append('job-0', each, () => undefined);
    const times = [(await first).value?.atMs];
    for (let n = 1; n < 4; n++) times.push((await following.next()).value?.atMs);
    expect(times).toEqual([10, 20, 30, 40]);
    await following.return(undefined);
  });

  it('refuses one reader too many, counts both kinds, and has room when one has left', async () => {
    const jobs = serviceOn(stateWith(1));
    const { signal } = new AbortController();
    const watch = () => jobs.watch({ job: 'job-0', namespace: '', afterSequence: 0 }, signal);
    const logs = () => jobs.logs({ job: 'job-0', namespace: '', worker: '', follow: true }, signal);
    const readers = Array.from({ length: 256 }, watch);
    for (const reader of readers) await reader.next();
    await expect(watch().next()).rejects.toMatchObject({ code: 'LimitExceeded' });
    await expect(logs().next()).rejects.toMatchObject({ code: 'LimitExceeded' });
    await readers[0]?.return(undefined);
    expect((await watch().next()).done).toBe(false);
  });

  it('tells who follows what there is, then that it stops: nobody is waited for', async () => {
    const jobs = serviceOn(stateWith(1));
    const { signal } = new AbortController();
    const watch = jobs.watch({ job: 'job-0', namespace: '', afterSequence: 0 }, signal);
    const logs = jobs.logs({ job: 'job-0', namespace: '', worker: '', follow: true }, signal);
    expect((await watch.next()).done).toBe(false);
    const waiting = [
      (async () => {
        for await (const _ of watch);
      })(),
      (async () => {
        for await (const _ of logs);
      })(),
    ];
    jobs.close();
    for (const reader of waiting) await expect(reader).rejects.toMatchObject({ code: 'Unavailable', retryable: true });
  });

  it('lists as many jobs as fit into a message, the newest, and says how many it left out', () => {
    const jobs = serviceOn(stateWith(1_000));
    const list = jobs.list('');
    expect(list.leftOut).toBe(800);
    expect(list.jobs?.at(-1)?.id).toBe('job-999');
    expect(SERVICES.Jobs.service.List.responseSerialize(list).length).toBeLessThan(1024 * 1024);
  });

  it('looks at no more than eight checkpoints at a time', async () => {
    const jobs = serviceOn(stateWith(1));
    // None of them has a model: each is refused once it has been looked at, and all are looked at in the same moment.
    const submissions = Array.from({ length: 9 }, (_, n) =>
      jobs.submit({ manifestJson: JSON.stringify(manifestOf(`job-new-${n}`)) }),
    );
    const ends = await Promise.allSettled(submissions);
    const codes = ends.map((end) => (end.status === 'rejected' ? (end.reason as { code: string }).code : 'taken'));
    expect(codes.filter((code) => code === 'LimitExceeded')).toHaveLength(1);
    expect(codes[8]).toBe('LimitExceeded');
  });

  it('takes no job more where a thousand have not ended', async () => {
    const jobs = serviceOn(stateWith(1_000));
    const request = { manifestJson: JSON.stringify(manifestOf('job-new')) };
    await expect(jobs.submit(request)).rejects.toMatchObject({ code: 'LimitExceeded' });
  });
});
