/** Reads a job's inputs: configuration and headers, never a tensor. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Checkpoint, openCheckpoint } from '../../shared/checkpoint/open-checkpoint.ts';
import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import { rethrowPassing, SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { destinationPath, locationToPath, sourcePath } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { checkSelections, selectionFor } from '../../shared/manifest/select-linears.ts';
import { checkTensors, layerTensors, type ModelDescription } from '../../shared/models/family.ts';
import { describeModel } from '../../shared/models/registry.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { syntheticCheckpoint } from '../../shared/synthetic/synthetic-checkpoint.ts';
import { isSynthetic, parseSyntheticTokens } from '../../shared/synthetic/synthetic-location.ts';
import { evaluationLocations } from '../core/evaluation.ts';
import type { FileIntake, JobIntake, LayerIntake, TensorSlot } from '../core/state.ts';

/** The largest tokenizers have some tens of megabytes: a tenth of a second. */
const DIGESTED_BYTES_MAX = 128 * 1024 * 1024;

/**
 * @throws CheckpointInvalid, SafetensorsInvalid, ModelUnsupported, ManifestInvalid (patterns that match nothing),
 * CalibrationInvalid; each before any work is done
 */
export async function readIntake(manifest: Manifest): Promise<JobIntake> {
  const { model, output, pruning } = manifest.spec;
  const sourceDirectory = sourcePath(model.source);
  const [opened, calibration, evaluation] = await Promise.allSettled([
    openSource(model.source),
    calibrationFiles(manifest),
    evaluationFiles(manifest),
  ]);
  if (opened.status === 'rejected' || calibration.status === 'rejected' || evaluation.status === 'rejected')
    throw allOf('spec.model.source', opened, [calibration, evaluation]);
  const checkpoint = opened.value;
  const description = describe(checkpoint);
  const { extra } = checkTensors(description, checkpoint.tensors);
  const shardOf = new Map(checkpoint.shards.map((shard) => [shard.path, shard.file]));
  const slot = (name: string): TensorSlot => toSlot(checkpoint.tensors.get(name) as TensorLocation, shardOf);

  const perLayer = Array.from({ length: description.layerCount }, (_, layer) => layerTensors(description, layer));
  const linears = perLayer.flatMap((tensors, layer) =>
    tensors.linears.map(({ name, linear, inFeatures, outFeatures }) => ({
      name: moduleName(name),
      linear,
      layer,
      inFeatures,
      outFeatures,
    })),
  );
  checkSelections(pruning, linears);
  const layers = perLayer.map((tensors, layer): LayerIntake => {
    const names = [...tensors.linears, ...tensors.others].map((tensor) => tensor.name);
    return {
      linears: tensors.linears.map(({ name, linear, statistic, outFeatures, inFeatures }) => ({
        tensor: name,
        statistic,
        outFeatures,
        inFeatures,
        choice: selectionFor(pruning, { name: moduleName(name), linear, layer }),
      })),
      tensors: names.map(slot),
    };
  });
  const inLayers = new Set(layers.flatMap((layer) => layer.tensors.map((tensor) => tensor.name)));
  const given = await givenTokens(manifest);
  const outside = [...checkpoint.tensors.keys()].filter((name) => !inLayers.has(name)).map(slot);
  return {
    sourceDirectory,
    outputDirectory: destinationPath(output.destination),
    model: description,
    shards: await fileSizes(
      checkpoint.shards.map(({ file }) => file),
      (file) => `${sourceDirectory}/${file}`,
    ),
    auxiliaryFiles: await digestSmall(
      await fileSizes(checkpoint.auxiliaryFiles, (file) => `${sourceDirectory}/${file}`),
      sourceDirectory,
    ),
    calibrationFiles: calibration.value,
    evaluationFiles: evaluation.value,
    givenTokens: given,
    layers,
    outside,
    embedding: slot('model.embed_tokens.weight'),
    warnings: [
      ...checkpoint.warnings,
      ...(extra.length > 0
        ? [
            `carried over as they are, of no known use: ${extra.slice(0, 5).join(', ')}${extra.length > 5 ? ` and ${extra.length - 5} more` : ''}`,
          ]
        : []),
      ...sequenceWarnings(description, manifest.spec.calibration, given),
    ],
  };
}

async function openSource(source: string): Promise<Checkpoint> {
  return isSynthetic(source) ? syntheticCheckpoint(source) : openCheckpoint(locationToPath(source));
}

/** It computes all the same: rotary positions go on for ever. What the model makes of them it was never taught. */
function sequenceWarnings(
  { maxPositionEmbeddings }: ModelDescription,
  calibration: Manifest['spec']['calibration'],
  given: JobIntake['givenTokens'],
): string[] {
  const sequenceLength = 'text' in calibration ? calibration.sequenceLength : (given?.sequenceLength ?? 0);
  if (sequenceLength <= maxPositionEmbeddings) return [];
  const where = 'text' in calibration ? 'spec.calibration.sequenceLength' : 'spec.calibration.tokens';
  return [
    `${where}: sequences of ${sequenceLength} tokens are longer than the ${maxPositionEmbeddings} positions that the model was trained for (max_position_embeddings): the statistics of what lies behind are of little worth`,
  ];
}

function moduleName(tensor: string): string {
  return tensor.replace(/\.weight$/, '');
}

function toSlot(location: TensorLocation, shardOf: ReadonlyMap<string, string>): TensorSlot {
  const { name, dtype, shape, offset, sizeBytes } = location;
  return { name, dtype, shape, file: shardOf.get(location.file) ?? location.file, offset, sizeBytes };
}

/** The folder belongs to the message: of a `config.json` alone nobody knows which. */
function describe(checkpoint: Checkpoint): ModelDescription {
  try {
    return describeModel(checkpoint.config);
  } catch (thrown) {
    const { code, message, details } = toSecateurError(thrown);
    throw new SecateurError(code, `${checkpoint.directory}/${message}`, { cause: thrown, details });
  }
}

/** What is wrong with the checkpoint and with the files of calibration and evaluation, in one error. */
function allOf(
  sourcePath: string,
  source: PromiseSettledResult<unknown>,
  files: readonly PromiseSettledResult<unknown>[],
): SecateurError {
  const first = source.status === 'rejected' ? toSecateurError(source.reason) : null;
  const others = files.flatMap((each) => (each.status === 'rejected' ? [toSecateurError(each.reason)] : []));
  const errors = [
    ...(first === null ? [] : [`${sourcePath}: ${first.message}`]),
    ...others.flatMap((other) => (other.details.errors as string[] | undefined) ?? [other.message]),
  ];
  const all = [...(first === null ? [] : [first]), ...others];
  // What is wrong with the inputs stays wrong, whatever else hiccups.
  const leading = (all.find((error) => !error.retryable) ?? all[0]) as SecateurError;
  return new SecateurError(leading.code, errors.join('\n'), {
    cause: leading,
    retryable: leading.retryable,
    details: { ...leading.details, errors },
  });
}

async function calibrationFiles(manifest: Manifest): Promise<FileIntake[]> {
  const calibration = manifest.spec.calibration;
  if ('text' in calibration) {
    return filesAt(calibration.text.map((location, index) => ({ location, path: `spec.calibration.text[${index}]` })));
  }
  if (isSynthetic(calibration.tokens)) return [];
  return filesAt([{ location: calibration.tokens, path: 'spec.calibration.tokens' }]);
}

async function evaluationFiles(manifest: Manifest): Promise<FileIntake[]> {
  const field = manifest.spec.evaluation !== undefined && 'text' in manifest.spec.evaluation ? 'text' : 'tokens';
  const locations = evaluationLocations(manifest);
  return filesAt(locations.map((location, index) => ({ location, path: `spec.evaluation.${field}[${index}]` })));
}

async function filesAt(
  locations: readonly { readonly location: string; readonly path: string }[],
): Promise<FileIntake[]> {
  const found = await Promise.allSettled(
    locations.map(({ location }) => fileSizes([locationToPath(location)], (path) => path)),
  );
  for (const result of found) if (result.status === 'rejected') rethrowPassing(result.reason);
  const errors = found.flatMap((result, index) =>
    result.status === 'rejected' ? [`${locations[index]?.path}: ${toSecateurError(result.reason).message}`] : [],
  );
  if (errors.length > 0) throw new SecateurError('SourceMissing', errors.join('\n'), { details: { errors } });
  return found.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
}

/** The header says how many there are; the worker that prepares the calibration checks the ids themselves. */
async function givenTokens(manifest: Manifest): Promise<JobIntake['givenTokens']> {
  const calibration = manifest.spec.calibration;
  if ('text' in calibration) return null;
  if (isSynthetic(calibration.tokens)) {
    const { samples, sequenceLength } = parseSyntheticTokens(calibration.tokens);
    return { samples: Math.min(samples, calibration.samples ?? samples), sequenceLength };
  }
  const file = locationToPath(calibration.tokens);
  const ids = (await readSafetensorsHeader(file)).tensors.get('input_ids');
  const [samples, sequenceLength] = ids?.shape ?? [];
  if (samples === undefined || sequenceLength === undefined) {
    throw new SecateurError(
      'CalibrationInvalid',
      `${file}: expected a tensor "input_ids" [samples, sequenceLength]; found ${ids === undefined ? 'none' : `shape [${ids.shape.join(', ')}]`}.`,
      { details: { file } },
    );
  }
  return { samples: Math.min(samples, calibration.samples ?? samples), sequenceLength };
}

/** Another tokenizer is another calibration, another configuration another model, whatever the file's time says. */
async function digestSmall(files: readonly FileIntake[], directory: string): Promise<FileIntake[]> {
  const digested: FileIntake[] = [];
  for (const file of files) {
    const isSmall = file.sizeBytes <= DIGESTED_BYTES_MAX;
    digested.push(isSmall ? { ...file, sha256: (await digestFile(join(directory, file.file))).sha256 } : file);
  }
  return digested;
}

async function fileSizes(files: readonly string[], pathOf: (file: string) => string): Promise<FileIntake[]> {
  return Promise.all(
    files.map(async (file) => {
      const path = pathOf(file);
      try {
        const found = await stat(path);
        if (found.isFile()) return { file, sizeBytes: found.size, mtimeMs: found.mtimeMs, ctimeMs: found.ctimeMs };
      } catch (cause) {
        rethrowPassing(cause);
        throw new SecateurError(
          'SourceMissing',
          `${path}: expected a file; ${(cause as Error).message}. Check the path in the manifest.`,
          { cause, details: { path } },
        );
      }
      throw new SecateurError(
        'SourceMissing',
        `${path}: expected a file; found something else. Check the path in the manifest.`,
        { details: { path } },
      );
    }),
  );
}
