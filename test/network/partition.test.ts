/**
 * Hosts that are cut off: it is noticed, and its work is given to another, within 20 s, also where both ends think
 * that their connection lives; and the job ends with the bytes of a quiet run, no layer committed twice.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import { layerFlaws, sequenceFlaws } from '../support/job-flaws.ts';
import { type Cut, whyNoNetworkHosts } from '../support/network-hosts.ts';
import { NetworkJob, networkManifest } from '../support/network-job.ts';
import { writeReport } from '../support/report-file.ts';
import { Bench, digestTree } from '../support/secateur-process.ts';

const obstacle = await whyNoNetworkHosts();
const skipped = obstacle === null ? '' : ` (skipped: no network hosts: ${obstacle})`;

const NOTICED_WITHIN_MS = 20_000;
/** Longer than anything that is asserted: what is waited for has its own limit, or none. */
const WAIT_MS = 90_000;
const POLL_MS = 20;

describe.skipIf(obstacle !== null).concurrent(`hosts that are cut off${skipped}`, () => {
  let quiet: Record<string, string>;
  beforeAll(async () => {
    await using bench = new Bench();
    writeFileSync(bench.path('m.yaml'), networkManifest(bench.path('out')));
    const finished = await bench.run(['run', bench.path('m.yaml'), '--workers', '1', '--threads', '1']);
    expect(finished.code, finished.stderr).toBe(0);
    quiet = digestTree(bench.path('out'));
  });

  const figures: { cut: string; noticedMs: number; movedMs: number }[] = [];
  afterAll(() => {
    const lines = figures.map((row) => `${row.cut}: noticed after ${row.noticedMs} ms, moved after ${row.movedMs} ms`);
    process.stdout.write(`\n${lines.join('\n')}\n`);
    writeReport('partitions', figures);
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
      await expectNoticed(job, victim, cutMs, cut);
      await expectEnd(job);
    });
  }

  it('a worker is unplugged until its work has moved: plugged in again, it takes part again', async () => {
    await using job = await NetworkJob.start();
    const victim = await busyWorker(job);
    const cutMs = Date.now();
    await job.hosts.cut(victim, 'unplugged');
    await expectNoticed(job, victim, cutMs, 'unplugged');
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

  async function expectNoticed(job: NetworkJob, worker: string, cutMs: number, cut: Cut): Promise<void> {
    const noticed = await told(job, (event) => isOf(event, 'worker.detached', worker));
    const moved = await told(job, (event) => isOf(event, 'task.lost', worker));
    const [noticedMs, movedMs] = [noticed, moved].map((event) => Date.parse(event.time) - cutMs) as [number, number];
    figures.push({ cut, noticedMs, movedMs });
    expect(noticedMs).toBeLessThan(NOTICED_WITHIN_MS);
    expect(movedMs).toBeLessThan(NOTICED_WITHIN_MS);
  }

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
  const assigned = job.told().find((event) => event.type === 'secateur.stage.assigned.v1' && event.data.stage === 0);
  return assigned?.data.worker as string;
}

async function told(job: NetworkJob, isIt: (event: CloudEvent) => boolean): Promise<CloudEvent> {
  const giveUpMs = performance.now() + WAIT_MS;
  for (;;) {
    const found = job.told().find(isIt);
    if (found !== undefined) return found;
    if (performance.now() > giveUpMs) throw new Error(`never told: ${isIt}; told was ${JSON.stringify(job.told())}`);
    await pause(POLL_MS);
  }
}

function isOf(event: CloudEvent, verb: string, worker: string): boolean {
  return event.type === `secateur.${verb}.v1` && event.data.worker === worker;
}
