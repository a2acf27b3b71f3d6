import { join, resolve, sep } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { checkFileName, checkStagedRef, pathOfRef } from '../../../shared/storage/file-ref.ts';

const FOLDERS = {
  sourceDirectory: '/models/a',
  stagingDirectory: '/out/.secateur',
  calibrationFiles: ['/data/c4.jsonl'],
  evaluationFiles: [],
};

describe('a file name on the wire', () => {
  it.each([
    'model.safetensors',
    'layers/00012.safetensors',
    'snapshots/00016/m00003.safetensors',
    '..hidden',
    'a..b/c...',
    'naïve €/😀',
    'with space',
  ])('may be %j', (name) => {
    expect(checkFileName(name)).toBe(name);
  });

  it.each([
    '',
    '/',
    '/a',
    '..',
    '../a',
    'a/..',
    'a/../b',
    '.',
    './a',
    'a/.',
    'a//b',
    'a/',
    'C:\\a',
    'c:a',
    'a\\b',
    'a\0',
    'x'.repeat(1025),
  ])('may not be %j', (name) => {
    expect(() => checkFileName(name)).toThrow(SecateurError);
  });

  it('never leads out of its folder, whatever it is', () => {
    const hostile = fc
      .array(fc.constantFrom('..', '.', '/', '\\', 'a', '\0', ' ', 'C:', '%2e%2e', '~'))
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(hostile, fc.string()), (name) => {
        let checked: string;
        try {
          checked = checkFileName(name);
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'ArgumentInvalid' });
          return;
        }
        expect(resolve('/out/.secateur', checked)).toBe(join('/out/.secateur', name));
        expect(resolve('/out/.secateur', checked).startsWith(`/out/.secateur${sep}`)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a file reference', () => {
  it('leads into the folder of its root', () => {
    expect(pathOfRef({ root: 'FILE_ROOT_SOURCE', name: 'a' }, FOLDERS)).toBe('/models/a/a');
    expect(pathOfRef({ root: 'FILE_ROOT_STAGING', name: 'layers/a' }, FOLDERS)).toBe('/out/.secateur/layers/a');
    expect(pathOfRef({ root: 'FILE_ROOT_CALIBRATION', name: '0' }, FOLDERS)).toBe('/data/c4.jsonl');
  });

  it("without a root, or to a calibration file that is none of the job's, leads nowhere", () => {
    for (const ref of [
      { name: 'a' },
      { root: 'FILE_ROOT_UNSPECIFIED', name: 'a' },
      { root: 'FILE_ROOT_CALIBRATION', name: '1' },
    ] as const) {
      expect(() => pathOfRef(ref, FOLDERS)).toThrow(expect.objectContaining({ code: 'ArgumentInvalid' }));
    }
  });

  it('to a file that a task made carries size and digest', () => {
    const good = { root: 'FILE_ROOT_STAGING', name: 'layers/a', sizeBytes: 5, sha256: 'a'.repeat(64) } as const;
    expect(checkStagedRef(good)).toEqual({ name: 'layers/a', sizeBytes: 5, sha256: 'a'.repeat(64) });
    for (const bad of [
      { root: 'FILE_ROOT_SOURCE' },
      { sizeBytes: 0 },
      { sha256: '' },
      { sha256: 'A'.repeat(64) },
      { name: '../a' },
    ] as const) {
      expect(() => checkStagedRef({ ...good, ...bad })).toThrow(expect.objectContaining({ code: 'ArgumentInvalid' }));
    }
  });
});
