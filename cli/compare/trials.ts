/** What a comparison consists of: one job for each method and amount. Pure. */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { LAYERWISE } from '../../shared/manifest/layerwise.ts';
import { METHOD_NAMES, METHOD_OPTION_NAMES, type MethodName } from '../../shared/manifest/method-options.ts';
import { parseManifest } from '../../shared/manifest/parse-manifest.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { parsePattern } from '../../shared/manifest/sparsity-pattern.ts';

/** Of a job's name (shared/manifest/schema.ts). */
const JOB_NAME_LENGTH_MAX = 50;

/** How much is pruned: a share of the weights, or so many of each group. */
export type Amount = { readonly sparsity: number } | { readonly pattern: string };

/** A method, and how the sparsity of the model is spread over its layers: `wanda`, `wanda+owl`. */
export interface TrialMethod {
  readonly method: MethodName;
  readonly layerwise: (typeof LAYERWISE)[number] | null;
}

/** One method by one amount. */
export interface Trial {
  /** `wanda-50`, `magnitude-2-4`, `wanda-owl-70`: of its folder, and behind the job's name. */
  readonly name: string;
  /** As it was asked for: `wanda+owl`. */
  readonly method: string;
  readonly amount: Amount;
  readonly manifest: Manifest;
}

export interface TrialOptions {
  readonly methods: readonly TrialMethod[];
  readonly amounts: readonly Amount[];
  /** Whether every trial publishes its checkpoint. */
  readonly keep: boolean;
}

/**
 * In the order of the amounts, then of the methods. Of the manifest's own method the fields that only it has are taken
 * over; a quality gate is not: a comparison wants the figures of those that would not pass, too. What is spread over the
 * layers has no pattern: those of it are left out.
 *
 * @throws ArgumentInvalid, ManifestInvalid (a method's own fields do not go with an amount, say)
 */
export function trialsOf(manifest: Manifest, { methods, amounts, keep }: TrialOptions): Trial[] {
  if (manifest.spec.evaluation === undefined) {
    throw new SecateurError(
      'ManifestInvalid',
      'spec.evaluation: expected the texts that perplexity is compared on, found none; name some, such as evaluation: { text: [wiki.test.txt] }',
    );
  }
  const trials = amounts.flatMap((amount) =>
    methods
      .filter(({ layerwise }) => layerwise === null || 'sparsity' in amount)
      .map((method): Trial => {
        const shown = showMethod(method);
        const name = `${shown.replace('+', '-')}-${suffixOf(amount)}`;
        return { name, method: shown, amount, manifest: trialManifest(manifest, name, method, amount, keep) };
      }),
  );
  const twice = trials.find((trial, index) => trials.findIndex(({ name }) => name === trial.name) < index);
  if (twice === undefined) return trials;
  throw new SecateurError('ArgumentInvalid', `${twice.name} is asked for twice; name each method and amount once`);
}

function trialManifest(
  manifest: Manifest,
  name: string,
  { method, layerwise }: TrialMethod,
  amount: Amount,
  keep: boolean,
): Manifest {
  const { metadata, spec } = manifest;
  const { qualityGate: _gate, ...rest } = spec;
  const {
    sparsity: _sparsity,
    pattern: _pattern,
    layerwise: _layerwise,
    outlierThreshold,
    deviation,
    ...pruning
  } = spec.pruning;
  const spread = layerwise === null ? {} : { layerwise, outlierThreshold, deviation };
  const isForeign = (field: string): boolean => method !== pruning.method && METHOD_OPTION_NAMES.includes(field);
  const carried = Object.fromEntries(Object.entries(pruning).filter(([field]) => !isForeign(field)));
  const trial = {
    ...manifest,
    metadata: { ...metadata, name: jobName(metadata.name, name) },
    spec: {
      ...rest,
      output: {
        ...spec.output,
        destination: `${spec.output.destination}/${name}`,
        ...(keep ? {} : { publish: false }),
      },
      pruning: { ...carried, method, ...amount, ...spread },
    },
  };
  return parseManifest(JSON.stringify(trial), name);
}

function jobName(name: string, suffix: string): string {
  return `${name.slice(0, JOB_NAME_LENGTH_MAX - suffix.length - 1).replace(/-+$/, '')}-${suffix}`;
}

/** `50`, `62-5`, `2-4` */
function suffixOf(amount: Amount): string {
  return 'pattern' in amount ? amount.pattern.replace(':', '-') : percentOf(amount.sparsity).replace('.', '-');
}

/** `50 %`, `2:4` */
export function showAmount(amount: Amount): string {
  return 'pattern' in amount ? amount.pattern : `${percentOf(amount.sparsity)} %`;
}

/** Share of the weights that are asked to go. */
export function shareOf(amount: Amount): number {
  if ('sparsity' in amount) return amount.sparsity;
  const { keep, group } = parsePattern(amount.pattern) ?? { keep: 1, group: 1 };
  return 1 - keep / group;
}

/** 0.07 * 100 is not 7 in binary; nobody asks for more than six digits behind the point. */
function percentOf(share: number): string {
  return String(Number((share * 100).toFixed(6)));
}

/** `wanda`, `wanda+owl`; null for anything else. */
export function parseMethod(text: string): TrialMethod | null {
  const [name, spread, ...rest] = text.split('+');
  const method = METHOD_NAMES.find((each) => each === name);
  const layerwise = LAYERWISE.find((each) => each === spread) ?? null;
  if (method === undefined || rest.length > 0 || (spread !== undefined && layerwise === null)) return null;
  return { method, layerwise };
}

function showMethod({ method, layerwise }: TrialMethod): string {
  return layerwise === null ? method : `${method}+${layerwise}`;
}
