/** A comparison as a table for the terminal and as Markdown: the dense model first, the best of each amount marked. Pure. */
import { basename } from 'node:path';
import { showDuration, showShare } from '../../shared/units.ts';
import { type Column, clean, renderTable } from '../render/table.ts';
import { type Comparison, isBest, ratioOf, type TextFigure, type TrialResult } from './comparison.ts';

const NOTHING = '-';
const MESSAGE_LENGTH_MAX = 160;

interface Row {
  readonly method: string;
  readonly amount: string;
  readonly perplexity: readonly TextFigure[];
  /** Null: of the dense model. */
  readonly trial: TrialResult | null;
}

function rowsOf({ dense, trials }: Comparison): Row[] {
  return [
    { method: 'dense', amount: NOTHING, perplexity: dense, trial: null },
    ...trials.map((trial) => ({
      method: trial.method,
      amount: trial.amount,
      perplexity: trial.perplexity,
      trial,
    })),
  ];
}

function columnsOf(comparison: Comparison, mark: (text: string) => string): Column<Row>[] {
  const isAlone = comparison.dense.length < 2;
  const measures = comparison.dense.flatMap(({ text }): Column<Row>[] => [
    {
      title: isAlone ? 'perplexity' : basename(text),
      value: ({ perplexity, trial }) => {
        const found = perplexity.find((each) => each.text === text);
        if (found === undefined) return NOTHING;
        const shown = showPerplexity(found.perplexity);
        return trial !== null && isBest(comparison, trial, text) ? mark(shown) : shown;
      },
      align: 'right',
    },
    {
      title: 'ratio',
      value: ({ trial }) => {
        const ratio = trial === null ? 1 : ratioOf(comparison, trial, text);
        return ratio === null ? NOTHING : ratio.toFixed(3);
      },
      align: 'right',
    },
  ]);
  const known = (value: number | null | undefined, show: (value: number) => string): string =>
    value === null || value === undefined ? NOTHING : show(value);
  return [
    { title: 'method', value: ({ method }) => method },
    { title: 'amount', value: ({ amount }) => amount, align: 'right' },
    ...measures,
    { title: 'choosing', value: ({ trial }) => known(trial?.pruneMs, showDuration), align: 'right' },
    { title: 'total', value: ({ trial }) => known(trial?.totalMs, showDuration), align: 'right' },
    { title: 'sparsity', value: ({ trial }) => known(trial?.sparsity, showShare), align: 'right' },
  ];
}

/** `5.683`, `1.2e+5`: perplexities of a broken model have many digits, and none of them means anything. */
function showPerplexity(value: number): string {
  return value < 10_000 ? value.toFixed(3) : value.toPrecision(3);
}

export function renderComparison(comparison: Comparison): string {
  const columns = columnsOf(comparison, (shown) => `*${shown}`).map((column) => ({
    ...column,
    title: column.title.toUpperCase(),
  }));
  return [renderTable(columns, rowsOf(comparison)), ...remarks(comparison, '*')].join('\n\n');
}

export function comparisonMarkdown(comparison: Comparison): string {
  const columns = columnsOf(comparison, (shown) => `**${shown}**`);
  const line = (cells: readonly string[]): string => `| ${cells.map(escapeCell).join(' | ')} |`;
  const table = [
    line(columns.map(({ title }) => title)),
    `|${columns.map(({ align }) => (align === 'right' ? '---:' : '---')).join('|')}|`,
    ...rowsOf(comparison).map((row) => line(columns.map(({ value }) => value(row)))),
  ].join('\n');
  const { name, propagate } = comparison;
  const settings = `Source \`${comparison.source}\`, calibrated on ${propagate === 'dense' ? 'dense' : 'pruned'} activations.`;
  return `${[`# ${name}`, settings, table, ...remarks(comparison, 'bold'), '![perplexity over sparsity](compare.svg)'].join('\n\n')}\n`;
}

function remarks(comparison: Comparison, mark: string): string[] {
  const { dense, trials, missing } = comparison;
  const hasBest = trials.some((trial) => dense.some(({ text }) => isBest(comparison, trial, text)));
  const failed = trials.filter(({ failure }) => failure !== null);
  return [
    ...(hasBest
      ? [
          `${mark}: the lowest perplexity of those of the same amount. choosing: weights chosen and written, added up over the layers.`,
        ]
      : []),
    ...failed.map(({ name, failure }) => `${name} failed: ${shorten(failure?.message ?? '')} [${failure?.code}]`),
    ...(missing.length === 0 ? [] : [`not done yet: ${missing.join(', ')}`]),
  ];
}

function shorten(message: string): string {
  const text = clean(message);
  return text.length <= MESSAGE_LENGTH_MAX ? text : `${text.slice(0, MESSAGE_LENGTH_MAX - 1)}…`;
}

function escapeCell(text: string): string {
  return clean(text).replaceAll('|', '\\|');
}
