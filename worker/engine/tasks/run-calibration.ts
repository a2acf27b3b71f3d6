/** Text to token windows, or given ids checked, into staging. */
import { invariant } from '../../../shared/errors/secateur-error.ts';
import type { PrepareCalibrationTask__Output } from '../../../shared/rpc/generated/secateur/v1/PrepareCalibrationTask.ts';
import { prepareCalibration } from '../../calibration/prepare-calibration.ts';
import type { TextFile } from '../../calibration/read-documents.ts';
import type { Outcome } from '../messages.ts';
import type { TaskContext } from '../task-context.ts';

const FILE_NAME = 'calibration.safetensors';

export async function runCalibration(task: PrepareCalibrationTask__Output, context: TaskContext): Promise<Outcome> {
  const { files, job } = context;
  const texts: TextFile[] = [];
  for (const [index, ref] of task.files.entries()) {
    // The path may be that of a copy in a cache: errors and file types go by the name in the manifest.
    texts.push({ file: job.calibrationFiles[index] ?? ref.name, path: await files.localPath(ref) });
  }
  const [first] = texts;
  invariant(first !== undefined, 'a job has calibration files');
  const scratch = await files.scratchPath(FILE_NAME);
  const spec = task.text
    ? {
        kind: 'text' as const,
        files: texts,
        samples: task.samples,
        sequenceLength: task.sequenceLength,
        seed: task.seed,
      }
    : { kind: 'tokens' as const, file: first.path, samples: task.samples === 0 ? null : task.samples };
  const tokenizerDirectory = task.text
    ? await files.sourceDirectory(['tokenizer.json', 'tokenizer_config.json'])
    : job.sourceDirectory;
  const prepared = await prepareCalibration(spec, tokenizerDirectory, task.vocabularySize, scratch);
  const { sha256, sizeBytes, samples, sequenceLength } = prepared;
  const file = await files.commit({ root: 'FILE_ROOT_STAGING', name: FILE_NAME, sizeBytes, sha256 }, scratch);
  return { prepareCalibration: { file, samples, sequenceLength } };
}
