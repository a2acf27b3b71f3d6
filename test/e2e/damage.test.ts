/** Files that rot while nobody looks, between two lives of a job: noticed before they are used, and made again. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { PlainCluster, quietDigests, waitForCommit, waitForJob } from '../support/plain-cluster.ts';
import { Bench, digestTree } from '../support/secateur-process.ts';

function fileIn(folder: string, prefix: string): string {
  return join(folder, readdirSync(folder).find((name) => name.startsWith(prefix)) as string);
}

/** Near its end: a weight, a token id. */
function flipBit(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 8] = (bytes.at(-8) as number) ^ 1;
  writeFileSync(path, bytes);
}

async function lossesOf(cluster: PlainCluster): Promise<string[]> {
  const events = await cluster.events();
  expect(events.map((event) => Number(event.sequence))).toEqual(events.map((_, index) => index + 1));
  const losses = events.filter(({ type }) => /\.(layer|calibration|checkpoint)\.lost\.v1$/.test(type));
  return losses.map(({ type, data }) => `${type.split('.')[1]} ${data.layer ?? ''}`.trim()).sort();
}

describe('damage to what a job has written', () => {
  let quiet: Record<string, string>;
  beforeAll(async () => {
    quiet = await quietDigests();
  });

  it.each(['direct', 'coordinator'])(
    'between cancel and resume, files %s: layers and token ids are made again, the same',
    async (storage) => {
      await using bench = new Bench();
      const cluster = await PlainCluster.create(bench);
      await cluster.coordinator();
      cluster.worker('w1', { SECATEUR_SLOW_MS: '100' }, ['--storage', storage]);
      const job = cluster.submit(bench.path('out'), { placement: { stages: 1 } });
      await waitForCommit(cluster, 1);
      expect((await bench.run(['cancel', 'job', '--coordinator', cluster.address])).code).toBe(0);
      await job.finished;
      const staging = bench.path('out/.secateur');
      const statistics = join(cluster.state, 'jobs', await waitForJob(cluster), 'statistics');
      flipBit(fileIn(join(staging, 'layers'), '00000'));
      rmSync(fileIn(join(staging, 'layers'), '00001'));
      flipBit(fileIn(join(staging, 'calibration'), 'ids'));
      // Layer 0 is pruned again from its sums; layer 1, which has lost them too, is calibrated again.
      flipBit(join(statistics, '00001.safetensors'));
      expect((await bench.run(['resume', 'job', '--coordinator', cluster.address])).code).toBe(0);
      const watched = await bench.run(['watch', 'job', '--coordinator', cluster.address]);
      expect(watched.code, watched.stderr).toBe(0);
      expect(digestTree(bench.path('out'))).toEqual(quiet);
      expect(await lossesOf(cluster)).toEqual(['calibration', 'layer 0', 'layer 1']);
    },
  );

  it.each([
    ['a shard', (staging: string) => flipBit(join(staging, 'publish/model.safetensors'))],
    ['the list of files', (staging: string) => writeFileSync(join(staging, 'publish.json'), '{"job":"x","fi')],
    ['the whole folder', (staging: string) => rmSync(join(staging, 'publish'), { recursive: true })],
  ])('between a crash and a restart, to what waits to be published (%s): it is assembled again', async (_, damage) => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    const dying = await cluster.coordinator({ SECATEUR_FAILPOINT: 'coordinator.publish-listed' });
    cluster.worker('w1');
    const job = cluster.submit(bench.path('out'), { placement: { stages: 1 } });
    await dying.finished;
    damage(bench.path('out/.secateur'));
    await cluster.coordinator();
    const finished = await job.finished;
    expect(finished.code, finished.stderr).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
    expect(await lossesOf(cluster)).toEqual(['checkpoint']);
  });
});
