/** What a worker says that it has committed, looked for in the staging folder, which is on the coordinator's side. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { invariant, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { layoutSafetensors } from '../../shared/safetensors/layout.ts';
import type { TaskOutcome } from '../core/events.ts';
import type { StagedFile } from '../core/state.ts';
import { type Asked, misfit } from './check-outcome.ts';

/**
 * To be called when checkOutcome has let it pass: the name of the file is the lease's own.
 *
 * @throws EngineFailed where the file is not there, or of another size; StorageFailed where the folder cannot be read
 */
export async function checkStaged(staging: string, asked: Asked, outcome: TaskOutcome): Promise<void> {
  const file = stagedBy(outcome);
  if (file === null) return;
  const sizeBytes = await sizeOf(join(staging, file.name));
  const expected = `a file of ${file.sizeBytes} bytes at ${file.name}`;
  if (sizeBytes !== file.sizeBytes) throw misfit(asked, 'file', expected, sizeBytes ?? 'none');
  checkSize(asked, outcome, sizeBytes);
}

/** What tasks commit and others are given; snapshots see checkSnapshot. */
export function stagedBy(outcome: TaskOutcome): StagedFile | null {
  switch (outcome.kind) {
    case 'prepareCalibration':
      return outcome.calibration.file;
    case 'prepareEvaluation':
      return outcome.ids;
    case 'prune':
      return outcome.file;
    default:
      return null;
  }
}

/** A committed layer has its own layout, to the byte; before the token ids stands a header of any length. */
function checkSize(asked: Asked, outcome: TaskOutcome, sizeBytes: number): void {
  const { spec } = asked.lease;
  if (spec.kind === 'prune') {
    const layer = asked.job.intake?.layers[spec.layer];
    invariant(layer !== undefined, `job ${asked.job.id} has layer ${spec.layer}`);
    const expected = layoutSafetensors(layer.tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })));
    if (sizeBytes !== expected.fileSizeBytes) throw misfit(asked, 'file.sizeBytes', expected.fileSizeBytes, sizeBytes);
    return;
  }
  const idsBytes = tokensOf(outcome) * Int32Array.BYTES_PER_ELEMENT;
  if (sizeBytes <= idsBytes) throw misfit(asked, 'file.sizeBytes', `more than ${idsBytes}`, sizeBytes);
}

function tokensOf(outcome: TaskOutcome): number {
  if (outcome.kind === 'prepareEvaluation') return outcome.windows * outcome.sequenceLength;
  if (outcome.kind !== 'prepareCalibration') return 0;
  return outcome.calibration.samples * outcome.calibration.sequenceLength;
}

/** Null where there is no file: nothing, a folder, or a link, which may lead anywhere. */
async function sizeOf(path: string): Promise<number | null> {
  try {
    const found = await lstat(path);
    return found.isFile() ? found.size : null;
  } catch (thrown) {
    const errno = (thrown as NodeJS.ErrnoException).code;
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return null;
    throw toSecateurError(thrown);
  }
}
