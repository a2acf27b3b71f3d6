/**
 * Workers that say what is not so: real agents and streams, an engine whose passes are simulated, and somebody between
 * who changes what is said. An honest worker beside it finishes the job with the bytes of a quiet run; alone, it fails.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Connection } from '../../cli/connection.ts';
import { startCoordinator } from '../../coordinator/main.ts';
import { type CloudEvent, fromCloudEvent } from '../../shared/events/cloud-event.ts';
import type { JobEvent } from '../../shared/events/job-event.ts';
import type { Job__Output } from '../../shared/rpc/generated/secateur/v1/Job.ts';
import type { TaskResult } from '../../shared/rpc/generated/secateur/v1/TaskResult.ts';
import { digestTree } from '../support/secateur-process.ts';
import { type Lie, SimulatedWorkers } from '../support/simulated-workers.ts';
import { tinyManifest, writeTinyModel } from '../support/tiny-model.ts';

/** As many attempts as a task has. */
const ATTEMPTS = 4;

interface Run {
  readonly job: Job__Output;
  readonly events: readonly JobEvent[];
  readonly output: string;
  readonly listed: readonly Job__Output[];
}

/** Changes results of tasks whose name begins with `task`. */
function results(task: string, change: (result: TaskResult) => TaskResult): Lie {
  return (message) => {
    const { result } = message;
    if (!result?.identity?.task?.startsWith(task) || result.error) return message;
    return { ...message, result: change(result) };
  };
}

describe('a worker that lies', () => {
  let folder: string;
  let quiet: Record<string, string>;
  let runs = 0;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-lies-'));
    await writeTinyModel(join(folder, 'model'), { layers: 3, samples: 8 });
    quiet = digestTree((await run((message) => message, [])).output);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** @param honest workers beside the one that lies, whose name comes before theirs */
  async function run(lie: Lie, honest: readonly string[]): Promise<Run> {
    const name = `run-${runs++}`;
    const output = join(folder, 'out', name);
    const stateDirectory = join(folder, 'state', name);
    const coordinator = await startCoordinator({
      stateDirectory,
      listen: '127.0.0.1:0',
      nats: null,
      log: () => undefined,
    });
    try {
      await using _liar = new SimulatedWorkers(coordinator.address, ['a-liar'], 1, lie);
      await using _honest = new SimulatedWorkers(coordinator.address, honest, 1);
      using connection = new Connection(coordinator.address);
      await vi.waitFor(async () => expect(await connection.workers()).toHaveLength(1 + honest.length));
      const submitted = await connection.submit(
        tinyManifest(join(folder, 'model'), { name, output, propagate: 'pruned' }),
      );
      const key = { job: submitted.id, namespace: submitted.namespace };
      const events: JobEvent[] = [];
      for await (const { eventJson } of connection.watch({ ...key, afterSequence: 0 })) {
        if (eventJson) events.push(fromCloudEvent(JSON.parse(eventJson) as CloudEvent));
      }
      const { jobs } = await connection.list('');
      return { job: await connection.get(key), events, output, listed: jobs };
    } finally {
      await coordinator.stop();
    }
  }

  const failed = (events: readonly JobEvent[]) =>
    events.filter(({ entity, verb }) => `${entity}.${verb}` === 'task.failed').map(({ data }) => data);

  const lies: readonly [what: string, lie: Lie, says: string][] = [
    [
      'done is empty, and it was not asked to leave',
      results('forward-', (result) => ({ ...result, holdings: [], pass: { ...result.pass, done: [] } })),
      'done: expected some of 0-7; found none',
    ],
    [
      'hidden states that it should hold are gone, each time',
      results('forward-', (result) => ({ ...result, holdings: [] })),
      'holdings at boundary 1: expected 0-7; found 0-7 lacking',
    ],
    [
      'the result is another task’s',
      results('forward-', ({ pass: _, ...result }) => ({ ...result, holdings: [], handOver: { snapshots: [] } })),
      'its kind: expected pass; found handOver',
    ],
  ];

  it.each(lies)('%s: alone, its job fails after four attempts, which names what is wrong', async (_, lie, says) => {
    const { job, events } = await run(lie, []);
    expect([job.phase, failed(events).length]).toEqual(['Failed', ATTEMPTS]);
    expect(job.failure?.message).toContain(says);
  });

  const prepared = (change: object): Lie =>
    results('prepare-calibration', (result) => ({
      ...result,
      prepareCalibration: { ...result.prepareCalibration, ...change },
    }));
  const pruned = (change: object): Lie =>
    results('prune-', (result) => ({ ...result, prune: { ...result.prune, ...change } }));
  const fileOf = (name: string) => ({
    root: 'FILE_ROOT_STAGING' as const,
    name,
    sizeBytes: 10,
    sha256: 'a'.repeat(64),
  });

  /** The file itself is as it should be, under another name than the result says. */
  const more: typeof lies = [
    ['no samples', prepared({ samples: 0, sequenceLength: 0 }), 'samples: expected 8; found 0'],
    ['too many samples', prepared({ samples: 4_000_000_000 }), 'samples: expected 8; found 4000000000'],
    ['a calibration file elsewhere', prepared({ file: fileOf('../../../evil') }), 'found ../../../evil'],
    ['a layer file elsewhere', pruned({ file: fileOf('../../../../etc/hostname') }), 'found ../../../../etc/hostname'],
    ['a layer of no tensors', pruned({ tensors: [] }), 'tensors: expected 9; found 0'],
    [
      'a layer file of another size',
      results('prune-', (result) => ({
        ...result,
        prune: { ...result.prune, file: { ...result.prune?.file, sizeBytes: 10 } },
      })),
      'file: expected a file of 10 bytes at layers/',
    ],
  ];

  it.each([...lies, ...more])('%s: an honest worker beside it does the job', async (_, lie, says) => {
    const { job, events, output } = await run(lie, ['honest']);
    expect([job.phase, job.failure]).toEqual(['Succeeded', null]);
    expect(digestTree(output)).toEqual(quiet);
    const failures = failed(events);
    expect(failures.length).toBeGreaterThan(0);
    expect(failures.length).toBeLessThan(ATTEMPTS);
    // Which microbatches it has depends on when the other was there.
    const field = says.split(': expected')[0] as string;
    for (const failure of failures) {
      expect(failure).toMatchObject({
        worker: 'a-liar',
        code: 'EngineFailed',
        message: expect.stringContaining(field),
      });
    }
  });

  it('an error of two megabytes is told in bounds, and the jobs can be listed', async () => {
    const large = 'x'.repeat(1_900_000);
    const error = { code: 'Internal', message: large, retryable: false, detailsJson: JSON.stringify({ large }) };
    const lie: Lie = (message) => {
      const { result } = message;
      return result?.pass ? { ...message, result: { identity: result.identity ?? null, error } } : message;
    };
    const { job, events, listed } = await run(lie, []);
    expect(job.phase).toBe('Failed');
    expect(job.failure?.message.length).toBeLessThan(20_000);
    expect(job.failure?.detailsJson).toBe(JSON.stringify({ detailsLeftOutBytes: JSON.stringify({ large }).length }));
    expect(Math.max(...events.map(({ data }) => JSON.stringify(data).length))).toBeLessThan(25_000);
    expect(listed.map(({ failure }) => failure?.message.length)).toEqual([1024]);
  });
});
