/** Many workers on real streams, with a real coordinator and journal; only the compute of their engines is simulated. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Connection } from '../../cli/connection.ts';
import { startCoordinator } from '../../coordinator/main.ts';
import { type CloudEvent, fromCloudEvent } from '../../shared/events/cloud-event.ts';
import type { JobEvent } from '../../shared/events/job-event.ts';
import { digestTree } from '../support/secateur-process.ts';
import { SimulatedWorkers } from '../support/simulated-workers.ts';
import { tinyManifest, writeTinyModel } from '../support/tiny-model.ts';

const LAYERS = 12;
const SAMPLES = 32;

interface Run {
  readonly events: readonly JobEvent[];
  readonly digests: Record<string, string>;
}

describe('A coordinator with many workers', () => {
  let folder: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-scale-'));
    await writeTinyModel(join(folder, 'model'), { layers: LAYERS, samples: SAMPLES });
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function run(workerCount: number, propagate: 'pruned' | 'dense'): Promise<Run> {
    const name = `${propagate}-${workerCount}`;
    const output = join(folder, 'out', name);
    const coordinator = await startCoordinator({
      stateDirectory: join(folder, 'state', name),
      listen: '127.0.0.1:0',
      nats: null,
      log: () => undefined,
    });
    try {
      const names = Array.from({ length: workerCount }, (_, index) => `w${index}`);
      await using _workers = new SimulatedWorkers(coordinator.address, names, 1);
      using connection = new Connection(coordinator.address);
      await expect.poll(async () => (await connection.workers()).length, { timeout: 20_000 }).toBe(workerCount);
      const job = await connection.submit(tinyManifest(join(folder, 'model'), { name, output, propagate }));
      const events: JobEvent[] = [];
      for await (const { eventJson } of connection.watch({ job: job.id, namespace: job.namespace, afterSequence: 0 })) {
        if (eventJson) events.push(fromCloudEvent(JSON.parse(eventJson) as CloudEvent));
      }
      return { events, digests: digestTree(output) };
    } finally {
      await coordinator.stop();
    }
  }

  const named = (events: readonly JobEvent[], name: string): JobEvent[] =>
    events.filter(({ entity, verb }) => `${entity}.${verb}` === name);

  for (const propagate of ['pruned', 'dense'] as const) {
    it(`sixteen workers prune twelve layers (${propagate}): each layer once, by everybody, and the bytes are those of one worker`, async () => {
      const { events, digests } = await run(16, propagate);
      expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
      expect(events.at(-1)).toMatchObject({ entity: 'job', verb: 'succeeded', data: { tokensAgain: 0 } });
      const layers = Array.from({ length: LAYERS }, (_, layer) => layer);
      const calibrated = named(events, 'layer.calibrated');
      expect(calibrated.map(({ data }) => data.layer).sort(byNumber)).toEqual(layers);
      expect(
        named(events, 'layer.committed')
          .map(({ data }) => data.layer)
          .sort(byNumber),
      ).toEqual(layers);
      for (const { data } of calibrated) {
        const workers = data.workers as unknown as { microbatches: number }[];
        expect(workers.length).toBeGreaterThan(1);
        expect(workers.reduce((sum, worker) => sum + worker.microbatches, 0)).toBe(SAMPLES);
      }
      // Dense: who is through with its own may be given some of another's.
      expect(new Set(named(events, 'stage.assigned').map(({ data }) => data.worker)).size).toBe(16);
      for (const verb of ['failed', 'lost']) expect(named(events, `task.${verb}`)).toEqual([]);
      expect(digests).toEqual((await run(1, propagate)).digests);
    });
  }
});

function byNumber(a: unknown, b: unknown): number {
  return Number(a) - Number(b);
}
