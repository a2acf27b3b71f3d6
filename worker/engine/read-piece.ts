import type { FileHandle } from 'node:fs/promises';
import { readFully } from '../../shared/checkpoint/source-file.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';

/**
 * Fills `bytes` with a piece of a tensor of the source, from `position` of its file on.
 *
 * @throws SourceChanged where the file ends before the piece does
 */
export async function readPiece(
  handle: FileHandle,
  bytes: Uint8Array,
  position: number,
  { file, tensor }: { readonly file: string; readonly tensor: string },
): Promise<void> {
  if ((await readFully(handle, bytes, position)) === bytes.length) return;
  throw new SecateurError(
    'SourceChanged',
    `${file}: ends inside tensor ${tensor}. It was cut short while the job ran: restore it, then resume.`,
    { details: { file, tensor } },
  );
}
