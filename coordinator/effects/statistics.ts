/**
 * The statistics of a layer: kept per sample as the workers sent them, then added up over the samples, in float64 and
 * in the order of the samples, so that neither the microbatch nor who computed what can move a bit of the sum.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../shared/safetensors/read-tensor.ts';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import { writeFileAtomic } from '../../shared/storage/atomic-file.ts';
import type { LayerIntake, StagedFile } from '../core/state.ts';
import { samplesFileName, sumsFileName } from './job-paths.ts';

/** A statistic's name and the width of the linears that read it, in the order of the model's linears. */
function statisticWidths(layer: LayerIntake): { statistic: string; width: number }[] {
  const widths = new Map<string, number>();
  for (const linear of layer.linears) widths.set(linear.statistic, linear.inFeatures);
  return [...widths].map(([statistic, width]) => ({ statistic, width }));
}

/** Stores [samples, D] float32, durably. `samples` holds one buffer a sample, in order. */
export async function storeSamples(
  stateDirectory: string,
  layer: number,
  samples: readonly Uint8Array[],
): Promise<StagedFile> {
  const name = samplesFileName(layer);
  const file = join(stateDirectory, name);
  await mkdir(dirname(file), { recursive: true });
  await writeFileAtomic(file, samples);
  reach('coordinator.samples-stored');
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for (const sample of samples) {
    hash.update(sample);
    sizeBytes += sample.byteLength;
  }
  return { name, sizeBytes, sha256: hash.digest('hex') };
}

/**
 * S(l) = Σ over the samples, float64, in their order.
 *
 * @returns the file of the sums; null when the stored samples are missing or not what was stored
 * @throws NonFiniteValue naming layer, statistic and column
 */
export async function reduceStatistics(
  stateDirectory: string,
  layer: number,
  intake: LayerIntake,
  samplesFile: StagedFile,
): Promise<StagedFile | null> {
  const widths = statisticWidths(intake);
  const width = widths.reduce((sum, each) => sum + each.width, 0);
  const sums = await addSamples(join(stateDirectory, samplesFile.name), width, samplesFile);
  if (sums === null) return null;
  const tensors = [];
  let first = 0;
  for (const { statistic, width: columns } of widths) {
    const values = sums.subarray(first, first + columns);
    first += columns;
    checkFinite(values, layer, statistic, intake);
    tensors.push({
      name: statistic,
      dtype: 'F64' as const,
      shape: [columns],
      data: new Uint8Array(values.slice().buffer),
    });
  }
  const name = sumsFileName(layer);
  const file = join(stateDirectory, name);
  await writeSafetensorsFile(file, tensors);
  reach('coordinator.sums-reduced');
  return { name, ...(await digestFile(file)) };
}

/** Once the sums are in the journal, nobody needs the samples any more. */
export async function dropSamples(stateDirectory: string, layer: number): Promise<void> {
  await rm(join(stateDirectory, samplesFileName(layer)), { force: true });
  reach('coordinator.samples-dropped');
}

async function addSamples(file: string, width: number, expected: StagedFile): Promise<Float64Array | null> {
  const sums = new Float64Array(width);
  const row = new Float32Array(width);
  const bytes = new Uint8Array(row.buffer);
  const hash = createHash('sha256');
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, 'r');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw thrown;
  }
  try {
    for (let position = 0; position < expected.sizeBytes; position += bytes.length) {
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, position);
      if (bytesRead !== bytes.length) return null;
      hash.update(bytes);
      for (let column = 0; column < width; column++) {
        sums[column] = (sums[column] as number) + (row[column] as number);
      }
    }
  } finally {
    await handle.close();
  }
  return hash.digest('hex') === expected.sha256 ? sums : null;
}

function checkFinite(values: Float64Array, layer: number, statistic: string, intake: LayerIntake): void {
  const column = values.findIndex((value) => !Number.isFinite(value));
  if (column < 0) return;
  const tensors = intake.linears.filter((linear) => linear.statistic === statistic).map((linear) => linear.tensor);
  throw new SecateurError(
    'NonFiniteValue',
    `layer ${layer}: the statistic ${statistic} (input of ${tensors.join(', ')}) is ${values[column]} at column ${column}; expected finite sums of squares. The activations overflow: check the checkpoint for damaged weights.`,
    { details: { layer, statistic, column, tensors } },
  );
}

/**
 * The sums of a layer, by statistic, as float64 little-endian bytes.
 *
 * @throws ChecksumMismatch where the file is not what was written: a flipped bit would prune other weights, silently
 */
export async function loadSums(stateDirectory: string, file: StagedFile): Promise<Map<string, Uint8Array>> {
  const path = join(stateDirectory, file.name);
  const { sha256 } = await digestFile(path);
  if (sha256 !== file.sha256) {
    throw new SecateurError(
      'ChecksumMismatch',
      `${path}: expected SHA-256 ${file.sha256}; found ${sha256}. The layer is calibrated again.`,
      { details: { file: path } },
    );
  }
  const header = await readSafetensorsHeader(path);
  const sums = new Map<string, Uint8Array>();
  for (const [name, location] of header.tensors) sums.set(name, await readTensorBytes(location));
  return sums;
}
