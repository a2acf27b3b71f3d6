/**
 * The statistics of a layer: kept per sample as the workers sent them, then added up over the samples, in float64 and
 * in the order of the samples, so that neither the microbatch nor who computed what can move a bit of the sum.
 */
import { open, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import { invariant, SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../shared/safetensors/read-tensor.ts';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import type { LayerIntake, StagedFile, StatisticsPart } from '../core/state.ts';
import { samplesPrefix, sumsFileName } from './job-paths.ts';

/** Where the statistics of all samples of a layer are. */
export interface SampleParts {
  readonly parts: readonly Pick<StatisticsPart, 'microbatches' | 'file'>[];
  /** Samples in a microbatch; the last one may have fewer. */
  readonly microbatch: number;
  /** Samples in all. */
  readonly count: number;
}

/** A statistic's name and the width of the linears that read it, in the order of the model's linears. */
function statisticWidths(layer: LayerIntake): { statistic: string; width: number }[] {
  const widths = new Map<string, number>();
  for (const linear of layer.linears) widths.set(linear.statistic, linear.inFeatures);
  return [...widths].map(([statistic, width]) => ({ statistic, width }));
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
  samples: SampleParts,
): Promise<StagedFile | null> {
  const widths = statisticWidths(intake);
  const width = widths.reduce((sum, each) => sum + each.width, 0);
  const sums = await addSamples(stateDirectory, width, samples);
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
  const prefix = samplesPrefix(layer);
  const folder = join(stateDirectory, dirname(prefix));
  const names = await readdir(folder).catch(() => [] as string[]); // A job whose layers keep every weight has none.
  for (const name of names) {
    if (name.startsWith(basename(prefix))) await rm(join(folder, name), { force: true });
  }
  reach('coordinator.samples-dropped');
}

/** The samples of one part, or of a piece of it, in the order in which they are added up. */
interface Segment {
  readonly firstSample: number;
  readonly count: number;
  readonly file: StagedFile;
  readonly firstRow: number;
}

/** Every sample once, in order: parts are cut where others come between. */
function segmentsOf({ parts, microbatch, count }: SampleParts): Segment[] {
  const segments = parts.flatMap(({ microbatches, file }) => {
    let firstRow = 0;
    return microbatches.map(([first, end]) => {
      const firstSample = first * microbatch;
      const segment = { firstSample, count: Math.min(end * microbatch, count) - firstSample, file, firstRow };
      firstRow += segment.count;
      return segment;
    });
  });
  segments.sort((a, b) => a.firstSample - b.firstSample);
  let next = 0;
  for (const segment of segments) {
    invariant(segment.firstSample === next, `the statistics of sample ${next} are there once`);
    next += segment.count;
  }
  invariant(next === count, `the statistics of all ${count} samples are there`);
  return segments;
}

async function addSamples(stateDirectory: string, width: number, samples: SampleParts): Promise<Float64Array | null> {
  for (const { file } of samples.parts) {
    if (!(await isAsStored(join(stateDirectory, file.name), file))) return null;
  }
  const sums = new Float64Array(width);
  const row = new Float32Array(width);
  const bytes = new Uint8Array(row.buffer);
  for (const { file, firstRow, count } of segmentsOf(samples)) {
    const handle = await open(join(stateDirectory, file.name), 'r');
    try {
      for (let index = 0; index < count; index++) {
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, (firstRow + index) * bytes.length);
        if (bytesRead !== bytes.length) return null;
        for (let column = 0; column < width; column++) {
          sums[column] = (sums[column] as number) + (row[column] as number);
        }
      }
    } finally {
      await handle.close();
    }
  }
  return sums;
}

async function isAsStored(path: string, expected: StagedFile): Promise<boolean> {
  try {
    return (await digestFile(path)).sha256 === expected.sha256;
  } catch (thrown) {
    if (toSecateurError(thrown).code === 'SourceMissing') return false;
    throw thrown;
  }
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
