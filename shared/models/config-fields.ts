/** Reads single values of a config.json; an error names the key, what was expected and what was found. */
import { SecateurError } from '../errors/secateur-error.ts';

export type Config = Readonly<Record<string, unknown>>;

/** Larger dimensions are damage or an attack: offsets and products stay exact far below this. */
const INTEGER_MAX = 2 ** 31 - 1;

/** JSON null and an absent key mean the same in a config.json. */
function isAbsent(value: unknown): boolean {
  return value === undefined || value === null;
}

export function positiveInteger(config: Config, key: string, fallback?: number): number {
  const value = config[key];
  if (isAbsent(value) && fallback !== undefined) return fallback;
  if (typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= INTEGER_MAX) return value;
  throw badValue(key, `a positive integer up to ${INTEGER_MAX}`, value);
}

export function positiveNumber(config: Config, key: string, fallback?: number): number {
  const value = config[key];
  if (isAbsent(value) && fallback !== undefined) return fallback;
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  throw badValue(key, 'a positive number', value);
}

export function flag(config: Config, key: string, fallback: boolean): boolean {
  const value = config[key];
  if (isAbsent(value)) return fallback;
  if (typeof value === 'boolean') return value;
  throw badValue(key, 'true or false', value);
}

/** The object at `key`, or null where it is absent. */
export function section(config: Config, key: string): Config | null {
  const value = config[key];
  if (isAbsent(value)) return null;
  if (typeof value === 'object' && !Array.isArray(value)) return value as Config;
  throw badValue(key, 'an object', value);
}

/** A value that no model of the family may have: the file is damaged or was edited by hand. */
export function badValue(key: string, expected: string, found: unknown): SecateurError {
  const shown = show(found);
  return new SecateurError(
    'CheckpointInvalid',
    `config.json: ${key}: expected ${expected}; found ${shown}. Restore the model's own config.json.`,
    { details: { key, expected, found: shown } },
  );
}

/** A value that is sound, but asks for something that secateur does not compute. */
export function unsupported(key: string, supported: string, found: unknown, advice: string): SecateurError {
  const shown = show(found);
  return new SecateurError(
    'ModelUnsupported',
    `config.json: ${key}: secateur supports ${supported}; found ${shown}. ${advice}`,
    { details: { key, expected: supported, found: shown } },
  );
}

function show(value: unknown): string {
  const json = value === undefined ? 'nothing' : JSON.stringify(value);
  return json.length > 120 ? `${json.slice(0, 120)}…` : json;
}
