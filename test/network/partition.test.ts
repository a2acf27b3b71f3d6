/**
 * Hosts that are cut off: it is noticed within 20 s, also where both ends think that their connection lives; the work goes
 * on elsewhere; and the job ends with the bytes of a quiet run, no layer committed twice.
 */
import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import { layerFlaws, sequenceFlaws } from '../support/job-flaws.ts';
import { type Cut, whyNoNetworkHosts } from '../support/network-hosts.ts';
import { NetworkJob, networkManifest } from '../support/network-job.ts';
import { Bench, digestTree } from '../support/secateur-process.ts';

const obstacle = await whyNoNetworkHosts();
const skipped = obstacle === null ? '' : ` (skipped: no network hosts: ${obstacle})`;

const NOTICED_WITHIN_MS = 20_000;
/** Longer than anything that is asserted: what is waited for has its own limit, or none. */
const WAIT_MS = 90_000;

describe.skipIf(obstacle !== null).concurrent(`hosts that are cut off${skipped}`, () => {
  let quiet: Record<string, string>;
  beforeAll(async () => {
    await using bench = new Bench();
    writeFileSync(bench.path('m.yaml'), networkManifest(bench.path('out')));
    const finished = await bench.run(['run', bench.path('m.yaml'), '--workers', '1', '--threads', '1']);
    expect(finished.code, finished.stderr).toBe(0);
    quiet = digestTree(bench.path('out'));
  });

  const CUTS: readonly (readonly [Cut, string])[] = [
    ['both', 'loses all that it sends and gets'],
    ['mute', 'loses all that it sends, and still hears'],
    ['deaf', 'loses all that it gets, and is still heard'],
  ];
  for (const [cut, what] of CUTS) {
    it(`a worker ${what}: its work moves, and the job ends while it is cut off`, async () => {
      await using job = await NetworkJob.start();
      const victim = await busyWorker(job);
      const cutMs = Date.now();
      await job.hosts.cut(victim, cut);
      await expectNoticed(job, victim, cutMs);
      await expectEnd(job);
    });
  }

  it('a worker is unplugged until its work has moved: plugged in again, it takes part again', async () => {
    await using job = await NetworkJob.start();
    const victim = await busyWorker(job);
    const cutMs = Date.now();
    await job.hosts.cut(victim, 'unplugged');
    await expectNoticed(job, victim, cutMs);
    await told(job, (event) => event.type === 'secateur.task.lost.v1' && event.data.worker === victim);
    const healedAt = job.told().length;
    await job.hosts.heal(victim);
    await expectEnd(job);
    const after = job.told().slice(healedAt);
    const attachedAt = after.findIndex((event) => isOf(event, 'worker.attached', victim));
    expect(attachedAt, 'it never came back').toBeGreaterThanOrEqual(0);
    const worked = after.slice(attachedAt + 1).filter((event) => event.data.worker === victim);
    expect(worked.map((event) => event.type)).not.toEqual([]);
  });

  it('the coordinator is cut off from every worker, and comes back', async () => {
    await using job = await NetworkJob.start();
    await busyWorker(job);
    await job.hosts.cut('coordinator', 'both');
    for (const worker of ['w1', 'w2', 'w3']) await told(job, (event) => isOf(event, 'worker.detached', worker));
    await job.hosts.heal('coordinator');
    await expectEnd(job);
  });

  async function expectEnd(job: NetworkJob): Promise<void> {
    const ended = await job.ended();
    expect(ended.code, ended.stderr).toBe(0);
    expect(digestTree(job.output)).toEqual(quiet);
    const events = job.told();
    expect([...sequenceFlaws('told', events), ...layerFlaws(events)]).toEqual([]);
    expect(events.at(-1)?.type).toBe('secateur.job.succeeded.v1');
  }
});

/** The worker that has the first stage, in the middle of its work. */
async function busyWorker(job: NetworkJob): Promise<string> {
  await told(job, (event) => event.type === 'secateur.layer.committed.v1');
  const calibrated = job.told().find((event) => event.type === 'secateur.layer.calibrated.v1');
  return calibrated?.data.worker as string;
}

async function expectNoticed(job: NetworkJob, worker: string, cutMs: number): Promise<void> {
  const noticed = await told(job, (event) => isOf(event, 'worker.detached', worker));
  expect(Date.parse(noticed.time) - cutMs).toBeLessThan(NOTICED_WITHIN_MS);
}

async function told(job: NetworkJob, isIt: (event: CloudEvent) => boolean): Promise<CloudEvent> {
  await expect.poll(() => job.told().some(isIt), { timeout: WAIT_MS, interval: 20 }).toBe(true);
  return job.told().find(isIt) as CloudEvent;
}

function isOf(event: CloudEvent, verb: string, worker: string): boolean {
  return event.type === `secateur.${verb}.v1` && event.data.worker === worker;
}
