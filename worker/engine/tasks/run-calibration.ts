/** Text to token windows, or given ids checked, into staging. */
import { digestFile } from '../../../shared/checkpoint/source-digest.ts';
import type { FileRef } from '../../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { PrepareCalibrationTask__Output } from '../../../shared/rpc/generated/secateur/v1/PrepareCalibrationTask.ts';
import { type CalibrationSource, prepareCalibration } from '../../calibration/prepare-calibration.ts';
import type { TextFile } from '../../calibration/read-documents.ts';
import type { Outcome } from '../messages.ts';
import { withScratch } from '../scratch.ts';
import type { TaskContext } from '../task-context.ts';

export async function runCalibration(task: PrepareCalibrationTask__Output, context: TaskContext): Promise<Outcome> {
  const { files, job } = context;
  const texts: TextFile[] = [];
  const inputs: FileRef[] = [];
  for (const [index, ref] of task.files.entries()) {
    const path = await files.localPath(ref);
    // The path may be that of a copy in a cache: errors and file types go by the name in the manifest.
    texts.push({ file: job.calibrationFiles[index] ?? ref.name, path });
    inputs.push({ root: ref.root, name: ref.name, ...(await digestFile(path)) });
  }
  const spec = sourceOf(task, texts);
  const tokenizerDirectory = task.text
    ? await files.sourceDirectory(['tokenizer.json', 'tokenizer_config.json'])
    : job.sourceDirectory;
  const name = task.output?.name ?? '';
  return withScratch(files, name, async (scratch) => {
    const prepared = await prepareCalibration(spec, tokenizerDirectory, task.vocabularySize, scratch);
    const { sha256, sizeBytes } = prepared;
    const file = await files.commit({ root: 'FILE_ROOT_STAGING', name, sizeBytes, sha256 }, scratch);
    const size = { samples: prepared.samples, sequenceLength: prepared.sequenceLength };
    return { prepareCalibration: { file, ...size, inputs } };
  });
}

/** Text, given token ids, or, where there is no file, ids that are drawn. */
function sourceOf(
  { text, samples, sequenceLength, seed }: PrepareCalibrationTask__Output,
  files: readonly TextFile[],
): CalibrationSource {
  const [first] = files;
  if (text) return { kind: 'text', files, samples, sequenceLength, seed };
  if (first === undefined) return { kind: 'synthetic', samples, sequenceLength, seed };
  return { kind: 'tokens', file: first.path, samples: samples === 0 ? null : samples };
}
