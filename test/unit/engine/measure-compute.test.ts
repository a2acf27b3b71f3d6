/** The rate of a product. Figures are of this machine: only that a graph of each type computes is known. */
import { expect, it } from 'vitest';
import { measureFlops } from '../../../worker/engine/measure-compute.ts';

const CPU = { provider: 'cpu', deviceId: 0, threads: 1 } as const;

it.each(['F32', 'F16'] as const)('is measured in %s', async (dtype) => {
  expect(await measureFlops(CPU, dtype)).toBeGreaterThan(1e7);
});
