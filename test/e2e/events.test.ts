/** Events of a real job over a real nats-server: away at the start, killed midway, and everything there in the end. */
import { writeFileSync } from 'node:fs';
import { jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import { findNatsServer, freePort, startNatsServer } from '../support/nats-server.ts';
import { Bench, digestTree, microManifest } from '../support/secateur-process.ts';

const source = await findNatsServer();
const reason = source.kind === 'none' ? ` (skipped: no nats-server: ${source.why})` : '';

interface CloudEvent {
  readonly id: string;
  readonly type: string;
  readonly sequence: string;
}

async function readStream(url: string, count: number): Promise<{ subject: string; event: CloudEvent }[]> {
  const connection = await connect({ servers: url });
  try {
    const consumer = await jetstream(connection).consumers.get('SECATEUR');
    const found: { subject: string; event: CloudEvent }[] = [];
    for await (const message of await consumer.fetch({ max_messages: count + 1, expires: 2_000 })) {
      found.push({ subject: message.subject, event: message.json<CloudEvent>() });
    }
    return found;
  } finally {
    await connection.close();
  }
}

describe.skipIf(source.kind === 'none')(`events of a job over NATS${reason}`, () => {
  it('NATS is absent while the job runs and comes afterwards: the job is not held up, every event is there, once, in order', async () => {
    await using bench = new Bench();
    const port = await freePort();
    const address = `127.0.0.1:${await freePort()}`;
    const coordinator = bench.start([
      'coordinator',
      '--state',
      bench.path('state'),
      '--listen',
      address,
      '--nats',
      `nats://127.0.0.1:${port}`,
    ]);
    await coordinator.printed(/listens on/);
    bench.start(['worker', '--coordinator', address, '--name', 'w1', '--threads', '1', '--cache', bench.path('cache')]);
    writeFileSync(bench.path('m.yaml'), microManifest({ output: bench.path('out'), name: 'job' }));
    const job = await bench.run(['submit', bench.path('m.yaml'), '--wait', '--coordinator', address]);
    expect(job.code, job.stderr).toBe(0);
    expect(Object.keys(digestTree(bench.path('out')))).toContain('model.safetensors');

    const watched = await bench.run(['watch', 'job', '-o', 'json', '--coordinator', address]);
    const told = watched.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as CloudEvent);
    const nats = await startNatsServer(source, { port });
    try {
      let stored: Awaited<ReturnType<typeof readStream>> = [];
      await expect
        .poll(
          async () => {
            stored = await readStream(nats.url, told.length).catch(() => []);
            return stored.length;
          },
          { timeout: 60_000 },
        )
        .toBe(told.length);
      expect(stored.map(({ event }) => event)).toEqual(told);
      expect(stored[0]?.subject).toMatch(/^secateur\.default\.job-[0-9a-f]+\.job\.submitted$/);

      // Killed and started again, it gets the next job's events as well, and none of the first twice.
      await nats.kill();
      writeFileSync(bench.path('n.yaml'), microManifest({ output: bench.path('out2'), name: 'second' }));
      const second = bench.start(['submit', bench.path('n.yaml'), '--wait', '--coordinator', address]);
      await nats.restart();
      expect((await second.finished).code).toBe(0);
      const toldSecond = (await bench.run(['watch', 'second', '-o', 'json', '--coordinator', address])).stdout
        .trim()
        .split('\n');
      await expect
        .poll(async () => (await readStream(nats.url, 1_000).catch(() => [])).length, { timeout: 60_000 })
        .toBe(told.length + toldSecond.length);
      const ids = (await readStream(nats.url, 1_000)).map(({ event }) => event.id);
      expect(new Set(ids).size).toBe(ids.length);
    } finally {
      await nats.stop();
    }
  });
});
