/** A disk that is full, for real: the failure names the place, and once there is space again the job ends as ever. */
import { beforeAll, describe, expect, it } from 'vitest';
import { TOKENS } from '../support/golden-tokens.ts';
import { flawsOf } from '../support/job-flaws.ts';
import { digestTree } from '../support/secateur-process.ts';
import { SmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';
import { SupervisedCluster } from '../support/supervised-cluster.ts';

const obstacle = await whyNoSmallDisk();
const skipped = obstacle === null ? '' : ` (skipped: no tmpfs can be mounted: ${obstacle})`;

const DISK_BYTES = 8 * 1024 * 1024;
/** micro-llama has 579 kB, its layers 111 kB each. */
const ROOM_FOR_TWO_LAYERS = 300 * 1024;
const ROOM_FOR_LAYERS_NOT_FOR_SHARDS = 600 * 1024;
const NO_ROOM = 0;
const WORKERS = { direct: ['--threads', '1'], remote: ['--threads', '1', '--storage', 'coordinator'] };
const OPTIONS = { placement: { stages: 2 }, calibration: { tokens: TOKENS, microbatch: 1 } };

describe.skipIf(obstacle !== null)(`a disk is full${skipped}`, () => {
  let quiet: Record<string, string>;
  beforeAll(async () => {
    await using cluster = await SupervisedCluster.start();
    await cluster.addWorkers({ one: ['--threads', '1'] });
    const run = await cluster.run(OPTIONS);
    expect(run.job.phase, run.job.message).toBe('Succeeded');
    quiet = digestTree(run.output);
  });

  it.each([
    ['the layers', ROOM_FOR_TWO_LAYERS],
    ['the shards', ROOM_FOR_LAYERS_NOT_FOR_SHARDS],
  ])('that of the output, with no room for %s: the job fails and names it; freed, it is resumed', async (_, room) => {
    await using disk = await SmallDisk.create(DISK_BYTES);
    await using cluster = await SupervisedCluster.start();
    await cluster.addWorkers(WORKERS);
    disk.fill(room);
    const failed = await cluster.run({ ...OPTIONS, output: `${disk.folder}/out` });
    expect(failed.job.phase).toBe('Failed');
    expect(failed.job.failure?.code).toBe('StorageFull');
    expect(failed.job.failure?.message).toContain(disk.folder);
    disk.free();
    const run = await cluster.resume(failed);
    expect(flawsOf(run, quiet)).toEqual([]);
  });

  it('that of the state folder, in the middle of the job: job or coordinator ends and names it; freed, it goes on', async () => {
    await using disk = await SmallDisk.create(DISK_BYTES);
    await using cluster = await SupervisedCluster.start({ state: `${disk.folder}/state` });
    await cluster.addWorkers(WORKERS);
    let isFilled = false;
    const running = cluster.run(OPTIONS, (event) => {
      if (isFilled || event.type !== 'secateur.layer.committed.v1') return;
      isFilled = true;
      disk.fill(NO_ROOM);
    });
    // Statistics need more room than a line of the journal: which of them meets the end of the disk first depends on
    // what is left of the journal's last page.
    const first = await Promise.race([running, cluster.coordinator.firstEnded()]);
    disk.free();
    const said = 'job' in first ? JSON.stringify(first.job.failure) : (await first.finished).stderr;
    expect(said).toContain(disk.folder);
    expect(said).toContain('StorageFull');
    const run = 'job' in first ? await cluster.resume(first) : await running;
    expect(flawsOf(run, quiet)).toEqual([]);
  });
});
