import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { consecutiveWindows } from '../../../worker/evaluation/consecutive-windows.ts';
import { temporaryFolder } from '../calibration/temporary-folder.ts';

/** A token a character, behind a begin-of-sequence token. */
const encode = (text: string): number[] => [1, ...Array.from(text, (character) => character.charCodeAt(0))];

function textFile(name: string, content: string) {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, content);
  return { file: name, path };
}

describe('evaluation windows', () => {
  it('are cut from the beginning of the documents joined by an empty line, tokenized once', async () => {
    const text = textFile('a.jsonl', '{"text":"abc"}\n{"text":"de"}\n');
    const { ids, windows } = await consecutiveWindows(text, encode, 4, null);
    // 1 a b c \n \n d e: two windows of four, one begin-of-sequence token in all.
    expect(windows).toBe(2);
    expect([...ids]).toEqual([1, 97, 98, 99, 10, 10, 100, 101]);
  });

  it('are the first so many where fewer are asked for', async () => {
    const { windows, ids } = await consecutiveWindows(textFile('b.txt', 'abcdefghij'), encode, 3, 2);
    expect([windows, ids.length]).toEqual([2, 6]);
  });

  it('need a text of one window at least', async () => {
    await expect(consecutiveWindows(textFile('c.txt', 'ab'), encode, 4, null)).rejects.toThrow(
      /c\.txt: expected at least 4 tokens of evaluation text .* found 3/,
    );
  });
});
