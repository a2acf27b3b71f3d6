/** Writes one shard of the output into the publish folder: pruned tensors from committed layers, the rest from the source. */
import { type FileHandle, link, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { invariant } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import { layoutSafetensors } from '../../shared/safetensors/layout.ts';
import { fsyncDirectory } from '../../shared/storage/atomic-file.ts';
import type { AssembledShard, JobState, OutputShardPlan, StagedFile, TensorSlot } from '../core/state.ts';
import type { JobPaths } from '../effects/job-paths.ts';
import { committedSlots } from './committed-layer.ts';
import { HashedFile } from './copy-range.ts';

interface PlacedTensor extends TensorSlot {
  /** Absolute path of the file that holds it now. */
  readonly path: string;
}

/** May be run again after a crash: the shard appears under its name only when it is whole and durable. */
export async function assembleShard(job: JobState, shardIndex: number, paths: JobPaths): Promise<AssembledShard> {
  const shard = job.plan?.outputShards[shardIndex];
  invariant(shard !== undefined && job.intake !== null, `job ${job.id} has a plan with shard ${shardIndex}`);
  await mkdir(paths.publish, { recursive: true });
  const whole = wholeLayer(job, shard);
  const linked = whole === null ? null : await linkLayer(whole, shard.file, paths);
  const assembled = linked ?? (await copyShard(job, shard, paths));
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
async function linkLayer(layer: StagedFile, file: string, paths: JobPaths): Promise<AssembledShard | null> {
  const target = join(paths.publish, file);
  await rm(target, { force: true });
  try {
    await link(join(paths.staging, layer.name), target);
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === 'EPERM' || code === 'ENOTSUP' || code === 'ENOSYS' || code === 'EMLINK') return null;
    throw thrown;
  }
  reach('coordinator.shard-linked');
  await fsyncDirectory(paths.publish);
  return { file, sizeBytes: layer.sizeBytes, sha256: layer.sha256 };
}

async function copyShard(job: JobState, shard: OutputShardPlan, paths: JobPaths): Promise<AssembledShard> {
  const placed = placedTensors(job, paths);
  const tensors = shard.tensors.map((name) => {
    const tensor = placed.get(name);
    invariant(tensor !== undefined, `tensor ${name} of shard ${shard.file} has a place`);
    return tensor;
  });
  const layout = layoutSafetensors(tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })));
  const temporary = join(paths.publish, `${shard.file}.tmp`);
  const output = await HashedFile.create(temporary);
  const sources = new Map<string, FileHandle>();
  try {
    await output.write(layout.headerBytes);
    for (const tensor of tensors) {
      const source = sources.get(tensor.path) ?? (await open(tensor.path, 'r'));
      sources.set(tensor.path, source);
      await output.copyFrom(source, tensor.path, tensor.offset, tensor.sizeBytes);
      reach('coordinator.shard-copied-part');
    }
    const written = await output.finish();
    reach('coordinator.shard-copied');
    await rename(temporary, join(paths.publish, shard.file));
    reach('coordinator.shard-renamed');
    await fsyncDirectory(paths.publish);
    return { file: shard.file, ...written };
  } catch (thrown) {
    await output.abandon();
    await rm(temporary, { force: true });
    throw thrown;
  } finally {
    for (const source of sources.values()) await source.close();
  }
}

function placedTensors(job: JobState, paths: JobPaths): Map<string, PlacedTensor> {
  const intake = job.intake;
  invariant(intake !== null, `job ${job.id} has read its inputs`);
  const placed = new Map<string, PlacedTensor>();
  for (const tensor of intake.outside)
    placed.set(tensor.name, { ...tensor, path: join(intake.sourceDirectory, tensor.file) });
  for (const [layer, layerIntake] of intake.layers.entries()) {
    const file = job.layers[layer]?.file;
    invariant(file, `layer ${layer} of job ${job.id} is committed`);
    for (const tensor of committedSlots(file.name, layerIntake)) {
      placed.set(tensor.name, { ...tensor, path: join(paths.staging, tensor.file) });
    }
  }
  return placed;
}
