/**
 * Moves a file of 200 MB down and up over loopback, server and client both in this process, and says as JSON how much
 * its memory grew at most meanwhile, and how fast it went.
 */
import { createHash } from 'node:crypto';
import { createReadStream, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { readArtifact, writeArtifact } from '../../shared/storage/artifact-transfer.ts';
import { IDENTITY, JOB, makeJobFolder, serveFolder } from './artifacts-fixture.ts';

const MIB = 1024 * 1024;
const SIZE_BYTES = 200 * MIB;

const folder = makeJobFolder(8 * MIB);
const running = await serveFolder(folder);
const peer = { client: running.client, job: JOB, patienceMs: 0 };
let peakBytes = 0;
const look = (): void => {
  peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
};

async function roundTrip(
  name: string,
  sizeBytes: number,
): Promise<{ readMibPerSecond: number; writeMibPerSecond: number }> {
  const local = join(folder.source, name);
  let begun = performance.now();
  await readArtifact(peer, { root: 'FILE_ROOT_SOURCE', name }, { offset: 0, length: sizeBytes }, async () => look());
  const readMibPerSecond = sizeBytes / MIB / ((performance.now() - begun) / 1000);
  const digest = createHash('sha256');
  for await (const data of createReadStream(local)) digest.update(data);
  const ref = { root: 'FILE_ROOT_STAGING', name: `layers/${name}`, sizeBytes, sha256: digest.digest('hex') } as const;
  begun = performance.now();
  const timer = setInterval(look, 5);
  await writeArtifact(peer, IDENTITY, ref, local);
  clearInterval(timer);
  const writeMibPerSecond = sizeBytes / MIB / ((performance.now() - begun) / 1000);
  return { readMibPerSecond, writeMibPerSecond };
}

// Code, buffers and the heap find their size first.
await roundTrip('model.safetensors', 8 * MIB);
const file = openSync(join(folder.source, 'linked.safetensors'), 'w');
const block = Buffer.alloc(MIB);
for (let done = 0; done < SIZE_BYTES; done += MIB) writeSync(file, block.fill(done / MIB));
const beforeBytes = process.memoryUsage.rss();
peakBytes = beforeBytes;
const speed = await roundTrip('linked.safetensors', SIZE_BYTES);
process.stdout.write(JSON.stringify({ grownBytes: peakBytes - beforeBytes, beforeBytes, ...speed }));
running.close();
folder.remove();
