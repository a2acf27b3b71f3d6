import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
export async function digestFile(path: string, onProgress?: (doneBytes: number) => void): Promise<{ sha256: string; sizeBytes: number }> {
  const hash = createHash('sha256'); let sizeBytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) { hash.update(chunk); sizeBytes += chunk.length; onProgress?.(sizeBytes); }
  return { sha256: hash.digest('hex'), sizeBytes };
}
