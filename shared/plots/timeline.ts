/**
 * Who did what when: a row for each worker, in it a lane for each kind of work, a bar for each span of time. The lane says
 * the kind as well as the colour does.
 */
import { html, type Markup, NOTHING } from './markup.ts';
import { linearScale } from './scale.ts';
import { LABEL_WIDTH_PX, px, rowLabel, svgFrame } from './svg.ts';

const LANE_PX = 9;
const ROW_GAP_PX = 10;
const TOP_PX = 6;
const AXIS_PX = 40;
const LENGTH_PX = 760;
/** A span of a millisecond must be seen in a day. */
const BAR_PX_MIN = 1.5;

interface TimelineBar {
  /** Index of its lane. */
  readonly lane: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly title: string;
  /** It came to nothing: drawn with a cross. */
  readonly isFault: boolean;
}

interface TimelineRow {
  readonly label: string;
  readonly bars: readonly TimelineBar[];
}

export interface Timeline {
  readonly name: string;
  /** From the top lane; `kind` is a class of the page's style sheet. */
  readonly lanes: readonly { readonly label: string; readonly kind: string }[];
  readonly rows: readonly TimelineRow[];
  readonly totalMs: number;
}

/** Units in which an axis of times can be read, the smallest first. */
const UNITS = [
  { unit: 'ms', unitMs: 1 },
  { unit: 's', unitMs: 1000 },
  { unit: 'min', unitMs: 60_000 },
  { unit: 'h', unitMs: 3_600_000 },
] as const;

export function timeline({ name, lanes, rows, totalMs }: Timeline): Markup {
  const { unit, unitMs } = UNITS.findLast((each) => totalMs >= 2 * each.unitMs) ?? UNITS[0];
  const scale = linearScale(totalMs / unitMs, 8);
  const x = (ms: number): number => LABEL_WIDTH_PX + scale.at(ms / unitMs) * LENGTH_PX;
  const rowPx = lanes.length * LANE_PX;
  const bottom = TOP_PX + rows.length * (rowPx + ROW_GAP_PX);
  const grid = scale.ticks.map((tick) => {
    const at = px(x(tick * unitMs));
    return html`<line class="grid" x1="${at}" x2="${at}" y1="0" y2="${px(bottom)}"/><text class="tick" x="${at}" y="${px(bottom + 14)}" text-anchor="middle">${tick}</text>`;
  });
  const drawn = rows.map((row, index) => {
    const top = TOP_PX + index * (rowPx + ROW_GAP_PX);
    const bars = row.bars.map((bar) => timelineBar(bar, lanes[bar.lane]?.kind ?? 'other', top, x));
    return html`${rowLabel(row.label, top + rowPx / 2)}${bars}`;
  });
  const caption = html`<text class="tick" x="${LABEL_WIDTH_PX + LENGTH_PX / 2}" y="${px(bottom + 31)}" text-anchor="middle">${unit} since the job began</text>`;
  return svgFrame(name, LABEL_WIDTH_PX + LENGTH_PX + 24, bottom + AXIS_PX, [grid, drawn, caption]);
}

function timelineBar(bar: TimelineBar, kind: string, top: number, x: (ms: number) => number): Markup {
  const y = top + bar.lane * LANE_PX;
  const from = x(bar.fromMs);
  const width = Math.max(BAR_PX_MIN, x(bar.toMs) - from);
  const [left, right] = [px(from - 1), px(from + 6)];
  const cross = bar.isFault
    ? html`<path class="fault" d="M${left} ${px(y)}L${right} ${px(y + 7)}M${left} ${px(y + 7)}L${right} ${px(y)}"/>`
    : NOTHING;
  return html`<g><title>${bar.title}</title><rect class="${kind}" x="${px(from)}" y="${px(y)}" width="${px(width)}" height="${LANE_PX - 2}"/>${cross}</g>`;
}
