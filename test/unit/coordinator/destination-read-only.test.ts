/** A destination on a file system that takes nothing, as `access` reports it: no test may count on such a mount, nor on not being root. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { destinationProblem } from '../../../coordinator/effects/claim-output.ts';
import { outputPaths } from '../../../coordinator/effects/job-paths.ts';

vi.mock('node:fs/promises', async (importOriginal) => ({
  ...(await importOriginal<typeof import('node:fs/promises')>()),
  access: async (path: string) => {
    throw Object.assign(new Error(`EROFS: read-only file system, access '${path}'`), { code: 'EROFS' });
  },
}));

it('a plan says that a destination cannot be written, before a job fails over it', async () => {
  const output = join(tmpdir(), 'secateur-absent', 'out');
  expect(await destinationProblem(outputPaths(output), () => undefined)).toBe(
    `spec.output.destination ${output} cannot be written: EROFS: read-only file system, access '${tmpdir()}'. Choose a place that can be written.`,
  );
});
