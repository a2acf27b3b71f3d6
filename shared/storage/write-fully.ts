/** One call to `write` may write less than it was given. */
import type { FileHandle } from 'node:fs/promises';

/** All of `data` at `position`. What goes wrong names the file where it is given: a handle alone does not know it. */
export async function writeFully(handle: FileHandle, data: Uint8Array, position: number, file?: string): Promise<void> {
  try {
    for (let done = 0; done < data.length; ) {
      done += (await handle.write(data, done, data.length - done, position + done)).bytesWritten;
    }
  } catch (thrown) {
    if (thrown instanceof Error && file !== undefined && !thrown.message.includes(file)) thrown.message += ` '${file}'`;
    throw thrown;
  }
}
