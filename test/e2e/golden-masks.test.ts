/** Whole runs against the reference's: masks of every linear, from our own forward passes and statistics. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { differencesToReference, weightsOf } from '../support/mask-differences.ts';
import { MICRO_LLAMA } from '../support/masked-micro-llama.ts';
import { Bench, microManifest } from '../support/secateur-process.ts';

/** Of all weights, at most this share may be masked differently from the reference (issue 2; the goal is none). */
const DIFFERING_MAX = 0.0001;

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
      const { differing, weights } = differencesToReference(run, weightsOf(MICRO_LLAMA), weightsOf(output));
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
