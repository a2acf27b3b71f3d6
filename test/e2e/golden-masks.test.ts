/** Whole runs against the reference's: masks of every linear, from our own forward passes and statistics. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../shared/safetensors/read-tensor.ts';
import { Bench, microManifest, REPOSITORY } from '../support/secateur-process.ts';

const MICRO = join(REPOSITORY, 'test/golden/fixtures/micro');
/** Of all weights, at most this share may be masked differently from the reference (issue 2; the goal is none). */
const DIFFERING_MAX = 0.0001;

async function bits(file: string): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  for (const [name, location] of (await readSafetensorsHeader(file)).tensors)
    found.set(name, await readTensorBytes(location));
  return found;
}

const RUNS = [
  ['wanda_50_ref', { sparsity: 0.5 }],
  ['wanda_50_dense', { sparsity: 0.5, propagate: 'dense' }],
  ['wanda_2-4_ref', { pattern: '2:4' }],
  ['wanda_4-8_ref', { pattern: '4:8' }],
  ['wanda_2-4_dense', { pattern: '2:4', propagate: 'dense' }],
] as const;

describe('masks of whole runs on micro-llama equal those of the reference', () => {
  for (const [run, pruning] of RUNS) {
    it(run, async () => {
      await using bench = new Bench();
      const output = bench.path('out');
      writeFileSync(bench.path('m.yaml'), microManifest({ output, pruning: { method: 'wanda', ...pruning } }));
      const finished = await bench.run(['run', bench.path('m.yaml'), '--workers', '2']);
      expect(finished.code, finished.stderr).toBe(0);
      const ours = (await readSafetensorsHeader(join(output, 'model.safetensors'))).tensors;
      const source = (await readSafetensorsHeader(join(REPOSITORY, 'examples/micro-llama/model/model.safetensors')))
        .tensors;
      let differing = 0;
      let weights = 0;
      for (const [key, mask] of await bits(join(MICRO, `masks/${run}.safetensors`))) {
        const name =
          [...ours.keys()].find((each) => each === key || each === `model.${key}.weight` || each === `${key}.weight`) ??
          key;
        const location = ours.get(name);
        if (location === undefined) throw new Error(`${name} is not in the output`);
        const before = new Uint16Array((await readTensorBytes(source.get(name) as typeof location)).slice().buffer);
        const after = new Uint16Array((await readTensorBytes(location)).slice().buffer);
        const [rows, columns] = location.shape as [number, number];
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            const at = row * columns + column;
            const reference = ((mask[row * Math.ceil(columns / 8) + (column >> 3)] ?? 0) >> (column & 7)) & 1;
            // A weight that was zero already shows no mask: it counts as agreeing.
            const pruned = after[at] === 0 && ((before[at] ?? 0) & 0x7fff) !== 0 ? 1 : 0;
            if (((before[at] ?? 0) & 0x7fff) !== 0 && pruned !== reference) differing += 1;
            weights += 1;
          }
        }
      }
      console.log(
        `${run}: ${differing} of ${weights} weights masked differently; sha256 ${createHash('sha256')
          .update(readFileSync(join(output, 'model.safetensors')))
          .digest('hex')
          .slice(0, 16)}`,
      );
      expect(weights).toBeGreaterThan(200_000);
      expect(differing / weights).toBeLessThanOrEqual(DIFFERING_MAX);
    });
  }
});
