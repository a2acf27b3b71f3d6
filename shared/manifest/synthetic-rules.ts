/** What goes with a synthetic model, and with an output that is discarded: rules over the whole `spec`. */
import { isSynthetic } from '../synthetic/synthetic-location.ts';
import { isMapping } from './expectation.ts';
import { isDiscarded } from './location.ts';

interface Spec {
  readonly source: string;
  readonly destination: string;
  readonly output: Readonly<Record<string, unknown>>;
  readonly calibration: Readonly<Record<string, unknown>>;
  readonly evaluation: unknown;
}

interface SpecRule {
  readonly path: readonly string[];
  readonly error: string;
  readonly holds: (spec: Spec) => boolean;
}

const RULES: readonly SpecRule[] = [
  {
    path: ['output', 'destination'],
    error:
      'a synthetic model cannot be published as a checkpoint; write "discard:" before the folder, or publish: false beside it',
    holds: ({ source, destination, output }) =>
      !isSynthetic(source) || isDiscarded(destination) || output.publish === false,
  },
  {
    path: ['calibration', 'text'],
    error:
      'text needs a tokenizer, which a synthetic model lacks; give tokens: synthetic:tokens?samples=128&sequenceLength=2048',
    holds: ({ source, calibration }) => !isSynthetic(source) || calibration.text === undefined,
  },
  {
    path: ['evaluation', 'text'],
    error: 'text needs a tokenizer, which a synthetic model lacks; give tokens, or remove evaluation',
    holds: ({ source, evaluation }) => !isSynthetic(source) || !isMapping(evaluation) || evaluation.text === undefined,
  },
  {
    path: ['output', 'publish'],
    error: 'true contradicts a destination that begins with "discard:"; remove one of them',
    holds: ({ destination, output }) => !isDiscarded(destination) || output.publish !== true,
  },
  {
    path: ['evaluation'],
    error:
      'it needs the pruned layers, and spec.output.destination discards each of them; write publish: false instead of "discard:" to keep them until they are evaluated',
    holds: ({ destination, evaluation }) => !isDiscarded(destination) || evaluation === undefined,
  },
];

/** For `refine`; silent where the fields they look at are not there or of another kind, which is one error already. */
export const syntheticRules = RULES.map(({ path, error, holds }) => ({
  check: (value: unknown): boolean => {
    const spec = specOf(value);
    return spec === null || holds(spec);
  },
  rule: { path: [...path], error, when: ({ value }: { value: unknown }) => isMapping(value) },
}));

function specOf(value: unknown): Spec | null {
  if (!isMapping(value)) return null;
  const { model, output, calibration, evaluation } = value;
  if (!isMapping(model) || !isMapping(output) || !isMapping(calibration)) return null;
  const { source } = model;
  const { destination } = output;
  if (typeof source !== 'string' || typeof destination !== 'string') return null;
  return { source, destination, output, calibration, evaluation };
}
