/** Reads `secateur.json`, the record beside a pruned checkpoint, as far as the command line needs it. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { PROVENANCE_FILE } from '../../shared/checkpoint/provenance-name.ts';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';

const FORMAT = 'secateur.provenance/v1';
/** A record of 1000 layers is about 2 MiB. */
const SIZE_BYTES_MAX = 64 * 1024 * 1024;

const fileSchema = z.object({
  file: z.string(),
  sizeBytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const choiceSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('keepAll') }),
  z.object({
    kind: z.literal('unstructured'),
    sparsity: z.number().min(0).max(1),
    /** Left out: of each row. */
    scope: z.enum(['matrix', 'none']).optional(),
  }),
  z.object({ kind: z.literal('pattern'), keep: z.int().positive(), group: z.int().positive() }),
]);

const SPENDING = {
  totalMs: z.number(),
  computeMs: z.number(),
  loadMs: z.number(),
  pruneMs: z.number(),
  snapshotMs: z.number(),
  bytesRead: z.number(),
  bytesWritten: z.number(),
  workerMemoryBytes: z.number(),
};

const provenanceSchema = z.object({
  format: z.literal(FORMAT),
  job: z.object({ id: z.string() }),
  inputs: z.object({ files: z.array(fileSchema) }),
  outputs: z.array(fileSchema),
  totals: z.object({
    prunedTensors: z.int().nonnegative(),
    weights: z.int().nonnegative(),
    zeros: z.int().nonnegative(),
    sparsity: z.number(),
  }),
  layers: z.array(
    z.object({
      layer: z.int().nonnegative(),
      tensors: z.record(
        z.string(),
        z.object({
          elements: z.int().nonnegative(),
          zeros: z.int().nonnegative(),
          choice: choiceSchema,
          /** The weights that stay are not the source's either. */
          updated: z.boolean().optional(),
        }),
      ),
    }),
  ),
  times: z.object({ elapsedMs: z.number() }),
  // Records of earlier versions have none of these.
  perplexity: z
    .array(
      z.object({
        text: z.string(),
        dense: z.number(),
        pruned: z.number(),
        ratio: z.number(),
      }),
    )
    .optional(),
  prediction: z.object(SPENDING).nullish(),
  measurement: z.object({ ...SPENDING, tokensRedone: z.number(), evaluateMs: z.number() }).nullish(),
});

export type Provenance = z.infer<typeof provenanceSchema>;
export type RecordedChoice = z.infer<typeof choiceSchema>;
export type RecordedTensor = Provenance['layers'][number]['tensors'][string];

/** False where the job had `publish: false`, or a destination that discards: then its record and report are all that there is. */
export function hasCheckpoint({ outputs }: Provenance): boolean {
  return outputs.some(({ file }) => file.endsWith('.safetensors'));
}

/** @throws VerificationFailed where there is none, or it cannot be understood */
export async function readProvenance(directory: string): Promise<Provenance> {
  const file = join(directory, PROVENANCE_FILE);
  const parsed = provenanceSchema.safeParse(await readRecord(directory));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw notVerified(
    file,
    `its field ${issue?.path.join('.') || '(root)'} is wrong: ${issue?.message ?? 'unknown'}. It was changed, or another version of secateur wrote it.`,
  );
}

/**
 * The record as JSON has it, unchecked.
 *
 * @throws VerificationFailed where there is none, it is too large, or it is no JSON
 */
export async function readRecord(directory: string): Promise<unknown> {
  const file = join(directory, PROVENANCE_FILE);
  return parseJson(await readText(file), file);
}

async function readText(file: string): Promise<string> {
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      if (size > SIZE_BYTES_MAX) {
        throw notVerified(
          file,
          `expected at most ${SIZE_BYTES_MAX} bytes, found ${size}. It is no record of secateur.`,
        );
      }
      return await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw toSecateurError(thrown);
    throw notVerified(file, 'it is missing. Only checkpoints that secateur has written can be verified.');
  }
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw notVerified(file, `it is no JSON: ${(thrown as Error).message}`);
  }
}

function notVerified(file: string, what: string): SecateurError {
  return new SecateurError('VerificationFailed', `${file}: ${what}`, { details: { file } });
}
