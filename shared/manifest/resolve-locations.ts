/** A manifest's relative paths made absolute file URLs, which mean the same on every node that sees the files. */

import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { SecateurError } from '../errors/secateur-error.ts';
import {
  isSynthetic,
  parseSyntheticModel,
  parseSyntheticTokens,
  showSyntheticModel,
  showSyntheticTokens,
} from '../synthetic/synthetic-location.ts';
import { discardTo, isDiscarded, locationProblem, recordLocation, SCHEME } from './location.ts';
import type { CalibrationSpec, EvaluationSpec, Manifest } from './schema.ts';

/**
 * The manifest with every location as a canonical absolute file URL, or canonical synthetic location. Resolving twice
 * changes nothing.
 *
 * @param baseDirectory absolute path of the folder that relative paths count from: that of the manifest file
 * @throws SecateurError ArgumentInvalid where baseDirectory is not absolute
 */
export function resolveLocations(manifest: Manifest, baseDirectory: string): Manifest {
  if (!isAbsolute(baseDirectory)) {
    throw new SecateurError(
      'ArgumentInvalid',
      `base directory ${JSON.stringify(baseDirectory)}: expected an absolute path`,
      { details: { baseDirectory } },
    );
  }
  const resolved = (location: string): string => {
    const path = SCHEME.test(location) ? fileURLToPath(location) : location;
    return pathToFileURL(resolve(baseDirectory, path)).href;
  };
  const { model, output, calibration, evaluation } = manifest.spec;
  return {
    ...manifest,
    spec: {
      ...manifest.spec,
      model: { ...model, source: resolvedSource(model.source, resolved) },
      output: { ...output, destination: resolvedDestination(output.destination, resolved) },
      calibration: resolvedCalibration(calibration, resolved),
      ...(evaluation === undefined ? {} : { evaluation: resolvedEvaluation(evaluation, resolved) }),
    },
  };
}

function resolvedSource(source: string, resolved: (location: string) => string): string {
  return isSynthetic(source) ? showSyntheticModel(parseSyntheticModel(source)) : resolved(source);
}

function resolvedDestination(destination: string, resolved: (location: string) => string): string {
  const folder = resolved(recordLocation(destination));
  return isDiscarded(destination) ? discardTo(folder) : folder;
}

function resolvedCalibration(calibration: CalibrationSpec, resolved: (location: string) => string): CalibrationSpec {
  if ('text' in calibration) return { ...calibration, text: calibration.text.map(resolved) };
  const { tokens } = calibration;
  return {
    ...calibration,
    tokens: isSynthetic(tokens) ? showSyntheticTokens(parseSyntheticTokens(tokens)) : resolved(tokens),
  };
}

function resolvedEvaluation(evaluation: EvaluationSpec, resolved: (location: string) => string): EvaluationSpec {
  return 'text' in evaluation
    ? { ...evaluation, text: evaluation.text.map(resolved) }
    : { ...evaluation, tokens: evaluation.tokens.map(resolved) };
}

/**
 * The absolute path of a file URL that `resolveLocations` made.
 *
 * @throws SecateurError ArgumentInvalid for anything else: a relative path here would mean another folder on each node.
 */
export function locationToPath(location: string): string {
  const problem = SCHEME.test(location) ? locationProblem(location) : 'it is a path';
  if (problem !== undefined) {
    throw new SecateurError(
      'ArgumentInvalid',
      `location ${JSON.stringify(location)}: expected a file URL such as file:///models/llama; ${problem}. Resolve the manifest's locations first.`,
      { details: { location } },
    );
  }
  return fileURLToPath(location);
}

/**
 * The absolute path of the folder that a destination names: of the checkpoint, or of the record alone.
 *
 * @throws ArgumentInvalid, as `locationToPath`
 */
export function destinationPath(destination: string): string {
  return locationToPath(recordLocation(destination));
}

/** A model's location as people know it: the path of a folder, or the synthetic location itself. */
export function sourcePath(source: string): string {
  return isSynthetic(source) ? source : locationToPath(source);
}
