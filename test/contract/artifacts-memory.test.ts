import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const TRANSFER = fileURLToPath(new URL('./artifacts-transfer-process.ts', import.meta.url));
const GROWTH_BYTES_MAX = 64 * 1024 * 1024;

describe('a transfer of 200 MB', () => {
  it('down and up grows the memory of both its ends together by less than 64 MiB', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [TRANSFER]);
    const { grownBytes, readMibPerSecond, writeMibPerSecond } = JSON.parse(stdout) as Record<string, number>;
    console.info(
      `grew by ${Math.round((grownBytes ?? 0) / 2 ** 20)} MiB; read ${Math.round(readMibPerSecond ?? 0)} MiB/s, write ${Math.round(writeMibPerSecond ?? 0)} MiB/s`,
    );
    expect(grownBytes).toBeLessThan(GROWTH_BYTES_MAX);
  });
});
