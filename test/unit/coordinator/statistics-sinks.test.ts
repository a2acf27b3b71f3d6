/** Files of statistics that came half: closed and removed when the worker comes back in another session. */
import { EventEmitter } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { WorkersService } from '../../../coordinator/api/workers-service.ts';
import type { CoreEvent } from '../../../coordinator/core/events.ts';
import { fileStatistics } from '../../../coordinator/effects/statistics-store.ts';
import { SYSTEM_TIMERS } from '../../../shared/timers.ts';
import { Cluster, fakeManifest } from '../../simulation/cluster.ts';
import { seededRandom } from '../../support/seeded-random.ts';

class FakeStream extends EventEmitter {
  readonly writableLength = 0;
  write(): boolean {
    return true;
  }
  end(): void {}
  fail(): void {}
  pause(): void {}
  resume(): void {}
  isPaused(): boolean {
    return false;
  }
}

it('statistics of a session that was replaced leave neither a file nor an open one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'secateur-sinks-'));
  const cluster = new Cluster(3, seededRandom(1), 4);
  cluster.take({ type: 'coordinatorStarted' });
  const manifest = fakeManifest({ propagate: 'pruned', stages: 1 });
  cluster.take({ type: 'jobSubmitted', job: 'fake-1', namespace: 'default', name: 'fake', manifest });
  cluster.attach('w1');
  while (!Object.values(cluster.job.leases).some(({ spec }) => spec.kind === 'pass')) cluster.advance();
  const { task, attempt, epoch } = Object.values(cluster.job.leases)[0] as (typeof cluster.job.leases)[string];
  const identity = { job: 'fake-1', task, attempt, epoch };
  const loop = {
    get state() {
      return cluster.state;
    },
    submit: async (event: CoreEvent) => cluster.take(event),
  };
  const service = new WorkersService({
    loop: loop as never,
    logs: { append: async () => true, lastSequence: async () => 0 },
    progress: {} as never,
    statistics: fileStatistics((job) => join(folder, job)),
    coordinatorId: 'x',
    timers: SYSTEM_TIMERS,
    log: () => undefined,
  });
  const files = (): string[] => readdirSync(join(folder, 'fake-1/statistics'));
  try {
    const streams = [new FakeStream(), new FakeStream(), new FakeStream()];
    for (const [index, stream] of streams.entries()) {
      service.attach(stream as never);
      const register = { worker: 'w1', incarnation: '1', provider: 'cpu', tasks: [identity], holdings: [] };
      stream.emit('data', { register: { ...register, lastEpoch: 0, lastCoordinatorId: '' } });
      stream.emit('data', { epoch, statistics: { identity, layer: 0, sample: 0, float32: new Uint8Array(40) } });
      await expect.poll(() => files().some((name) => name.endsWith(`-${index + 1}.samples.f32`))).toBe(true);
      streams[index - 1]?.emit('cancelled');
      await expect.poll(files).toHaveLength(1);
    }
  } finally {
    service.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
