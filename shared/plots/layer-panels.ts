/**
 * Small multiples over the decoder layers: a row for each linear or statistic, all rows on one scale, a mark for each layer.
 * The height of a mark says the value; nothing is said by its colour alone.
 */
import { html, type Markup, NOTHING } from './markup.ts';
import type { Scale } from './scale.ts';
import { LABEL_WIDTH_PX, px, rowLabel, svgFrame } from './svg.ts';

const ROW_PX = 46;
const GAP_PX = 20;
const TOP_PX = 8;
const AXIS_PX = 40;
/** All layers of a model in about a page's width, but no mark too thin to see or too fat to read. */
const LAYERS_PX = 720;
const COLUMN_PX_MIN = 9;
const COLUMN_PX_MAX = 56;
/** Between two numbers of the axis of layers. */
const TICK_PX_MIN = 32;
const DOT_PX = 3;

/** What stands at one layer: a value, or the least, mean and largest of many. */
export type LayerValue = number | { readonly min: number; readonly mean: number; readonly max: number };

export interface PanelRow {
  readonly label: string;
  /** By layer; null where there is nothing to show. */
  readonly values: readonly (LayerValue | null)[];
}

export interface LayerPanels {
  /** What it shows, in a sentence. */
  readonly name: string;
  readonly scale: Scale;
  /** Bars from the foot of the row, or dots (a value of a logarithmic scale has no foot). */
  readonly mark: 'bar' | 'dot';
  readonly rows: readonly PanelRow[];
  show(value: number): string;
}

export function layerPanels(panels: LayerPanels): Markup {
  const layers = Math.max(1, ...panels.rows.map(({ values }) => values.length));
  const column = Math.min(COLUMN_PX_MAX, Math.max(COLUMN_PX_MIN, LAYERS_PX / layers));
  const width = LABEL_WIDTH_PX + layers * column;
  const rows = panels.rows.map((row, index) =>
    panelRow(panels, row, TOP_PX + index * (ROW_PX + GAP_PX), column, width),
  );
  const bottom = TOP_PX + panels.rows.length * (ROW_PX + GAP_PX);
  const step = niceLayerStep(TICK_PX_MIN / column);
  const ticks = Array.from({ length: Math.ceil(layers / step) }, (_, index) => {
    const x = px(LABEL_WIDTH_PX + (index * step + 0.5) * column);
    return html`<text class="tick" x="${x}" y="${px(bottom + 6)}" text-anchor="middle">${index * step}</text>`;
  });
  const caption = html`<text class="tick" x="${px(LABEL_WIDTH_PX + (layers * column) / 2)}" y="${px(bottom + 24)}" text-anchor="middle">decoder layer</text>`;
  return svgFrame(panels.name, width + 16, bottom + AXIS_PX - 8, [rows, ticks, caption]);
}

function panelRow(panels: LayerPanels, row: PanelRow, top: number, column: number, width: number): Markup {
  const { scale, show } = panels;
  const foot = top + ROW_PX;
  const ends = [scale.ticks[0] ?? 0, scale.ticks.at(-1) ?? 1];
  const lines = ends.map((tick) => {
    const y = foot - scale.at(tick) * ROW_PX;
    return html`<line class="grid" x1="${LABEL_WIDTH_PX}" x2="${px(width)}" y1="${px(y)}" y2="${px(y)}"/><text class="tick" x="${LABEL_WIDTH_PX - 4}" y="${px(y)}" text-anchor="end" dominant-baseline="middle">${show(tick)}</text>`;
  });
  const marks = row.values.map((value, layer) =>
    value === null ? NOTHING : mark(panels, row.label, value, layer, { foot, column }),
  );
  return html`${rowLabel(row.label, top + ROW_PX / 2)}${lines}${marks}`;
}

interface Place {
  readonly foot: number;
  readonly column: number;
}

function mark(
  { scale, show, ...panels }: LayerPanels,
  label: string,
  value: LayerValue,
  layer: number,
  place: Place,
): Markup {
  const y = (each: number): number => place.foot - scale.at(each) * ROW_PX;
  const x = LABEL_WIDTH_PX + (layer + 0.5) * place.column;
  const where = `layer ${layer}, ${label}`;
  if (typeof value !== 'number') {
    const { min, mean, max } = value;
    const title = `${where}: least ${show(min)}, mean ${show(mean)}, largest ${show(max)}`;
    return html`<g><title>${title}</title><line class="range" x1="${px(x)}" x2="${px(x)}" y1="${px(y(min))}" y2="${px(y(max))}"/><circle class="a" cx="${px(x)}" cy="${px(y(mean))}" r="${DOT_PX}"/></g>`;
  }
  const title = `${where}: ${show(value)}`;
  if (panels.mark === 'bar') {
    const height = Math.max(1, place.foot - y(value));
    return html`<rect class="a" x="${px(x - place.column * 0.4)}" y="${px(place.foot - height)}" width="${px(place.column * 0.8)}" height="${px(height)}"><title>${title}</title></rect>`;
  }
  // What is zero has no place on a logarithmic scale: a ring at its foot.
  const kind = value > 0 ? 'a' : 'ring';
  return html`<circle class="${kind}" cx="${px(x)}" cy="${px(y(value))}" r="${DOT_PX}"><title>${title}</title></circle>`;
}

/** 1, 2, 5, 10, 20 … */
function niceLayerStep(least: number): number {
  for (let power = 1; ; power *= 10) {
    const step = [1, 2, 5].map((factor) => factor * power).find((each) => each >= least);
    if (step !== undefined) return step;
  }
}
