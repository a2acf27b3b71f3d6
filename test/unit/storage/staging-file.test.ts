import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { commitStagingFile, temporaryStagingPath } from '../../../shared/storage/staging-file.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'secateur-staging-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('a file of the staging folder', () => {
  it('is written beside its place, and appears there by a rename', async () => {
    const temporary = await temporaryStagingPath(root, 'layers/deep/a.safetensors');
    expect(dirname(temporary).endsWith(join('layers', 'deep'))).toBe(true);
    writeFileSync(temporary, 'content');
    await commitStagingFile(temporary, root, 'layers/deep/a.safetensors');
    expect(readdirSync(join(root, 'layers', 'deep'))).toEqual(['a.safetensors']);
    expect(readFileSync(join(root, 'layers/deep/a.safetensors'), 'utf8')).toBe('content');
  });

  it('may be in a staging folder that is itself reached by a link', async () => {
    mkdirSync(join(root, 'real'));
    symlinkSync('real', join(root, 'link'));
    const temporary = await temporaryStagingPath(join(root, 'link'), 'layers/a');
    writeFileSync(temporary, 'content');
    await commitStagingFile(temporary, join(root, 'link'), 'layers/a');
    expect(readFileSync(join(root, 'real/layers/a'), 'utf8')).toBe('content');
  });

  it('may not be in a folder that is a link to elsewhere, nor be a folder', async () => {
    mkdirSync(join(root, 'staging'));
    symlinkSync(root, join(root, 'staging', 'layers'));
    await expect(temporaryStagingPath(join(root, 'staging'), 'layers/a')).rejects.toMatchObject({
      code: 'ArgumentInvalid',
    });
    await expect(commitStagingFile('/nowhere', join(root, 'staging'), 'layers/a')).rejects.toMatchObject({
      code: 'ArgumentInvalid',
    });
  });

  it('that is gone before it is committed leaves its place as it was', async () => {
    writeFileSync(join(root, 'a'), 'earlier');
    const temporary = await temporaryStagingPath(root, 'a');
    await expect(commitStagingFile(temporary, root, 'a')).rejects.toMatchObject({ code: 'SourceMissing' });
    expect(readFileSync(join(root, 'a'), 'utf8')).toBe('earlier');
  });
});
