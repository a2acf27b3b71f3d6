/**
 * Which linear is pruned how: `include`, `exclude` and `overrides` of a manifest applied to one linear. Pure.
 *
 * 1. A linear that `exclude` matches, or that `include` does not, keeps all its weights; no override changes that.
 * 2. Otherwise the last override that matches it decides; without one, the sparsity or pattern of `pruning`.
 * 3. Sparsity 0 keeps all.
 * 4. `layerwise` changes the sparsity of `pruning`, layer by layer; what an override says stays.
 */

import { SecateurError } from '../errors/secateur-error.ts';
import { didYouMean } from './expectation.ts';
import { matchesGlob } from './glob.ts';
import { layerRanges, selectsLayer } from './layer-range.ts';
import { nearestName } from './nearest-name.ts';
import type { PruningSpec } from './schema.ts';
import { parsePattern } from './sparsity-pattern.ts';

/** What happens to the weights of one linear. */
export type LinearChoice =
  | { readonly kind: 'keepAll' }
  /**
   * `sparsity` of every row becomes zero; 0 < sparsity < 1. With `layerwise` it is that of the model as a whole, and each
   * layer gets its own.
   */
  | { readonly kind: 'unstructured'; readonly sparsity: number; readonly layerwise?: true }
  /** Of every `group` consecutive weights of a row, `keep` stay. */
  | { readonly kind: 'pattern'; readonly keep: number; readonly group: number };

export interface NamedLinear {
  /** Full module name, without `.weight`: model.layers.3.mlp.down_proj */
  readonly name: string;
  /** Short name: mlp.down_proj */
  readonly linear: string;
  /** Index of its decoder layer, from 0. */
  readonly layer: number;
}

export interface SizedLinear extends NamedLinear {
  readonly inFeatures: number;
}

type Override = PruningSpec['overrides'][number];

/** Names of linears that an error lists at most. */
const NAMES_SHOWN_MAX = 12;

/** What the manifest wants of one linear. */
export function selectionFor(pruning: PruningSpec, linear: NamedLinear): LinearChoice {
  return decide(pruning, linear).choice;
}

/** The choice, and the field of the manifest that made it. */
function decide(pruning: PruningSpec, linear: NamedLinear): { choice: LinearChoice; field: string } {
  if (matchesAny(pruning.exclude, linear)) return { choice: { kind: 'keepAll' }, field: 'exclude' };
  if (!matchesAny(pruning.include, linear)) return { choice: { kind: 'keepAll' }, field: 'include' };
  const index = pruning.overrides.findLastIndex((override) => overrideMatches(override, linear));
  const override = pruning.overrides[index];
  if (override === undefined) return { choice: withBudget(choiceOf(pruning), pruning), field: 'pattern' };
  return { choice: choiceOf(override), field: `overrides[${index}].pattern` };
}

function withBudget(choice: LinearChoice, { layerwise }: PruningSpec): LinearChoice {
  return choice.kind === 'unstructured' && layerwise !== undefined ? { ...choice, layerwise: true } : choice;
}

function choiceOf(wanted: { sparsity?: number | undefined; pattern?: string | undefined }): LinearChoice {
  const pattern = wanted.pattern === undefined ? undefined : parsePattern(wanted.pattern);
  if (pattern !== undefined) return { kind: 'pattern', ...pattern };
  const sparsity = wanted.sparsity ?? 0;
  return sparsity === 0 ? { kind: 'keepAll' } : { kind: 'unstructured', sparsity };
}

function matchesAny(globs: readonly string[], linear: NamedLinear): boolean {
  return globs.some((glob) => matchesGlob(glob, linear.linear) || matchesGlob(glob, linear.name));
}

function overrideMatches(override: Override, linear: NamedLinear): boolean {
  return selectsLayer(override.layers, linear.layer) && matchesAny(override.linears ?? ['*'], linear);
}

/**
 * Checks a manifest's choices against the linears of the model: globs and overrides that match nothing, layers that the
 * model does not have, and patterns whose group does not divide a linear's inFeatures.
 *
 * @param linears every linear inside the decoder layers
 * @throws SecateurError ManifestInvalid with every mistake, one a line; `details.errors` has the same lines
 */
export function checkSelections(pruning: PruningSpec, linears: readonly SizedLinear[]): void {
  const errors = [
    ...uselessGlobs(pruning.include, 'include', linears),
    ...uselessGlobs(pruning.exclude, 'exclude', linears),
    ...pruning.overrides.flatMap((override, index) => overrideErrors(override, `overrides[${index}]`, linears)),
    ...indivisibleLinears(pruning, linears),
  ].map((error) => `spec.pruning.${error}`);
  if (errors.length > 0) throw new SecateurError('ManifestInvalid', errors.join('\n'), { details: { errors } });
}

function uselessGlobs(globs: readonly string[], field: string, linears: readonly NamedLinear[]): string[] {
  return globs.flatMap((glob, index) => {
    if (linears.some((linear) => matchesAny([glob], linear))) return [];
    // The short names are offered first: they are what most globs are written against.
    const shortNames = [...new Set(linears.map((linear) => linear.linear))];
    const nearest = nearestName(glob, [...shortNames, ...linears.map((linear) => linear.name)]);
    const hint = nearest === undefined ? '' : `; ${didYouMean(JSON.stringify(nearest))}`;
    return [
      `${field}[${index}]: ${JSON.stringify(glob)} matches no linear${hint || ';'} linears here: ${listed(shortNames)}`,
    ];
  });
}

function overrideErrors(override: Override, field: string, linears: readonly NamedLinear[]): string[] {
  const lastLayer = linears.reduce((last, linear) => Math.max(last, linear.layer), -1);
  const beyond = layerRanges(override.layers).filter((range) => range.last > lastLayer);
  if (beyond.length > 0) {
    const shown = beyond.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(', ');
    return [`${field}.layers: ${shown} is outside the model; its layers are 0-${lastLayer}`];
  }
  const inLayers = linears.filter((linear) => selectsLayer(override.layers, linear.layer));
  return uselessGlobs(override.linears ?? [], `${field}.linears`, inLayers);
}

/** One error for each field and kind of linear, not one for each of eighty layers. */
function indivisibleLinears(pruning: PruningSpec, linears: readonly SizedLinear[]): string[] {
  const errors = new Map<string, { message: string; count: number }>();
  for (const linear of linears) {
    const { choice, field } = decide(pruning, linear);
    if (choice.kind !== 'pattern' || linear.inFeatures % choice.group === 0) continue;
    const kind = `${field} ${linear.linear} ${linear.inFeatures}`;
    const known = errors.get(kind);
    if (known !== undefined) {
      known.count += 1;
      continue;
    }
    const message = `${field}: "${choice.keep}:${choice.group}" needs inFeatures to be a multiple of ${choice.group}, but ${linear.name} has ${linear.inFeatures}`;
    errors.set(kind, { message, count: 1 });
  }
  return [...errors.values()].map(({ message, count }) => {
    const others = count === 1 ? '' : ` (and ${count - 1} more of its kind)`;
    return `${message}${others}; exclude it, or choose another group`;
  });
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN_MAX;
  return `${names.slice(0, NAMES_SHOWN_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
