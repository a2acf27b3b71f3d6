/**
 * The manifest `secateur/v1 PruneJob`: every field with its type, range, default and description.
 *
 * One source for three things: parsing (parse-manifest.ts), the JSON Schema for editors (write-json-schema.ts) and the
 * TypeScript types. Every mapping is strict, and every message says "expected …, found …" (expectation.ts).
 * A parsed Manifest is a valid manifest again: parsing is idempotent, so what a job records can be submitted.
 */

import { z } from 'zod';
import { expects, quoteHint } from './expectation.ts';
import { LAYERWISE, withLayerwiseDefaults } from './layerwise.ts';
import {
  METHOD_NAMES,
  methodOptionRules,
  methodOptionsJsonSchema,
  SCOPES,
  VARIANTS,
  variantWithoutPattern,
  withMethodDefaults,
} from './method-options.ts';
import {
  autoOrInteger,
  bool,
  dnsLabel,
  exactlyOne,
  glob,
  integer,
  layers,
  list,
  location,
  maxShardSize,
  needs,
  numberBetween,
  onlyWith,
  pattern,
  ratio,
  sparsity,
  strict,
  textLocation,
  words,
} from './schema-fields.ts';
import { syntheticRules } from './synthetic-rules.ts';

/** A job's name becomes a part of folder names and NATS subjects, with a suffix behind it. */
const JOB_NAME_LENGTH_MAX = 50;
const NAMESPACE_LENGTH_MAX = 63;
/** Label keys and values as in Kubernetes, so that they can be copied onto its objects. */
const LABEL_KEY = /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;
const SAMPLES_MAX = 1_000_000;
const SEQUENCE_LENGTH_MAX = 1_048_576;
const MICROBATCH_MAX = 65_536;
const SEED_MAX = 2 ** 32 - 1;
/** The paper looks at powers up to 1. */
const ACTIVATION_POWER_MAX = 2;
/** Wide enough for whole matrices of small models; at more the blocks' scratch memory would grow with it. */
const BLOCK_SIZE_MAX = 1024;
/** Below the mean, nothing stands out. */
const OUTLIER_THRESHOLD_MIN = 1;
const OUTLIER_THRESHOLD_MAX = 1000;
const DEVIATION_MAX = 0.5;
const DAMPING_FRACTION_MIN = 1e-6;
const DAMPING_FRACTION_MAX = 1;
/** Above the layers of any model, and the workers of any job. */
const PLACEMENT_MAX = 4096;

const SAMPLES_DEFAULT = 128;
const SEQUENCE_LENGTH_DEFAULT = 2048;
const SEED_DEFAULT = 0;

const oneOfSparsity = exactlyOne('sparsity', 'pattern');
const oneOfCalibration = exactlyOne('text', 'tokens');
const sequenceLengthWithText = onlyWith('sequenceLength', 'text', 'tokens');
const seedWithText = onlyWith('seed', 'text', 'tokens');

const layerwiseWithSparsity = onlyWith('layerwise', 'sparsity', 'pattern');
const thresholdWithLayerwise = needs('outlierThreshold', 'layerwise');
const deviationWithLayerwise = needs('deviation', 'layerwise');

const gateWithEvaluation = needs('qualityGate', 'evaluation');

const sparsityFields = {
  sparsity: sparsity()
    .meta({
      description:
        'Share of the weights of every row that becomes zero: 0.5 is half. Either this or `pattern`. 0 keeps the weights as they are.',
      examples: [0.5],
    })
    .optional(),
  pattern: pattern()
    .meta({
      description:
        'Semi-structured sparsity "keep:group": of every `group` consecutive weights of a row, `keep` stay. "2:4" is what sparse tensor cores run. Either this or `sparsity`.',
      examples: ['2:4'],
    })
    .optional(),
};

const overrideSchema = strict({
  layers: layers().meta({
    description: 'Decoder layers, counted from 0: a number, a range with both ends such as "0-3", or a list of those.',
    examples: [3, '0-3', [0, '30-31']],
  }),
  linears: list(glob(), 'globs', 1)
    .meta({
      description:
        'Globs (`*`, `?`) over short names (`mlp.down_proj`) and full names (`model.layers.3.mlp.down_proj`). Left out: every linear of those layers.',
      examples: [['self_attn.*']],
    })
    .optional(),
  ...sparsityFields,
})
  .refine(oneOfSparsity.check, oneOfSparsity.rule)
  .meta({
    description: 'Another sparsity or pattern for some layers. Where several match a linear, the last one counts.',
    oneOf: oneOfSparsity.jsonSchema,
  });

const pruningSchema = strict({
  method: words(METHOD_NAMES).meta({
    description:
      'How weights are scored: `wanda` is |weight| times the norm of its input (Sun et al., 2023), `magnitude` |weight| alone, `sparsegpt` by the error that its loss leaves, which the weights that stay make up for (Frantar and Alistarh, 2023), `ria` relative importance and activations (Zhang et al., 2024), `random` a draw. docs/methods.md has the formulas.',
  }),
  ...sparsityFields,
  scope: words(SCOPES)
    .meta({
      description:
        'With `magnitude` and `ria`, where the sparsity is unstructured: `matrix` has one threshold over the whole matrix, `row` compares within each row. `matrix` unless given. A pattern compares within its groups either way.',
    })
    .optional(),
  variant: words(VARIANTS)
    .meta({
      description:
        'With `wanda`: `cumulative` gives every row a threshold of its own, where the sum of its smallest scores reaches a share of all, one share for the matrix (the `use_variant` of the reference). Not with a pattern.',
    })
    .optional(),
  activationPower: numberBetween(0, ACTIVATION_POWER_MAX)
    .meta({
      description:
        'With `ria`: the power of the norm of the input, 0.5 unless given; 0 leaves the activations out (relative importance alone).',
    })
    .optional(),
  seed: integer(0, SEED_MAX)
    .meta({ description: 'With `random`: the seed of the draw, 0 unless given. Calibration has its own.' })
    .optional(),
  blockSize: integer(1, BLOCK_SIZE_MAX)
    .meta({
      description:
        'With `sparsegpt`: columns that have one threshold and are pruned before the columns after them are told, 128 unless given. It does not enter into a pattern.',
    })
    .optional(),
  dampingFraction: numberBetween(DAMPING_FRACTION_MIN, DAMPING_FRACTION_MAX)
    .meta({
      description:
        "With `sparsegpt`: what is added to the Hessian's diagonal, of its mean, 0.01 unless given. Where the factorization fails it is raised tenfold, twice.",
    })
    .optional(),
  layerwise: words(LAYERWISE)
    .meta({
      description:
        '`owl` (outlier weighed layerwise sparsity, Yin et al., 2024): layers with more outliers keep more of their weights, and the model as a whole has the `sparsity` that is asked for. Takes a dense pass over the model first. With `sparsity` only; what `overrides` say stays.',
    })
    .optional(),
  outlierThreshold: numberBetween(OUTLIER_THRESHOLD_MIN, OUTLIER_THRESHOLD_MAX)
    .meta({
      description:
        'With `layerwise: owl`: an outlier is a weight whose |weight| times the norm of its input is above so many times the mean of its layer, 5 unless given.',
    })
    .optional(),
  deviation: numberBetween(0, DEVIATION_MAX)
    .meta({
      description: 'With `layerwise: owl`: layers differ in sparsity by twice this at most, 0.08 unless given.',
    })
    .optional(),
  propagate: words(['pruned', 'dense'])
    .meta({
      description:
        'What a layer is calibrated on: the hidden states behind the pruned layers before it (`pruned`, as the reference does) or behind the dense ones (`dense`: one pass, layers side by side).',
    })
    .default('pruned'),
  include: list(glob(), 'globs', 1)
    .meta({ description: 'Only linears that one of these globs matches are pruned.' })
    .default(['*']),
  exclude: list(glob(), 'globs', 0)
    .meta({
      description: 'Linears that one of these globs matches stay as they are, whatever `include` and `overrides` say.',
      examples: [['mlp.down_proj', 'model.layers.0.*']],
    })
    .default([]),
  overrides: list(overrideSchema, 'overrides', 0)
    .meta({ description: 'Exceptions for some layers or linears; where several match, the last one counts.' })
    .default([]),
})
  .refine(oneOfSparsity.check, oneOfSparsity.rule)
  .refine(variantWithoutPattern.check, variantWithoutPattern.rule)
  .refine(layerwiseWithSparsity.check, layerwiseWithSparsity.rule)
  .refine(thresholdWithLayerwise.check, thresholdWithLayerwise.rule)
  .refine(deviationWithLayerwise.check, deviationWithLayerwise.rule)
  .check(...methodOptionRules.map(({ check, rule }) => z.refine(check, rule)))
  .transform(withMethodDefaults)
  .transform(withLayerwiseDefaults)
  .meta({
    description: 'What is pruned, how, and how much.',
    oneOf: oneOfSparsity.jsonSchema,
    allOf: methodOptionsJsonSchema,
    dependentRequired: {
      layerwise: ['sparsity'],
      outlierThreshold: ['layerwise'],
      deviation: ['layerwise'],
    },
  });

interface TextCalibration {
  readonly text: readonly string[];
  readonly samples: number;
  readonly sequenceLength: number;
  readonly seed: number;
  readonly microbatch: 'auto' | number;
}

interface TokensCalibration {
  readonly tokens: string;
  /** Left out: every row of the file. */
  readonly samples?: number;
  readonly microbatch: 'auto' | number;
}

const calibrationSchema = strict({
  text: list(textLocation(), 'files', 1)
    .meta({
      description:
        'Files of text: `.txt` and `.md` are one document each, `.jsonl` has a document a line in its field `text`. Either this or `tokens`.',
    })
    .optional(),
  tokens: location('tokens')
    .meta({
      description:
        'A safetensors file with `input_ids` [samples, sequenceLength], I32 or I64: token ids ready to use, for instance those of an earlier run. Or ids that are drawn: synthetic:tokens?samples=N&sequenceLength=N&seed=N. Either this or `text`.',
    })
    .optional(),
  samples: integer(1, SAMPLES_MAX)
    .meta({
      description: `Number of sequences. With \`text\`: ${SAMPLES_DEFAULT} unless given. With \`tokens\`: the first rows of the file, all of them unless given.`,
    })
    .optional(),
  sequenceLength: integer(1, SEQUENCE_LENGTH_MAX)
    .meta({
      description: `Tokens a sequence, with \`text\` only: ${SEQUENCE_LENGTH_DEFAULT} unless given. A token file has its own.`,
    })
    .optional(),
  seed: integer(0, SEED_MAX)
    .meta({
      description: `Seed of the draw of sequences, with \`text\` only: ${SEED_DEFAULT} unless given. The same seed, text and tokenizer give the same sequences.`,
    })
    .optional(),
  microbatch: autoOrInteger(1, MICROBATCH_MAX)
    .meta({
      description:
        'Sequences a forward run; `auto` aims at 256 to 2048 tokens and at 64 runs a layer for workers to share. It does not change the result.',
    })
    .default('auto'),
})
  .refine(oneOfCalibration.check, oneOfCalibration.rule)
  .refine(sequenceLengthWithText.check, sequenceLengthWithText.rule)
  .refine(seedWithText.check, seedWithText.rule)
  .transform((given): TextCalibration | TokensCalibration => {
    const { text, tokens, samples, sequenceLength, seed, microbatch } = given;
    if (tokens !== undefined) return { tokens, ...(samples === undefined ? {} : { samples }), microbatch };
    return {
      text: text ?? [],
      samples: samples ?? SAMPLES_DEFAULT,
      sequenceLength: sequenceLength ?? SEQUENCE_LENGTH_DEFAULT,
      seed: seed ?? SEED_DEFAULT,
      microbatch,
    };
  })
  .meta({
    description: 'The data whose activations score the weights.',
    oneOf: [
      { required: ['text'], properties: { tokens: false } },
      { required: ['tokens'], properties: { text: false, sequenceLength: false, seed: false } },
    ],
  });

interface TextEvaluation {
  readonly outputError: boolean;
  readonly text: readonly string[];
  readonly sequenceLength: number;
  /** Left out: all windows of each text. */
  readonly windows?: number;
}

interface TokensEvaluation {
  readonly outputError: boolean;
  readonly tokens: readonly string[];
  readonly windows?: number;
}

const evaluationSchema = strict({
  text: list(textLocation(), 'files', 1)
    .meta({
      description:
        'Files of text, each measured on its own: `.txt` and `.md` are one document each, `.jsonl` has a document a line in its field `text`; documents of a file are joined by an empty line. Either this or `tokens`.',
    })
    .optional(),
  tokens: list(location(), 'files', 1)
    .meta({
      description:
        'Safetensors files with `input_ids` [windows, sequenceLength], I32 or I64, each measured on its own. Either this or `text`.',
    })
    .optional(),
  sequenceLength: integer(2, SEQUENCE_LENGTH_MAX)
    .meta({
      description: `Tokens a window, with \`text\` only: ${SEQUENCE_LENGTH_DEFAULT} unless given. Perplexities of different lengths cannot be compared.`,
    })
    .optional(),
  windows: integer(1, SAMPLES_MAX)
    .meta({ description: 'At most so many windows of each text, from its beginning. Left out: all.' })
    .optional(),
  outputError: bool()
    .meta({
      description:
        'Whether to measure what pruning changed in the output of every linear, relative and squared, on some calibration samples.',
    })
    .default(true),
})
  .refine(oneOfCalibration.check, oneOfCalibration.rule)
  .refine(sequenceLengthWithText.check, sequenceLengthWithText.rule)
  .transform((given): TextEvaluation | TokensEvaluation => {
    const { text, tokens, sequenceLength, windows, outputError } = given;
    const rest = { outputError, ...(windows === undefined ? {} : { windows }) };
    if (tokens !== undefined) return { tokens, ...rest };
    return { text: text ?? [], sequenceLength: sequenceLength ?? SEQUENCE_LENGTH_DEFAULT, ...rest };
  })
  .meta({
    description: 'Perplexity before and after, measured by the same workers before anything is published.',
    oneOf: [
      { required: ['text'], properties: { tokens: false } },
      { required: ['tokens'], properties: { text: false, sequenceLength: false } },
    ],
  });

const qualityGateSchema = strict({
  maxPerplexityRatio: ratio().meta({
    description:
      'Perplexity after pruning over that before, at most, on each text of `evaluation`. Above it the job fails, and publishes nothing.',
    examples: [1.3],
  }),
}).meta({ description: 'What the result must reach to be published. Goes with `evaluation`.' });

const labelsError = expects('a mapping from label names to texts');
const labelValueError = expects(
  'a label value as in Kubernetes (at most 63 letters, digits, "-", "_", ".")',
  quoteHint,
);
const labelKeyError = expects(
  'a label name as in Kubernetes (at most 63 letters, digits, "-", "_", "."; "prefix/" before it)',
);

const metadataSchema = strict({
  name: dnsLabel(JOB_NAME_LENGTH_MAX).meta({
    description: `The job's name: a DNS label of at most ${JOB_NAME_LENGTH_MAX} characters, part of folder names and event subjects.`,
    examples: ['llama-65b-wanda-50'],
  }),
  namespace: dnsLabel(NAMESPACE_LENGTH_MAX)
    .meta({ description: 'Keeps jobs of several teams apart, in listings and in event subjects.' })
    .default('default'),
  labels: z
    .record(
      z.string({ error: labelKeyError }).regex(LABEL_KEY, { error: labelKeyError }),
      z.string({ error: labelValueError }).regex(LABEL_VALUE, { error: labelValueError }),
      { error: labelsError },
    )
    .meta({ description: 'Free pairs of name and text, carried along and never interpreted.' })
    .optional(),
}).meta({ description: 'Who this job is.' });

const specSchema = strict({
  model: strict({
    source: location('model').meta({
      description:
        'Folder of the Hugging Face checkpoint (safetensors) to prune: a file URL or a path; a relative path counts from the folder of this file. Or a model whose weights are made from a seed as they are needed: synthetic:SHAPE?layers=N&seed=N&dtype=bf16.',
      examples: ['file:///models/llama-65b', 'synthetic:llama-65b?layers=80&seed=0&dtype=bf16'],
    }),
  }).meta({ description: 'The model to prune.' }),
  output: strict({
    destination: location('output').meta({
      description:
        'Folder for the pruned checkpoint: a file URL or a path; a relative path counts from the folder of this file. With "discard:" before it, each pruned layer is digested and thrown away, and the folder gets the record of the job alone.',
      examples: ['file:///out/llama-65b-wanda-50', 'discard:file:///out/llama-65b-record'],
    }),
    maxShardSize: maxShardSize()
      .meta({
        description:
          'Largest size of a shard: "5GB" (powers of 1000, as in Hugging Face), "2GiB" (powers of 1024), or whole bytes. A larger tensor gets a shard of its own.',
      })
      .prefault('5GB'),
    publish: bool()
      .meta({
        description:
          'false writes the record of the job (`secateur.json`) and no checkpoint: for the figures alone. Left out: true.',
      })
      .optional(),
  }).meta({ description: 'Where the result goes.' }),
  calibration: calibrationSchema,
  pruning: pruningSchema,
  placement: strict({
    stages: autoOrInteger(1, PLACEMENT_MAX)
      .meta({
        description:
          'Number of contiguous ranges that the layers are cut into, at most one a layer; `auto` asks the cost model.',
      })
      .default('auto'),
    replicas: autoOrInteger(1, PLACEMENT_MAX)
      .meta({
        description:
          'Workers that share the microbatches of a stage, at most; `auto` divides all workers by the stages, newcomers too.',
      })
      .default('auto'),
    snapshotInterval: autoOrInteger(1, PLACEMENT_MAX)
      .meta({
        description:
          'Layers between two snapshots of the hidden states, from which lost ones are computed again; `auto` weighs the writing against the loss. A number as large as that of the layers: none but those between stages.',
      })
      .default('auto'),
  })
    .meta({ description: 'How the work is laid out over workers. It does not change the result.' })
    .prefault({}),
  evaluation: evaluationSchema.optional(),
  qualityGate: qualityGateSchema.optional(),
})
  .refine(gateWithEvaluation.check, gateWithEvaluation.rule)
  .check(...syntheticRules.map(({ check, rule }) => z.refine(check, rule)))
  .meta({ description: 'What to do.' });

export const manifestSchema = strict({
  apiVersion: words(['secateur/v1']).meta({ description: 'Version of this format.' }),
  kind: words(['PruneJob']).meta({ description: 'What this manifest describes.' }),
  metadata: metadataSchema,
  spec: specSchema,
}).meta({ title: 'secateur PruneJob', description: 'A manifest of secateur: prune one model.' });

/** A valid manifest with every default filled in. */
export type Manifest = z.infer<typeof manifestSchema>;
export type CalibrationSpec = TextCalibration | TokensCalibration;
export type EvaluationSpec = TextEvaluation | TokensEvaluation;
export type PruningSpec = Manifest['spec']['pruning'];
