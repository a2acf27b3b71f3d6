/** The pruning methods by the names that manifests give them. A new method is one file and one line here. */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { magnitude } from './magnitude.ts';
import type { PruningMethod } from './method.ts';
import { random } from './random.ts';
import { ria } from './ria.ts';
import { sparsegpt } from './sparsegpt.ts';
import { wanda } from './wanda.ts';

const METHODS: readonly PruningMethod[] = [wanda, magnitude, sparsegpt, ria, random];

/** Throws ArgumentInvalid for a name that no method has. */
export function methodByName(name: string): PruningMethod {
  const method = METHODS.find((each) => each.name === name);
  if (method === undefined) {
    const known = METHODS.map((each) => each.name);
    throw new SecateurError(
      'ArgumentInvalid',
      `expected a pruning method that this version has (${known.join(', ')}); found "${name}".`,
      { details: { method: name, known } },
    );
  }
  return method;
}
