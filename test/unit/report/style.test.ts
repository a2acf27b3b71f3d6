/** What a report looks like: everything can be read, by light and by dark. */
import { describe, expect, it } from 'vitest';
import { DARK, LIGHT, STYLE } from '../../../coordinator/report/style.ts';

/** Relative luminance of sRGB, WCAG 2.2. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

describe.each([
  ['light', LIGHT],
  ['dark', DARK],
])('by %s', (_, palette) => {
  it.each(Object.entries({ ink: palette.ink, muted: palette.muted, ...palette.marks }))(
    '%s has a contrast of 4.5 or more',
    (_name, colour) => {
      for (const ground of [palette.page, palette.panel]) expect(contrast(colour, ground)).toBeGreaterThanOrEqual(4.5);
    },
  );
});

it('the style sheet loads nothing and ends no element', () => {
  expect(STYLE.text).not.toMatch(/url\(|@import|<\//);
});
