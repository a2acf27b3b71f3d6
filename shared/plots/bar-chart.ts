/** Horizontal bars in groups, each with its name before it and its value behind it. */
import { html, type Markup } from './markup.ts';
import { linearScale } from './scale.ts';
import { px, rowLabel, svgFrame } from './svg.ts';

const BAR_PX = 18;
const ROW_PX = 24;
const GROUP_TITLE_PX = 24;
const AXIS_PX = 40;
/** Together the width of a phone. */
const NAME_PX = 64;
const LENGTH_PX = 210;
const VALUE_PX = 80;

interface Bar {
  readonly label: string;
  readonly value: number;
  /** Its colour: a class of the page's style sheet. */
  readonly kind: string;
}

interface BarGroup {
  readonly label: string;
  readonly bars: readonly Bar[];
}

export interface BarChart {
  /** What it shows, in a sentence. */
  readonly name: string;
  /** Under the axis, with its unit. */
  readonly axis: string;
  readonly groups: readonly BarGroup[];
  show(value: number): string;
}

export function barChart({ name, axis, groups, show }: BarChart): Markup {
  const scale = linearScale(Math.max(0, ...groups.flatMap(({ bars }) => bars.map(({ value }) => value))));
  const width = NAME_PX + LENGTH_PX + VALUE_PX;
  let y = 0;
  const drawn = groups.map(({ label, bars }) => {
    const title = html`<text class="strong" x="0" y="${px(y + GROUP_TITLE_PX - 8)}">${label}</text>`;
    y += GROUP_TITLE_PX;
    const rows = bars.map((bar) => {
      const middle = y + ROW_PX / 2;
      const length = scale.at(bar.value) * LENGTH_PX;
      y += ROW_PX;
      return html`${rowLabel(bar.label, middle)}<rect class="${bar.kind}" x="${NAME_PX}" y="${px(middle - BAR_PX / 2)}" width="${px(Math.max(1, length))}" height="${BAR_PX}"/><text x="${px(NAME_PX + length + 6)}" y="${px(middle)}" dominant-baseline="middle">${show(bar.value)}</text>`;
    });
    return [title, rows];
  });
  const bottom = y + 4;
  const ticks = scale.ticks.map((tick) => {
    const x = px(NAME_PX + scale.at(tick) * LENGTH_PX);
    return html`<line class="axis" x1="${x}" x2="${x}" y1="${px(bottom)}" y2="${px(bottom + 4)}"/><text class="tick" x="${x}" y="${px(bottom + 16)}" text-anchor="middle">${tick}</text>`;
  });
  const line = html`<line class="axis" x1="${NAME_PX}" x2="${NAME_PX + LENGTH_PX}" y1="${px(bottom)}" y2="${px(bottom)}"/>`;
  const caption = html`<text class="tick" x="${NAME_PX + LENGTH_PX / 2}" y="${px(bottom + 32)}" text-anchor="middle">${axis}</text>`;
  return svgFrame(name, width, bottom + AXIS_PX, [drawn, line, ticks, caption]);
}
