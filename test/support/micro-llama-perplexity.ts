/** The perplexity of micro-llama with other decoder layers on the golden windows, as the engine's task measures it. */
import { headTensorNames } from '../../shared/onnx/language-head.ts';
import type { LayerRef__Output } from '../../shared/rpc/generated/secateur/v1/LayerRef.ts';
import type { TaskContext } from '../../worker/engine/task-context.ts';
import { runEvaluate } from '../../worker/engine/tasks/run-evaluate.ts';
import { goldenIds, MICRO_LLAMA, microLlama, SEQUENCE_LENGTH, tensorRefs } from './masked-micro-llama.ts';

export const WINDOWS = 64;

export interface Measuring {
  /** Windows in one forward run. */
  readonly batch: number;
  /** Windows of each task, first and end: each once, in order. */
  readonly shares: readonly (readonly [number, number])[];
}

/** @param layers as `context` finds them; embedding, norm and head are the source's, which nobody prunes */
export async function perplexityOf(
  layers: readonly LayerRef__Output[],
  context: TaskContext,
  { batch, shares }: Measuring = { batch: 16, shares: [[0, WINDOWS]] },
): Promise<number> {
  const { named } = await tensorRefs(MICRO_LLAMA, 'FILE_ROOT_SOURCE');
  const likelihoods: number[] = [];
  for (const [first, end] of shares) {
    const task = {
      ids: goldenIds('evaluation'),
      sequenceLength: SEQUENCE_LENGTH,
      tokens: WINDOWS * SEQUENCE_LENGTH,
      windows: [{ first, end }],
      batch,
      embedding: named(['model.embed_tokens.weight'])[0] ?? null,
      layers: [...layers],
      head: named(headTensorNames(microLlama)),
    };
    likelihoods.push(...((await runEvaluate(task, context)).evaluate?.nll ?? []));
  }
  if (likelihoods.length !== WINDOWS) throw new Error(`${likelihoods.length} windows were measured, not ${WINDOWS}`);
  const tokens = WINDOWS * (SEQUENCE_LENGTH - 1);
  return Math.exp(likelihoods.reduce((sum, each) => sum + each / tokens, 0));
}
