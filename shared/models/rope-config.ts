/**
 * Rotary position settings of a config.json, in every shape that transformers has written them:
 * `rope_theta` with `rope_scaling: {type | rope_type, …}` (version 4), `rope_parameters: {rope_theta, rope_type, …}`
 * (version 5).
 */
import { badValue, type Config, positiveInteger, positiveNumber, section, unsupported } from './config-fields.ts';
import type { ModelDescription, RopeScaling } from './family.ts';

const THETA_DEFAULT = 10_000;
const SUPPORTED = 'the rope types default, linear and llama3';

export function readRope(config: Config): ModelDescription['rope'] {
  const newer = section(config, 'rope_parameters');
  const key = newer === null ? 'rope_scaling' : 'rope_parameters';
  const given = newer ?? section(config, 'rope_scaling');
  const theta = positiveNumber(newer ?? {}, 'rope_theta', positiveNumber(config, 'rope_theta', THETA_DEFAULT));
  refusePartialRotation(config, 'partial_rotary_factor');
  if (given === null) return { theta, scaling: { type: 'none' } };
  refusePartialRotation(given, `${key}.partial_rotary_factor`);
  return { theta, scaling: readScaling(given, key) };
}

function readScaling(given: Config, key: string): RopeScaling {
  // The older name is `type`; some files carry both, and transformers then reads `rope_type`.
  const type = given.rope_type ?? given.type ?? 'default';
  const inner = prefixed(given, key);
  switch (type) {
    case 'default':
      return { type: 'none' };
    case 'linear':
      return { type: 'linear', factor: positiveNumber(inner, `${key}.factor`) };
    case 'llama3': {
      const lowFreqFactor = positiveNumber(inner, `${key}.low_freq_factor`);
      const highFreqFactor = positiveNumber(inner, `${key}.high_freq_factor`);
      if (highFreqFactor <= lowFreqFactor) {
        throw badValue(`${key}.high_freq_factor`, `more than low_freq_factor, ${lowFreqFactor}`, highFreqFactor);
      }
      return {
        type: 'llama3',
        factor: positiveNumber(inner, `${key}.factor`),
        lowFreqFactor,
        highFreqFactor,
        originalMaxPositionEmbeddings: positiveInteger(inner, `${key}.original_max_position_embeddings`),
      };
    }
    default:
      throw unsupported(`${key}.rope_type`, SUPPORTED, type, 'The positions of this model would be computed wrongly.');
  }
}

/** The same fields under their full key, so that an error names it. */
function prefixed(given: Config, key: string): Config {
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [`${key}.${name}`, value]));
}

function refusePartialRotation(config: Config, key: string): void {
  const factor = config.partial_rotary_factor;
  if (factor === undefined || factor === null || factor === 1) return;
  throw unsupported(key, 'rotation of the whole head (1)', factor, 'The model needs a family of its own.');
}
