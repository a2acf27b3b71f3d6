/** docs/reliability.md against the code: each constant has the value that it says, each test is there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { REPOSITORY } from '../../support/secateur-process.ts';

const page = readFileSync(join(REPOSITORY, 'docs/reliability.md'), 'utf8');
const TITLE = /^\s*(?:it|test|describe|\]|\})?(?:\.each\(.*\)|\.skipIf\(.*\)|\.each`.*`|\))?\(?['"`]/;
const read = (file: string): string => readFileSync(join(REPOSITORY, file), 'utf8');

describe('docs/reliability.md', () => {
  const constants = [...page.matchAll(/`([A-Z_]+ = [^`]+)` in `([^`]+)`/g)].map(([, text = '', file = '']) => ({
    text,
    file,
  }));
  it.each(constants)('$text in $file', ({ text, file }) => {
    expect(read(file)).toContain(`const ${text};`);
  });

  const proofs = [...page.matchAll(/\| `(test\/[^`]+)`: ([^|]+) \|/g)].map(([, file = '', name = '']) => ({
    file,
    name,
  }));
  it.each(proofs)('$file: $name', ({ file, name }) => {
    const source = read(file);
    const lines = source.split('\n').filter((line) => line.includes(name.trim()));
    // The title of a test, on the line of its call or on the next; a comment proves nothing, nor does a test that is skipped.
    expect(lines.filter((line) => TITLE.test(line)).length, lines.join('\n')).toBeGreaterThan(0);
    expect(source).not.toMatch(/\b(?:it|test|describe)\.(?:skip|only|todo)\b/);
  });

  it('has a row for each of them', () => {
    const rows = (heading: string): number => {
      const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
      return section.split('\n').filter((line) => line.startsWith('| ')).length - 1;
    };
    expect(constants).toHaveLength(rows('Bounds'));
    // Figures are no promises: their command stands above them.
    const promises = page.replace(/\n### Last measured\n[\s\S]*?(?=\n## )/g, '');
    const all =
      promises.split('\n').filter((line) => line.startsWith('| ') && line !== '| promise | proved by |').length - 1;
    expect(proofs).toHaveLength(all - constants.length);
  });
});
