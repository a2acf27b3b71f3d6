/**
 * The locations of what is made rather than stored:
 *
 *     synthetic:SHAPE?layers=N&seed=N&dtype=bf16|f16|f32          a model (spec.model.source)
 *     synthetic:tokens?samples=N&sequenceLength=N&seed=N          token ids (spec.calibration.tokens)
 *
 * Every key may be left out. The canonical text has all of them in this order: it is the identity of what it names.
 */
import { SecateurError } from '../errors/secateur-error.ts';
import { nearestName } from '../manifest/nearest-name.ts';
import type { FloatDtype } from '../safetensors/dtype.ts';
import { isShapeName, SHAPE_NAMES, SHAPES, type ShapeName } from './shapes.ts';

const PREFIX = 'synthetic:';
const TOKENS = 'tokens';
const LAYERS_MAX = 4096;
const SEED_MAX = 2 ** 32 - 1;
const SAMPLES_MAX = 1_000_000;
const SEQUENCE_LENGTH_MAX = 1_048_576;
/** As of text: 512 MiB of ids. */
const TOKEN_COUNT_MAX = 2 ** 27;

const DTYPES: Readonly<Record<string, FloatDtype>> = { bf16: 'BF16', f16: 'F16', f32: 'F32' };

export interface SyntheticModel {
  readonly shape: ShapeName;
  readonly layers: number;
  readonly seed: number;
  readonly dtype: FloatDtype;
}

export interface SyntheticTokens {
  readonly samples: number;
  readonly sequenceLength: number;
  readonly seed: number;
}

export function isSynthetic(location: string): boolean {
  return location.slice(0, PREFIX.length).toLowerCase() === PREFIX;
}

/** What is wrong with a synthetic location, as a phrase that says what to do; undefined where it can be used. */
export function syntheticProblem(location: string, kind: 'model' | 'tokens'): string | undefined {
  const read = kind === 'model' ? readModel(location) : readTokens(location);
  return typeof read === 'string' ? read : undefined;
}

/** @throws ArgumentInvalid: checked manifests have none that is wrong */
export function parseSyntheticModel(location: string): SyntheticModel {
  return orThrow(location, readModel(location));
}

/** @throws ArgumentInvalid: checked manifests have none that is wrong */
export function parseSyntheticTokens(location: string): SyntheticTokens {
  return orThrow(location, readTokens(location));
}

export function showSyntheticModel({ shape, layers, seed, dtype }: SyntheticModel): string {
  return `${PREFIX}${shape}?layers=${layers}&seed=${seed}&dtype=${dtype.toLowerCase()}`;
}

export function showSyntheticTokens({ samples, sequenceLength, seed }: SyntheticTokens): string {
  return `${PREFIX}${TOKENS}?samples=${samples}&sequenceLength=${sequenceLength}&seed=${seed}`;
}

function orThrow<Found extends object>(location: string, read: Found | string): Found {
  if (typeof read !== 'string') return read;
  throw new SecateurError('ArgumentInvalid', `location ${JSON.stringify(location)}: ${read}`, {
    details: { location },
  });
}

function readModel(location: string): SyntheticModel | string {
  const { name, query } = split(location);
  if (!isShapeName(name)) {
    const nearest = nearestName(name, SHAPE_NAMES);
    const hint = nearest === undefined ? '' : `; did you mean "${PREFIX}${nearest}"?`;
    return `there is no synthetic model of shape ${JSON.stringify(name)}${hint} known: ${SHAPE_NAMES.join(', ')}`;
  }
  const fields = readFields(query, {
    layers: number(1, LAYERS_MAX),
    seed: number(0, SEED_MAX),
    dtype: (text) => (Object.hasOwn(DTYPES, text) ? text : { expected: `one of ${Object.keys(DTYPES).join(', ')}` }),
  });
  if (typeof fields === 'string') return fields;
  return {
    shape: name,
    layers: Number(fields.layers ?? SHAPES[name].layerCount),
    seed: Number(fields.seed ?? 0),
    dtype: DTYPES[fields.dtype ?? 'bf16'] as FloatDtype,
  };
}

function readTokens(location: string): SyntheticTokens | string {
  const { name, query } = split(location);
  if (name !== TOKENS) return `synthetic token ids are "${PREFIX}${TOKENS}?samples=128&sequenceLength=2048&seed=0"`;
  const fields = readFields(query, {
    samples: number(1, SAMPLES_MAX),
    sequenceLength: number(1, SEQUENCE_LENGTH_MAX),
    seed: number(0, SEED_MAX),
  });
  if (typeof fields === 'string') return fields;
  const { samples = 128, sequenceLength = 2048, seed = 0 } = fields;
  const tokens = { samples: Number(samples), sequenceLength: Number(sequenceLength), seed: Number(seed) };
  if (tokens.samples * tokens.sequenceLength <= TOKEN_COUNT_MAX) return tokens;
  return `samples x sequenceLength: expected at most ${TOKEN_COUNT_MAX} tokens, found ${samples} x ${sequenceLength}`;
}

function split(location: string): { name: string; query: string } {
  const [name = '', ...query] = location.slice(PREFIX.length).split('?');
  return { name, query: query.join('?') };
}

/** The text as it is taken, or what was expected instead. */
type FieldReader = (text: string) => string | { readonly expected: string };

function number(from: number, to: number): FieldReader {
  return (text) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    return value >= from && value <= to ? String(value) : { expected: `a whole number from ${from} to ${to}` };
  };
}

/** `key=value` pairs joined by `&`; a phrase where one is wrong. */
function readFields<Key extends string>(
  query: string,
  readers: Readonly<Record<Key, FieldReader>>,
): Partial<Record<Key, string>> | string {
  const known = Object.keys(readers) as Key[];
  const fields: Partial<Record<Key, string>> = {};
  for (const pair of query === '' ? [] : query.split('&')) {
    const [written = '', ...rest] = pair.split('=');
    const text = rest.join('=');
    const key = known.find((each) => each === written);
    if (key === undefined) {
      const nearest = nearestName(written, known);
      const hint = nearest === undefined ? '' : `; did you mean "${nearest}"?`;
      return `it has no key ${JSON.stringify(written)}${hint} known: ${known.join(', ')}`;
    }
    if (fields[key] !== undefined) return `${key} is given twice`;
    const taken = readers[key](text);
    if (typeof taken !== 'string') return `${key}: expected ${taken.expected}, found ${JSON.stringify(text)}`;
    fields[key] = taken;
  }
  return fields;
}
