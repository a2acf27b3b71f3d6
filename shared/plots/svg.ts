/** What all plots share: their frame, their numbers, their labels. */
import { type Content, html, type Markup, shortened } from './markup.ts';

/** Of the type that plots are labelled with, in pixels: what a label takes is judged by it. */
const CHARACTER_WIDTH_PX = 6.6;

/** The room for row labels at the left of every plot, in pixels. */
export const LABEL_WIDTH_PX = 168;

/**
 * An SVG of that many pixels, with what it shows as its accessible name. It keeps its size: a page that is narrower lets
 * the reader scroll it, since labels that shrink with it could not be read.
 */
export function svgFrame(name: string, widthPx: number, heightPx: number, content: Content): Markup {
  const [width, height] = [px(widthPx), px(heightPx)];
  return html`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${name}">${content}</svg>`;
}

/** A length to a tenth of a pixel: the same picture, half the bytes. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** A row's name at the left, its middle left out where it is long; the whole of it on hovering. */
export function rowLabel(text: string, y: number): Markup {
  const shown = shortened(text, Math.floor((LABEL_WIDTH_PX - 52) / CHARACTER_WIDTH_PX));
  return html`<text x="0" y="${px(y)}" dominant-baseline="middle">${shown}<title>${text}</title></text>`;
}
