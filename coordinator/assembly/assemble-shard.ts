/** Writes one shard of the output into the publish folder: pruned tensors from committed layers, the rest from the source. */
import { link, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { invariant } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import { layoutSafetensors } from '../../shared/safetensors/layout.ts';
import { fsyncDirectory } from '../../shared/storage/atomic-file.ts';
import { unreadable, VerifiedFiles } from '../../shared/storage/verified-files.ts';
import type { AssembledShard, JobState, OutputShardPlan, StagedFile } from '../core/state.ts';
import type { JobPaths } from '../effects/job-paths.ts';
import { committedSlots } from './committed-layer.ts';
import { HashedFile } from './copy-range.ts';
import { LayerSources, type PlacedTensor } from './layer-sources.ts';

/**
 * May be run again after a crash: the shard appears under its name only when it is whole and durable.
 *
 * @throws with `details.staged` where a committed layer is gone or not what was committed
 */
export async function assembleShard(
  job: JobState,
  shardIndex: number,
  paths: JobPaths,
  verified = new VerifiedFiles(),
): Promise<AssembledShard> {
  const shard = job.plan?.outputShards[shardIndex];
  invariant(shard !== undefined && job.intake !== null, `job ${job.id} has a plan with shard ${shardIndex}`);
  await mkdir(paths.publish, { recursive: true });
  const whole = wholeLayer(job, shard);
  const linked = whole === null ? null : await linkLayer(whole, shard.file, paths, verified);
  const assembled = linked ?? (await copyShard(job, shard, paths, verified));
  reach('coordinator.shard-assembled');
  return assembled;
}

/** The committed layer whose file is, byte for byte, this shard. */
function wholeLayer(job: JobState, shard: OutputShardPlan): StagedFile | null {
  const index = job.intake?.layers.findIndex(
    (layer) =>
      layer.tensors.length === shard.tensors.length &&
      layer.tensors.every((tensor, position) => tensor.name === shard.tensors[position]),
  );
  return index === undefined || index < 0 ? null : (job.layers[index]?.file ?? null);
}

/** A second name for the same bytes: nothing is copied. Null where the file system has no hard links. */
async function linkLayer(
  layer: StagedFile,
  file: string,
  paths: JobPaths,
  verified: VerifiedFiles,
): Promise<AssembledShard | null> {
  const target = join(paths.publish, file);
  await rm(target, { force: true });
  try {
    await link(join(paths.staging, layer.name), target);
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === 'EPERM' || code === 'ENOTSUP' || code === 'ENOSYS' || code === 'EMLINK') return null;
    throw unreadable(join(paths.staging, layer.name), layer, thrown);
  }
  try {
    await verified.verify(target, layer);
  } catch (thrown) {
    await rm(target, { force: true });
    throw thrown;
  }
  reach('coordinator.shard-linked');
  await fsyncDirectory(paths.publish);
  return { file, sizeBytes: layer.sizeBytes, sha256: layer.sha256 };
}

async function copyShard(
  job: JobState,
  shard: OutputShardPlan,
  paths: JobPaths,
  verified: VerifiedFiles,
): Promise<AssembledShard> {
  const placed = placedTensors(job, paths);
  const tensors = shard.tensors.map((name) => {
    const tensor = placed.get(name);
    invariant(tensor !== undefined, `tensor ${name} of shard ${shard.file} has a place`);
    return tensor;
  });
  const layout = layoutSafetensors(tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })));
  const temporary = join(paths.publish, `${shard.file}.tmp`);
  const output = await HashedFile.create(temporary);
  const sources = new LayerSources(tensors, verified);
  try {
    await output.write(layout.headerBytes);
    for (const tensor of tensors) {
      await sources.copy(tensor, output);
      reach('coordinator.shard-copied-part');
    }
    sources.check();
    const written = await output.finish();
    reach('coordinator.shard-copied');
    const target = join(paths.publish, shard.file);
    await rename(temporary, target);
    await verified.vouch(target, written.sha256);
    reach('coordinator.shard-renamed');
    await fsyncDirectory(paths.publish);
    return { file: shard.file, ...written };
  } catch (thrown) {
    await output.abandon();
    await rm(temporary, { force: true });
    throw thrown;
  } finally {
    await sources.close();
  }
}

function placedTensors(job: JobState, paths: JobPaths): Map<string, PlacedTensor> {
  const intake = job.intake;
  invariant(intake !== null, `job ${job.id} has read its inputs`);
  const placed = new Map<string, PlacedTensor>();
  for (const tensor of intake.outside)
    placed.set(tensor.name, { ...tensor, path: join(intake.sourceDirectory, tensor.file), layer: null });
  for (const [layer, layerIntake] of intake.layers.entries()) {
    const file = job.layers[layer]?.file;
    invariant(file, `layer ${layer} of job ${job.id} is committed`);
    const slots = committedSlots(file.name, layerIntake);
    const layerFile = { ...file, dataOffset: slots[0]?.offset ?? 0 };
    for (const tensor of slots) {
      placed.set(tensor.name, { ...tensor, path: join(paths.staging, tensor.file), layer: layerFile });
    }
  }
  return placed;
}
