/** Text to token windows, or given ids checked, into staging. */
import { invariant } from '../../../shared/errors/secateur-error.ts';
import type { PrepareCalibrationTask__Output } from '../../../shared/rpc/generated/secateur/v1/PrepareCalibrationTask.ts';
import { prepareCalibration } from '../../calibration/prepare-calibration.ts';
import type { Outcome } from '../messages.ts';
import type { TaskContext } from '../task-context.ts';

const FILE_NAME = 'calibration.safetensors';

export async function runCalibration(task: PrepareCalibrationTask__Output, context: TaskContext): Promise<Outcome> {
  const { files, job } = context;
  const paths: string[] = [];
  for (const index of job.calibrationFiles.keys()) {
    paths.push(await files.localPath({ root: 'FILE_ROOT_CALIBRATION', name: String(index) }));
  }
  const [first] = paths;
  invariant(first !== undefined, 'a job has calibration files');
  const scratch = await files.scratchPath(FILE_NAME);
  const spec = task.text
    ? {
        kind: 'text' as const,
        files: paths,
        samples: task.samples,
        sequenceLength: task.sequenceLength,
        seed: task.seed,
      }
    : { kind: 'tokens' as const, file: first, samples: task.samples === 0 ? null : task.samples };
  const tokenizerDirectory = task.text
    ? await files.sourceDirectory(['tokenizer.json', 'tokenizer_config.json'])
    : job.sourceDirectory;
  const prepared = await prepareCalibration(spec, tokenizerDirectory, task.vocabularySize, scratch);
  const { sha256, sizeBytes, samples, sequenceLength } = prepared;
  const file = await files.commit({ root: 'FILE_ROOT_STAGING', name: FILE_NAME, sizeBytes, sha256 }, scratch);
  return { prepareCalibration: { file, samples, sequenceLength } };
}
