/**
 * The pruning methods and the fields of `pruning` that only some of them have, with their defaults. A new method is a line
 * here, a new field a line here and one in schema.ts; the rules and the JSON Schema follow. Pure.
 */
import { isMapping, oneOf } from './expectation.ts';

export const METHOD_NAMES = ['wanda', 'magnitude', 'sparsegpt', 'ria', 'random'] as const;
export type MethodName = (typeof METHOD_NAMES)[number];

export const SCOPES = ['row', 'matrix'] as const;
export const VARIANTS = ['cumulative'] as const;

/** Per method, its fields; null: left out unless given. */
const METHOD_OPTIONS: Readonly<Record<MethodName, Readonly<Record<string, string | number | null>>>> = {
  wanda: { variant: null },
  magnitude: { scope: 'matrix' },
  sparsegpt: { blockSize: 128, dampingFraction: 0.01 },
  ria: { scope: 'matrix', activationPower: 0.5 },
  random: { seed: 0 },
};

/** Fields of `pruning` that not every method has. */
export const METHOD_OPTION_NAMES: readonly string[] = [
  ...new Set(Object.values(METHOD_OPTIONS).flatMap((options) => Object.keys(options))),
];

/** The rules "this field goes with these methods", one a field, for `refine`. Silent where the method itself is wrong. */
export const methodOptionRules = METHOD_OPTION_NAMES.map((option) => {
  const methods = METHOD_NAMES.filter((name) => option in METHOD_OPTIONS[name]);
  return {
    check: (value: unknown) => {
      const method = methodOf(value);
      return method === null || !isMapping(value) || value[option] === undefined || methods.includes(method);
    },
    rule: {
      path: [option],
      error: ({ input }: { input?: unknown }) =>
        `goes with method ${oneOf(methods)} only, and the method is ${JSON.stringify(methodOf(input))}; remove it, or choose another method`,
      when: ({ value }: { value: unknown }) => isMapping(value),
    },
  };
});

/** The rule "`variant` does not go with a pattern", which has no rows to share a sparsity between. */
export const variantWithoutPattern = {
  check: (value: unknown) => !isMapping(value) || value.variant === undefined || patternField(value) === null,
  rule: {
    path: ['variant'],
    error: ({ input }: { input?: unknown }) =>
      `goes with "sparsity" only, and "${isMapping(input) ? patternField(input) : 'pattern'}" is given; remove one of them`,
    when: ({ value }: { value: unknown }) => isMapping(value),
  },
};

/** The same rules as JSON Schema. */
export const methodOptionsJsonSchema = [
  ...METHOD_NAMES.map((name) => {
    const foreign = METHOD_OPTION_NAMES.filter((option) => !(option in METHOD_OPTIONS[name]));
    return {
      if: { properties: { method: { const: name } }, required: ['method'] },
      // biome-ignore lint/suspicious/noThenProperty: a word of JSON Schema
      then: { properties: Object.fromEntries(foreign.map((option) => [option, false])) },
    };
  }),
  // biome-ignore lint/suspicious/noThenProperty: a word of JSON Schema
  { if: { required: ['variant'] }, then: { properties: { pattern: false } } },
];

/** Fills in the defaults of the method's own fields. */
export function withMethodDefaults<Pruning extends { readonly method: MethodName }>(pruning: Pruning): Pruning {
  const defaults = Object.entries(METHOD_OPTIONS[pruning.method]).filter(([, value]) => value !== null);
  return { ...Object.fromEntries(defaults), ...pruning };
}

/** Methods that solve equations for the weights that stay: they need products of input columns, and change weights. */
export function updatesWeights(pruning: { readonly method: string }): boolean {
  return pruning.method === 'sparsegpt';
}

/**
 * What an unstructured sparsity is promised for: each row, the matrix, or neither (`variant: cumulative` comes as near to
 * the matrix's as its bisection does).
 */
export function sparsityScope(pruning: {
  readonly method: string;
  readonly scope?: string | undefined;
  readonly variant?: string | undefined;
}) {
  if (pruning.variant === 'cumulative') return 'none';
  // Every block of columns has its share, whatever its rows have: so has the matrix.
  if (updatesWeights(pruning)) return 'matrix';
  return pruning.scope === 'matrix' ? 'matrix' : 'row';
}

function methodOf(value: unknown): MethodName | null {
  return (isMapping(value) && METHOD_NAMES.find((name) => name === value.method)) || null;
}

/** Where a pattern is asked for, in `pruning` or in one of its overrides; null where nowhere. */
function patternField(pruning: Record<string, unknown>): string | null {
  if (pruning.pattern !== undefined) return 'pattern';
  const { overrides } = pruning;
  const index = Array.isArray(overrides)
    ? overrides.findIndex((override) => isMapping(override) && override.pattern !== undefined)
    : -1;
  return index < 0 ? null : `overrides[${index}].pattern`;
}
