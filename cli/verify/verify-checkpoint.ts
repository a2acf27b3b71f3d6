/**
 * Proves that a directory is what its `secateur.json` says: the files, byte for byte; the sparsity, row by row, or over
 * the matrix where that was asked; and, beside the source, that nothing but pruned weights has changed. Every deviation is
 * listed; memory stays bounded.
 */
import { join } from 'node:path';
import { openCheckpoint } from '../../shared/checkpoint/open-checkpoint.ts';
import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { isFloatDtype } from '../../shared/safetensors/dtype.ts';
import { readSafetensorsHeader, type SafetensorsFile } from '../../shared/safetensors/read-header.ts';
import { checkFiles, checkIsPublished } from './check-files.ts';
import { checkIndex } from './check-index.ts';
import { hasCheckpoint, type Provenance, readProvenance } from './provenance-file.ts';
import { scanShard } from './scan-shard.ts';
import { TensorCheck } from './tensor-check.ts';

/** Extras of secateur's own, such as calibration.safetensors: no shards of the checkpoint. */
const EXTRAS_FOLDER = 'secateur/';

export interface LinearSummary {
  /** Name inside a layer: mlp.down_proj */
  readonly linear: string;
  readonly tensors: number;
  readonly weights: number;
  readonly zeros: number;
  readonly minRowSparsity: number;
  readonly meanRowSparsity: number;
  readonly maxRowSparsity: number;
}

export interface VerifyReport {
  readonly directory: string;
  readonly job: string;
  readonly ok: boolean;
  readonly files: number;
  readonly sizeBytes: number;
  readonly tensors: number;
  readonly prunedTensors: number;
  readonly weights: number;
  readonly zeros: number;
  /** The source that it was compared with; null: it was not. */
  readonly source: string | null;
  readonly linears: readonly LinearSummary[];
  readonly deviations: readonly string[];
}

/**
 * @param source directory of the checkpoint that was pruned; null compares with nothing
 * @throws SourceMissing (no such directory), VerificationFailed (not finished, no readable record), and what opening
 * the source throws; everything else that is wrong is in the report
 */
export async function verifyCheckpoint(directory: string, source: string | null): Promise<VerifyReport> {
  await checkIsPublished(directory);
  const provenance = await readProvenance(directory);
  if (!hasCheckpoint(provenance)) {
    throw new SecateurError(
      'VerificationFailed',
      `${directory}: there is no checkpoint to verify: job ${provenance.job.id} was asked for none (a destination with "discard:", or publish: false), and wrote its record and its report only.`,
      { details: { directory } },
    );
  }
  const { sound, deviations: fileDeviations } = await checkFiles(directory, provenance);
  const deviations = [...fileDeviations];
  const shards = await readShards(directory, sound, deviations);
  deviations.push(
    ...(await checkIndex(
      directory,
      sound.map(({ file }) => file),
      shards,
    )),
  );

  const original = source === null ? null : (await openCheckpoint(source)).tensors;
  const checks = tensorChecks(provenance, shards, original, deviations);
  for (const output of sound) {
    const shard = shards.get(output.file);
    const { sha256 } =
      shard === undefined
        ? await digestFile(join(directory, output.file))
        : await scanShard(shard, (tensor) => checks.get(tensor.name) ?? null);
    if (sha256 !== output.sha256) deviations.push(`${output.file}: expected SHA-256 ${output.sha256}, found ${sha256}`);
  }
  for (const check of checks.values()) deviations.push(...check.deviations());
  if (source !== null) deviations.push(...(await changedCarriedFiles(source, provenance)));
  const linears = summarizeLinears(checks);
  const zeros = linears.reduce((sum, linear) => sum + linear.zeros, 0);
  if (zeros !== provenance.totals.zeros) {
    deviations.push(`expected ${provenance.totals.zeros} zeros in all pruned tensors, found ${zeros}`);
  }
  return {
    directory,
    job: provenance.job.id,
    ok: deviations.length === 0,
    files: provenance.outputs.length,
    sizeBytes: provenance.outputs.reduce((sum, output) => sum + output.sizeBytes, 0),
    tensors: [...shards.values()].reduce((sum, shard) => sum + shard.tensors.size, 0),
    prunedTensors: linears.reduce((sum, linear) => sum + linear.tensors, 0),
    weights: linears.reduce((sum, linear) => sum + linear.weights, 0),
    zeros,
    source,
    linears,
    deviations,
  };
}

async function readShards(
  directory: string,
  sound: Provenance['outputs'],
  deviations: string[],
): Promise<Map<string, SafetensorsFile>> {
  const shards = new Map<string, SafetensorsFile>();
  for (const { file } of sound) {
    if (!file.endsWith('.safetensors') || file.startsWith(EXTRAS_FOLDER)) continue;
    try {
      shards.set(file, await readSafetensorsHeader(join(directory, file)));
    } catch (thrown) {
      if (!(thrown instanceof SecateurError) || thrown.code !== 'SafetensorsInvalid') throw thrown;
      deviations.push(`${file}: ${thrown.message}`);
    }
  }
  return shards;
}

/** One check a tensor of the shards; what is missing, or too much, is a deviation at once. */
function tensorChecks(
  provenance: Provenance,
  shards: ReadonlyMap<string, SafetensorsFile>,
  original: ReadonlyMap<string, TensorLocation> | null,
  deviations: string[],
): Map<string, TensorCheck> {
  const recorded = new Map(provenance.layers.flatMap((layer) => Object.entries(layer.tensors)));
  const checks = new Map<string, TensorCheck>();
  for (const tensor of [...shards.values()].flatMap((shard) => [...shard.tensors.values()])) {
    const record = recorded.get(tensor.name) ?? null;
    recorded.delete(tensor.name);
    const source = original?.get(tensor.name) ?? null;
    if (original !== null && source === null) deviations.push(`${tensor.name}: not in the source`);
    if (record !== null && (!isFloatDtype(tensor.dtype) || tensor.shape.length !== 2)) {
      deviations.push(`${tensor.name}: recorded as pruned, but it is ${tensor.dtype} [${tensor.shape.join(', ')}]`);
      continue;
    }
    checks.set(tensor.name, new TensorCheck(tensor, record, source));
  }
  for (const name of recorded.keys()) deviations.push(`${name}: recorded as pruned, but in no shard`);
  for (const name of original?.keys() ?? []) {
    if (!checks.has(name)) deviations.push(`${name}: in the source, but not here`);
  }
  return checks;
}

/** Tokenizer, configuration and so on must be the source's. */
async function changedCarriedFiles(source: string, provenance: Provenance): Promise<string[]> {
  const deviations: string[] = [];
  for (const { file, sha256 } of provenance.inputs.files) {
    const found = await digestFile(join(source, file)).catch((thrown: NodeJS.ErrnoException) => thrown.message);
    if (typeof found === 'string') deviations.push(`${file}: carried over, but not readable in the source: ${found}`);
    else if (found.sha256 !== sha256) deviations.push(`${file}: carried over, but the source's is another now`);
  }
  return deviations;
}

function summarizeLinears(checks: ReadonlyMap<string, TensorCheck>): LinearSummary[] {
  const byLinear = new Map<string, TensorCheck[]>();
  for (const check of checks.values()) {
    if (!check.isPruned) continue;
    const linear = check.name.replace(/^.*?layers\.\d+\./, '').replace(/\.weight$/, '');
    byLinear.set(linear, [...(byLinear.get(linear) ?? []), check]);
  }
  return [...byLinear].map(([linear, members]) => {
    const reports = members.map((member) => member.rows());
    const weights = members.reduce((sum, member) => sum + member.elements, 0);
    const zeros = reports.reduce((sum, report) => sum + report.zeros, 0);
    return {
      linear,
      tensors: members.length,
      weights,
      zeros,
      minRowSparsity: Math.min(...reports.map((report) => report.minRowSparsity)),
      meanRowSparsity: weights === 0 ? 0 : zeros / weights,
      maxRowSparsity: Math.max(...reports.map((report) => report.maxRowSparsity)),
    };
  });
}
