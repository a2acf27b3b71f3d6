/**
 * A comparison as an SVG plot: perplexity over sparsity, one panel a text, one line a method, N:M patterns as columns of
 * their own beside. Text and axes take the colour scheme of the reader. Pure.
 */
import { basename } from 'node:path';
import { linearScale } from '../../shared/plots/scale.ts';
import type { Comparison, TrialResult } from './comparison.ts';

const PANEL = { width: 640, height: 360, left: 70, right: 150, top: 40, bottom: 50 };
const PLOT_WIDTH = PANEL.width - PANEL.left - PANEL.right;
const PLOT_HEIGHT = PANEL.height - PANEL.top - PANEL.bottom;
/** Of a pattern. */
const COLUMN_WIDTH_MAX = 60;
/** From here on, small values would lie on each other: the axis becomes logarithmic. */
const LINEAR_RANGE_MAX = 5;
/** About so many, between the ticks of a linear axis. */
const INTERVALS = 5;
/** Readable on white and on black, and told apart by people who do not see red and green. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#8c6bb1', '#b8860b'];
const STYLE = [
  'text{font:12px sans-serif;fill:#222}',
  '.title{font-size:14px}',
  '.axis{stroke:#222;fill:none}',
  '.grid{stroke:#8888;stroke-width:.5}',
  '.dense{stroke:#888;stroke-dasharray:4 4}',
  '@media(prefers-color-scheme:dark){text{fill:#ddd}.axis{stroke:#ddd}}',
].join('');

interface Scale {
  readonly x: (amount: TrialResult) => number;
  readonly shareTicks: readonly { readonly label: string; readonly x: number }[];
  readonly y: (perplexity: number) => number;
  readonly ticks: readonly number[];
  readonly isLogarithmic: boolean;
}

interface Point {
  readonly perplexity: number;
  readonly trial: TrialResult;
}

export function plotComparison(comparison: Comparison): string {
  const panels = comparison.dense.map(({ text }, index) => panelOf(comparison, text, index * PANEL.height));
  const height = PANEL.height * Math.max(1, panels.length);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PANEL.width} ${height}" width="${PANEL.width}" height="${height}" role="img">`,
    `<title>${escapeText(`${comparison.name}: perplexity over sparsity`)}</title>`,
    `<style>${STYLE}</style>`,
    ...panels,
    '</svg>\n',
  ].join('\n');
}

function panelOf(comparison: Comparison, text: string, top: number): string {
  const dense = comparison.dense.find((each) => each.text === text)?.perplexity ?? 1;
  const points = comparison.trials.flatMap((trial): Point[] => {
    const found = trial.perplexity.find((each) => each.text === text);
    if (found === undefined || !Number.isFinite(found.perplexity)) return [];
    return [{ perplexity: found.perplexity, trial }];
  });
  const scale = {
    ...horizontalScale(comparison.trials),
    ...verticalScale([dense, ...points.map(({ perplexity }) => perplexity)]),
  };
  const methods = [...new Set(comparison.trials.map(({ method }) => method))];
  const title = `${comparison.name} on ${basename(text)}${scale.isLogarithmic ? ' (logarithmic)' : ''}`;
  return [
    `<g transform="translate(0 ${top})">`,
    `<text class="title" x="${PANEL.left}" y="24">${escapeText(title)}</text>`,
    ...axes(scale),
    `<path class="dense" d="M${PANEL.left} ${scale.y(dense)}h${PLOT_WIDTH}"/>`,
    `<text x="${PANEL.left + PLOT_WIDTH + 8}" y="${scale.y(dense) + 4}">dense ${short(dense)}</text>`,
    ...methods.flatMap((method, index) =>
      series(
        points.filter(({ trial }) => trial.method === method),
        scale,
        COLOURS[index % COLOURS.length] as string,
      ),
    ),
    ...methods.flatMap((method, index) => legend(method, index)),
    '</g>',
  ].join('\n');
}

/** The sparsities on an axis of tens of percent, then the patterns, each with a column. */
function horizontalScale(trials: readonly TrialResult[]): Pick<Scale, 'x' | 'shareTicks'> {
  const patterns = [...new Set(trials.filter(isPattern).map(({ amount }) => amount))];
  const shares = trials.filter((trial) => !isPattern(trial)).map(({ share }) => share);
  const columnWidth = shares.length === 0 ? PLOT_WIDTH / patterns.length : COLUMN_WIDTH_MAX;
  const width = Math.max(PLOT_WIDTH / 3, PLOT_WIDTH - patterns.length * columnWidth);
  const [first, last] = [Math.floor(Math.min(...shares, 1) * 10), Math.ceil(Math.max(...shares, 0) * 10)];
  const [from, to] = first === last ? [first - 1, last + 1] : [first, last];
  const ofShare = (share: number): number => round(PANEL.left + ((share * 10 - from) / (to - from)) * width);
  const begin = shares.length === 0 ? 0 : width;
  const step = (PLOT_WIDTH - begin) / Math.max(1, patterns.length);
  const ofPattern = (amount: string): number => round(PANEL.left + begin + (patterns.indexOf(amount) + 0.5) * step);
  const tens = shares.length === 0 ? [] : Array.from({ length: to - from + 1 }, (_, index) => from + index);
  return {
    x: (trial) => (isPattern(trial) ? ofPattern(trial.amount) : ofShare(trial.share)),
    shareTicks: [
      ...tens.map((ten) => ({ label: `${ten * 10} %`, x: ofShare(ten / 10) })),
      ...patterns.map((pattern) => ({ label: pattern, x: ofPattern(pattern) })),
    ],
  };
}

function isPattern({ amount }: TrialResult): boolean {
  return amount.includes(':');
}

function verticalScale(values: readonly number[]): Pick<Scale, 'y' | 'ticks' | 'isLogarithmic'> {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const isLogarithmic = most / least > LINEAR_RANGE_MAX;
  const ticks = isLogarithmic ? decadeTicks(least, most) : linearScale(most, INTERVALS).ticks;
  const place = isLogarithmic ? Math.log : (value: number): number => value;
  const [from, to] = [place(ticks[0] as number), place(ticks.at(-1) as number)];
  const y = (value: number): number => round(PANEL.top + PLOT_HEIGHT * (1 - (place(value) - from) / (to - from)));
  return { y, ticks, isLogarithmic };
}

/** 1, 2 and 5 times powers of ten around the values; only the powers where those would be too many. */
function decadeTicks(least: number, most: number): number[] {
  const factors = most / least > 1e4 ? [1] : [1, 2, 5];
  const first = Math.floor(Math.log10(least));
  const all = Array.from({ length: Math.ceil(Math.log10(most)) - first + 2 }, (_, index) => 10 ** (first + index));
  const marks = all.flatMap((power) => factors.map((factor) => Number((factor * power).toPrecision(12))));
  const from = marks.findLastIndex((mark) => mark <= least);
  const to = marks.findIndex((mark) => mark >= most);
  return marks.slice(Math.max(0, from), to + 1);
}

function axes({ y, ticks, shareTicks }: Scale): string[] {
  const bottom = PANEL.top + PLOT_HEIGHT;
  return [
    ...ticks.flatMap((tick) => [
      `<path class="grid" d="M${PANEL.left} ${y(tick)}h${PLOT_WIDTH}"/>`,
      `<text x="${PANEL.left - 8}" y="${y(tick) + 4}" text-anchor="end">${short(tick)}</text>`,
    ]),
    ...shareTicks.map(
      ({ label, x }) => `<text x="${x}" y="${bottom + 18}" text-anchor="middle">${escapeText(label)}</text>`,
    ),
    `<path class="axis" d="M${PANEL.left} ${PANEL.top}V${bottom}H${PANEL.left + PLOT_WIDTH}"/>`,
    `<text x="${PANEL.left + PLOT_WIDTH / 2}" y="${bottom + 38}" text-anchor="middle">sparsity</text>`,
    `<text x="16" y="${PANEL.top + PLOT_HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 ${PANEL.top + PLOT_HEIGHT / 2})">perplexity</text>`,
  ];
}

/** A line through the unstructured sparsities; patterns as squares, since they are no sparsity among others. */
function series(points: readonly Point[], { x, y }: Scale, colour: string): string[] {
  const line = points.filter(({ trial }) => !isPattern(trial)).toSorted((a, b) => a.trial.share - b.trial.share);
  const joined = line.map(({ trial, perplexity }) => `${x(trial)},${y(perplexity)}`).join(' ');
  return [
    ...(line.length < 2 ? [] : [`<polyline fill="none" stroke="${colour}" stroke-width="2" points="${joined}"/>`]),
    ...points.map(({ trial, perplexity }) => {
      const [left, top] = [x(trial), y(perplexity)];
      const tooltip = `<title>${escapeText(`${trial.method} ${trial.amount}: ${short(perplexity)}`)}</title>`;
      return isPattern(trial)
        ? `<rect x="${left - 4}" y="${top - 4}" width="8" height="8" fill="none" stroke="${colour}" stroke-width="2">${tooltip}</rect>`
        : `<circle cx="${left}" cy="${top}" r="4" fill="${colour}">${tooltip}</circle>`;
    }),
  ];
}

function legend(method: string, index: number): string[] {
  const [left, top] = [PANEL.left + PLOT_WIDTH + 16, PANEL.top + 8 + index * 18];
  return [
    `<path stroke="${COLOURS[index % COLOURS.length]}" stroke-width="2" d="M${left} ${top}h20"/>`,
    `<text x="${left + 26}" y="${top + 4}">${escapeText(method)}</text>`,
  ];
}

function short(value: number): string {
  return value >= 1e5 ? value.toExponential(0).replace('+', '') : String(Number(value.toPrecision(4)));
}

function round(value: number): number {
  return Number(value.toFixed(1));
}

function escapeText(text: string): string {
  return text.replace(/[<>&"]/g, (character) => `&#${character.charCodeAt(0)};`).replace(/\p{Cc}/gu, '\uFFFD');
}
