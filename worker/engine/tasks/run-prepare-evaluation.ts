/** A text to evaluation windows, or given ids checked, into staging. */
import { digestFile } from '../../../shared/checkpoint/source-digest.ts';
import { invariant } from '../../../shared/errors/secateur-error.ts';
import type { PrepareEvaluationTask__Output } from '../../../shared/rpc/generated/secateur/v1/PrepareEvaluationTask.ts';
import { loadTokens } from '../../calibration/load-tokens.ts';
import { idsTensor } from '../../calibration/stored-ids.ts';
import { loadTokenizer } from '../../calibration/tokenizer.ts';
import { type ConsecutiveWindows, consecutiveWindows } from '../../evaluation/consecutive-windows.ts';
import type { Outcome } from '../messages.ts';
import { stageSafetensors } from '../scratch.ts';
import type { TaskContext } from '../task-context.ts';

export async function runPrepareEvaluation(
  task: PrepareEvaluationTask__Output,
  context: TaskContext,
): Promise<Outcome> {
  const { files, job } = context;
  const { file: ref, output } = task;
  invariant(ref && output, 'a task to prepare an evaluation names its text and its output');
  const path = await files.localPath(ref);
  const input = { root: ref.root, name: ref.name, ...(await digestFile(path)) };
  // The path may be that of a copy in a cache: errors and file types go by the name in the manifest.
  const text = { file: job.evaluationFiles[Number(ref.name)] ?? ref.name, path };
  const { ids, windows, sequenceLength } = task.text
    ? await fromText(task, context, text)
    : await fromTokens(task, path);
  const tensor = idsTensor(ids, windows, sequenceLength);
  const file = await stageSafetensors(files, output.name, [tensor], { format: 'pt' });
  return { prepareEvaluation: { file, windows, sequenceLength, input } };
}

async function fromText(
  task: PrepareEvaluationTask__Output,
  context: TaskContext,
  text: { readonly file: string; readonly path: string },
): Promise<ConsecutiveWindows> {
  const directory = await context.files.sourceDirectory(['tokenizer.json', 'tokenizer_config.json']);
  const { encode } = await loadTokenizer(directory, task.vocabularySize);
  return consecutiveWindows(text, encode, task.sequenceLength, task.windows === 0 ? null : task.windows);
}

async function fromTokens(task: PrepareEvaluationTask__Output, path: string): Promise<ConsecutiveWindows> {
  const loaded = await loadTokens(path, task.windows === 0 ? null : { atMost: task.windows }, task.vocabularySize);
  return { ids: loaded.ids, windows: loaded.samples, sequenceLength: loaded.sequenceLength };
}
