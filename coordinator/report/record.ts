/**
 * `secateur.json` as far as a report shows it. The report is a pure function of it, so whatever a report needs stands there
 * (docs/provenance.md). It is read back from a folder that anybody may have written to: nothing of it is trusted.
 */
import { z } from 'zod';
import { REPORT_FILE } from '../../shared/checkpoint/provenance-name.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { showDecimal } from './quantities.ts';

/** What was no number (NaN, infinite) is null in JSON. */
const measured = z.number().nullable();

const fileSchema = z.object({ file: z.string(), sizeBytes: z.number(), sha256: z.string().nullish() });

const textSchema = z.object({
  text: z.string(),
  windows: z.number().optional(),
  sequenceLength: z.number().optional(),
  dense: measured,
  pruned: measured,
  ratio: measured,
});

const layerSchema = z.object({
  layer: z.number(),
  worker: z.string().nullish(),
  committed: z.string().optional(),
  pruneMs: z.number().optional(),
  outputError: measured.optional(),
  budget: z.object({ outlierRatio: measured, sparsity: measured }).optional(),
  tensors: z.record(
    z.string(),
    z.object({ elements: z.number(), zeros: z.number(), outputError: measured.optional() }),
  ),
});

const statisticSchema = z.object({
  layer: z.number(),
  statistic: z.string(),
  columns: z.number(),
  min: measured,
  mean: measured,
  max: measured,
  topShare: measured.optional(),
});

const workerSchema = z.object({
  host: z.string().optional(),
  provider: z.string(),
  threads: z.number(),
  memoryBytes: z.number(),
  version: z.string(),
  engineVersion: z.string(),
  storageReadBytesPerSecond: measured.optional(),
  computeFlops: measured.optional(),
});

const spanSchema = z.object({
  kind: z.string(),
  layers: z.tuple([z.number(), z.number()]).optional(),
  fromMs: z.number(),
  toMs: z.number(),
  busyMs: z.number(),
  computeMs: z.number().optional(),
  ioMs: z.number().optional(),
  tasks: z.number(),
  failed: z.number().optional(),
  lost: z.number().optional(),
  stopped: z.number().optional(),
});

const timesSchema = z.object({
  submitted: z.string().optional(),
  started: z.string().nullish(),
  published: z.string().optional(),
  elapsedMs: z.number(),
  resumes: z.number().optional(),
});

const recordSchema = z.object({
  format: z.literal('secateur.provenance/v1'),
  job: z.object({ id: z.string(), namespace: z.string().optional(), name: z.string().optional() }),
  versions: z.object({ secateur: z.string(), node: z.string() }).optional(),
  manifest: z.record(z.string(), z.json()).optional(),
  model: z.record(z.string(), z.json()).nullish(),
  calibration: z.object({ samples: z.number(), sequenceLength: z.number() }).nullish(),
  plan: z.object({ stages: z.array(z.json()), replicas: z.number().optional(), microbatch: z.number() }).nullish(),
  prediction: z.record(z.string(), measured).nullish(),
  measurement: z.record(z.string(), measured).nullish(),
  inputs: z.object({
    shards: z.array(fileSchema).optional(),
    files: z.array(fileSchema),
    calibration: z.array(fileSchema).optional(),
  }),
  outputs: z.array(fileSchema),
  totals: z.object({ prunedTensors: z.number(), weights: z.number(), zeros: z.number(), sparsity: z.number() }),
  perplexity: z.array(textSchema).optional(),
  layers: z.array(layerSchema),
  statistics: z.array(statisticSchema).optional(),
  statisticsMissing: z.array(z.number()).optional(),
  workers: z.record(z.string(), workerSchema).optional(),
  timeline: z
    .array(z.object({ worker: z.string(), tokensPerSecond: measured.optional(), spans: z.array(spanSchema) }))
    .optional(),
  times: timesSchema,
});

export type ReportRecord = z.infer<typeof recordSchema>;
export type RecordedSpan = z.infer<typeof spanSchema>;

export interface AskedFor {
  readonly method: string | null;
  /** `50 %`, `50 % by owl`, `2:4`; exceptions apart. */
  readonly amount: string | null;
}

/** What the manifest asks for. */
export function askedFor({ manifest }: Pick<ReportRecord, 'manifest'>): AskedFor {
  const spec = manifest?.spec as { readonly pruning?: Record<string, unknown> } | undefined;
  const { method, sparsity, pattern, layerwise } = spec?.pruning ?? {};
  const spread = typeof layerwise === 'string' ? ` by ${layerwise}` : '';
  const amount = typeof sparsity === 'number' ? `${showDecimal(sparsity * 100)} %${spread}` : pattern;
  return {
    method: typeof method === 'string' ? method : null,
    amount: typeof amount === 'string' ? amount : null,
  };
}

/**
 * @param record what JSON.parse gave
 * @param file where it is from, for the message
 * @returns without the report itself among its outputs: a report cannot hold its own digest
 * @throws VerificationFailed where it is no record that a report can be made of
 */
export function parseReportRecord(record: unknown, file: string): ReportRecord {
  const parsed = recordSchema.safeParse(record);
  if (parsed.success) {
    return { ...parsed.data, outputs: parsed.data.outputs.filter((output) => output.file !== REPORT_FILE) };
  }
  const issue = parsed.error.issues[0];
  throw new SecateurError(
    'VerificationFailed',
    `${file}: its field ${issue?.path.join('.') || '(root)'} is wrong: ${issue?.message ?? 'unknown'}. It was changed, or another version of secateur wrote it.`,
    { details: { file } },
  );
}
