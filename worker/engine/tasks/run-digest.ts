/** SHA-256 of one source file, for the provenance; the same digest that `sha256sum` and the Hugging Face Hub give. */
import { digestFile } from '../../../shared/checkpoint/source-digest.ts';
import { invariant } from '../../../shared/errors/secateur-error.ts';
import type { DigestSourceTask__Output } from '../../../shared/rpc/generated/secateur/v1/DigestSourceTask.ts';
import type { Outcome } from '../messages.ts';
import type { TaskContext } from '../task-context.ts';

export async function runDigest(task: DigestSourceTask__Output, context: TaskContext): Promise<Outcome> {
  const ref = task.file;
  invariant(ref !== null && ref !== undefined, 'a digest task names its file');
  const path = await context.files.localPath(ref);
  const { sha256, sizeBytes } = await digestFile(path, (done) => context.progress(done, ref.sizeBytes, 'bytes'));
  context.files.release(ref);
  return { digestSource: { file: { root: ref.root, name: ref.name, sizeBytes, sha256 } } };
}
