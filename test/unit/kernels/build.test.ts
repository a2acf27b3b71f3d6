import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { buildKernel } from '../../../worker/kernels/build.ts';

test('the committed prune.wasm is what assembly/ compiles to', async () => {
  const committed = await readFile(new URL('../../../worker/kernels/prune.wasm', import.meta.url));
  const fresh = Buffer.from(await buildKernel());
  expect(fresh.equals(committed), 'assembly/ changed: run `npm run build:kernel`').toBe(true);
});
