import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { buildKernel, KERNELS } from '../../../worker/kernels/build.ts';

test.each(Object.keys(KERNELS) as (keyof typeof KERNELS)[])(
  'the committed %s is what assembly/ compiles to',
  async (output) => {
    const committed = await readFile(new URL(`../../../worker/kernels/${output}`, import.meta.url));
    const fresh = Buffer.from(await buildKernel(output));
    expect(fresh.equals(committed), 'assembly/ changed: run `npm run build:kernel`').toBe(true);
  },
);
