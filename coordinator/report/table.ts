/** A table of a report: what a plot shows, for those who read numbers or cannot see the plot. */
import { type Content, html, type Markup } from '../../shared/plots/markup.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => Content;
  /** What the column holds, where it is not short text: it is set accordingly. */
  readonly kind?: 'number' | 'name' | 'digest';
}

export function table<Row>(caption: string, columns: readonly Column<Row>[], rows: readonly Row[]): Markup {
  const heads = columns.map(({ title, kind }) => html`<th scope="col" class="${kind ?? ''}">${title}</th>`);
  const body = rows.map(
    (row) => html`<tr>${columns.map(({ value, kind }) => html`<td class="${kind ?? ''}">${value(row)}</td>`)}</tr>\n`,
  );
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table><thead><tr>${heads}</tr></thead><tbody>\n${body}</tbody></table></div>`;
}

/** Folded away: the plot above it says it first. */
export function folded(title: string, content: Content): Markup {
  return html`<details><summary>${title}</summary>${content}</details>`;
}

/** A plot that a narrow page scrolls, and what it shows. */
export function figure(caption: string, plot: Markup): Markup {
  return html`<figure><figcaption>${caption}</figcaption><div class="scroll" role="region" aria-label="${caption}" tabindex="0">${plot}</div></figure>`;
}
