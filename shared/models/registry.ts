/** The model families that secateur knows. A further one is a file beside llama.ts and an entry here. */
import { SecateurError } from '../errors/secateur-error.ts';
import { badValue, type Config } from './config-fields.ts';
import type { ModelDescription, ModelFamily } from './family.ts';
import { LLAMA } from './llama.ts';
import { MISTRAL } from './mistral.ts';

const FAMILIES: readonly ModelFamily[] = [LLAMA, MISTRAL];

/** Architectures that a job may name, as config.json spells them. */
export const SUPPORTED_ARCHITECTURES: readonly string[] = FAMILIES.map((family) => family.architecture);

/**
 * The description of the model that a parsed config.json configures.
 *
 * @throws ModelUnsupported for an architecture or feature that secateur does not compute, CheckpointInvalid for values
 * that no model has
 */
export function describeModel(config: Config): ModelDescription {
  const { architectures } = config;
  if (!Array.isArray(architectures) || architectures.length !== 1 || typeof architectures[0] !== 'string') {
    throw badValue('architectures', `a list of one name, such as ["${SUPPORTED_ARCHITECTURES[0]}"]`, architectures);
  }
  const [architecture] = architectures;
  const family = FAMILIES.find((candidate) => candidate.architecture === architecture);
  if (family !== undefined) return family.describe(config);
  throw new SecateurError(
    'ModelUnsupported',
    `config.json: architectures: expected one of ${SUPPORTED_ARCHITECTURES.join(', ')}; found ${architecture}. ` +
      'Choose a model of a supported family, or add its family (shared/models).',
    { details: { architecture, supported: SUPPORTED_ARCHITECTURES } },
  );
}
