/** Files that workers say they have committed, looked for in the staging folder. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Asked, misfit } from '../../../coordinator/api/check-outcome.ts';
import { checkStaged } from '../../../coordinator/api/check-staged.ts';
import { layoutSafetensors } from '../../../shared/safetensors/layout.ts';
import { intakeOf } from '../../simulation/model.ts';

const NAME = 'layers/00000-e1-a1.safetensors';
const intake = intakeOf({ layers: 1, texts: 0 });
const SIZE_BYTES = layoutSafetensors(intake.layers[0]?.tensors ?? []).fileSizeBytes;

const asked = (spec: object): Asked =>
  ({ job: { intake }, lease: { task: 'a-task', spec }, draining: false }) as unknown as Asked;
const prune = asked({ kind: 'prune', stage: 0, layer: 0 });
const layer = (sizeBytes: number) =>
  ({ kind: 'prune', file: { name: NAME, sizeBytes, sha256: '' }, tensors: [], pruneMs: 0, commitMs: 0 }) as const;

let staging: string;
beforeEach(() => {
  staging = mkdtempSync(join(tmpdir(), 'secateur-staged-'));
  mkdirSync(join(staging, 'layers'));
});
afterEach(() => rmSync(staging, { recursive: true, force: true }));

const check = (sizeBytes: number): Promise<void> => checkStaged(staging, prune, layer(sizeBytes));

it('a layer that is there with its size passes', async () => {
  writeFileSync(join(staging, NAME), Buffer.alloc(SIZE_BYTES));
  await expect(check(SIZE_BYTES)).resolves.toBeUndefined();
});

it('one that is not there, or of another size than its worker says, does not', async () => {
  const expected = `a file of ${SIZE_BYTES} bytes at ${NAME}`;
  await expect(check(SIZE_BYTES)).rejects.toEqual(misfit(prune, 'file', expected, 'none'));
  writeFileSync(join(staging, NAME), Buffer.alloc(7));
  await expect(check(SIZE_BYTES)).rejects.toEqual(misfit(prune, 'file', expected, 7));
});

it('one that its worker has told truly, and is not as large as the layer, does not', async () => {
  writeFileSync(join(staging, NAME), Buffer.alloc(7));
  await expect(check(7)).rejects.toEqual(misfit(prune, 'file.sizeBytes', SIZE_BYTES, 7));
});

it('a link, or a folder, is no file', async () => {
  writeFileSync(join(staging, 'elsewhere'), Buffer.alloc(SIZE_BYTES));
  symlinkSync(join(staging, 'elsewhere'), join(staging, NAME));
  await expect(check(SIZE_BYTES)).rejects.toMatchObject({ code: 'EngineFailed', details: { found: 'none' } });
});

it('token ids take four bytes each', async () => {
  const file = { name: 'ids', sizeBytes: 100, sha256: '' };
  writeFileSync(join(staging, 'ids'), Buffer.alloc(100));
  const calibration = (samples: number) =>
    checkStaged(staging, asked({ kind: 'prepareCalibration' }), {
      kind: 'prepareCalibration',
      calibration: { inputDigests: [], samples, sequenceLength: 4, file },
    });
  await expect(calibration(6)).resolves.toBeUndefined();
  await expect(calibration(7)).rejects.toMatchObject({
    details: { field: 'file.sizeBytes', expected: 'more than 112' },
  });
});
