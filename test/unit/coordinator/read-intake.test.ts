import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readIntake } from '../../../coordinator/effects/read-intake.ts';
import { parseManifest } from '../../../shared/manifest/parse-manifest.ts';
import { resolveLocations } from '../../../shared/manifest/resolve-locations.ts';
import { microManifest, REPOSITORY } from '../../support/secateur-process.ts';

const README = join(REPOSITORY, 'README.md');

async function warningsOf(calibration: Record<string, unknown>): Promise<readonly string[]> {
  const text = microManifest({ output: '/nowhere', calibration });
  return (await readIntake(resolveLocations(parseManifest(text, 'm.yaml'), '/'))).warnings;
}

describe('calibration sequences that are longer than the model has positions', () => {
  const { max_position_embeddings: positions } = JSON.parse(
    readFileSync(join(REPOSITORY, 'examples/micro-llama/model/config.json'), 'utf8'),
  ) as { max_position_embeddings: number };

  it('are warned of', async () => {
    expect(await warningsOf({ text: [README], sequenceLength: positions + 1 })).toEqual([
      expect.stringContaining(
        `spec.calibration.sequenceLength: sequences of ${positions + 1} tokens are longer than the ${positions} positions`,
      ),
    ]);
  });

  it('are not, where they are as long', async () => {
    expect(await warningsOf({ text: [README], sequenceLength: positions })).toEqual([]);
  });
});
