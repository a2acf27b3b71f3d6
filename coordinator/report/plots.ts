/** The plots of a report, and the tables that say the same. Each gives nothing where its record has nothing of the kind. */
import { barChart } from '../../shared/plots/bar-chart.ts';
import { type LayerValue, layerPanels, type PanelRow } from '../../shared/plots/layer-panels.ts';
import { html, type Markup, NOTHING } from '../../shared/plots/markup.ts';
import { logScale, SHARE_SCALE } from '../../shared/plots/scale.ts';
import { showCount, showShare } from '../../shared/units.ts';
import { baseName, linearName, showDecade, showDecimal, showPerplexity, UNKNOWN } from './quantities.ts';
import type { ReportRecord } from './record.ts';
import { figure, folded, table } from './table.ts';

const shareOrUnknown = (share: number | null): string => (share === null ? UNKNOWN : showShare(share));
const showShareTick = (share: number): string => `${Math.round(share * 1000) / 10} %`;

export function perplexitySection({ perplexity = [] }: ReportRecord): Markup {
  if (perplexity.length === 0) return NOTHING;
  const groups = perplexity.map(({ text, dense, pruned }) => ({
    label: baseName(text),
    bars: [
      { label: 'before', value: dense ?? 0, kind: 'a' },
      { label: 'after', value: pruned ?? 0, kind: 'b' },
    ],
  }));
  const plot = barChart({
    name: 'Perplexity before and after pruning, by text',
    axis: 'perplexity',
    groups,
    show: showPerplexity,
  });
  return html`<h2>Perplexity</h2>
${figure('Before and after pruning, on each text. Lower is better.', plot)}
${folded(
  'Perplexity as a table',
  table(
    'Perplexity',
    [
      { title: 'text', value: (row) => row.text, kind: 'name' },
      { title: 'windows', value: (row) => row.windows ?? UNKNOWN, kind: 'number' },
      { title: 'tokens a window', value: (row) => row.sequenceLength ?? UNKNOWN, kind: 'number' },
      { title: 'before', value: (row) => showPerplexity(row.dense), kind: 'number' },
      { title: 'after', value: (row) => showPerplexity(row.pruned), kind: 'number' },
      { title: 'after / before', value: (row) => showDecimal(row.ratio), kind: 'number' },
    ],
    perplexity,
  ),
)}
`;
}

/** Linears in the order in which they are computed: that of the first layer that has them. */
function linearsOf(record: ReportRecord): string[] {
  return [...new Set(record.layers.flatMap(({ tensors }) => Object.keys(tensors).map(linearName)))];
}

type Tensor = ReportRecord['layers'][number]['tensors'][string];

function byLinear(record: ReportRecord, value: (tensor: Tensor) => number | null): PanelRow[] {
  return linearsOf(record).map((linear) => ({
    label: linear,
    values: record.layers.map(({ tensors }) => {
      const found = Object.entries(tensors).find(([name]) => linearName(name) === linear)?.[1];
      return found === undefined ? null : value(found);
    }),
  }));
}

function sparsityOfLayer({ tensors }: ReportRecord['layers'][number]): number | null {
  const all = Object.values(tensors);
  const elements = all.reduce((sum, tensor) => sum + tensor.elements, 0);
  return elements === 0 ? null : all.reduce((sum, tensor) => sum + tensor.zeros, 0) / elements;
}

/** The same numbers as a table: a row a layer, a column for each row of the plot. */
function layerTable(title: string, rows: readonly PanelRow[], show: (value: LayerValue | null) => string): Markup {
  const layers = Math.max(0, ...rows.map(({ values }) => values.length));
  const indices = Array.from({ length: layers }, (_, layer) => layer);
  const columns = [
    { title: 'layer', value: (layer: number) => layer, kind: 'number' as const },
    ...rows.map(({ label, values }) => ({
      title: label,
      value: (layer: number) => show(values[layer] ?? null),
      kind: 'number' as const,
    })),
  ];
  return folded(title, table(title, columns, indices));
}

export function sparsitySection(record: ReportRecord): Markup {
  const rows = [
    { label: 'whole layer', values: record.layers.map(sparsityOfLayer) },
    ...byLinear(record, ({ zeros, elements }) => (elements === 0 ? null : zeros / elements)),
  ];
  const plot = layerPanels({
    name: 'Sparsity of every layer and of each of its linears',
    scale: SHARE_SCALE,
    mark: 'bar',
    rows,
    show: showShareTick,
  });
  const { zeros, weights, sparsity, prunedTensors } = record.totals;
  return html`<h2>Sparsity</h2>
<p>${showCount(zeros)} of ${showCount(weights)} weights in ${showCount(prunedTensors)} pruned matrices are zero: ${showShare(sparsity)}. Linears that keep every weight are left out.</p>
${figure('Share of zeros, by layer. A linear has no bar where it was not pruned.', plot)}
${layerTable('Sparsity as a table', rows, (value) => shareOrUnknown(value as number | null))}
`;
}

/** What each layer's sparsity was chosen by, where it was. */
export function budgetSection({ layers }: ReportRecord): Markup {
  const budgets = layers.map(({ budget }) => budget ?? null);
  const scale = logScale(budgets.map((budget) => budget?.outlierRatio ?? 0));
  if (scale === null) return NOTHING;
  const rows = [{ label: 'outliers', values: budgets.map((budget) => budget?.outlierRatio ?? null) }];
  const plot = layerPanels({
    name: 'Share of outliers among the weights of every layer',
    scale,
    mark: 'dot',
    rows,
    show: showDecade,
  });
  return html`<h2>Outliers of layers</h2>
<p>Weights that stand out of their layer, by their size times the norm of their input: layers with more of them keep more of their weights.</p>
${figure('Share of outliers, by layer, on a logarithmic scale.', plot)}
${folded(
  'Outliers as a table',
  table(
    'Outliers of layers',
    [
      { title: 'layer', value: (row) => row.layer, kind: 'number' },
      { title: 'outliers', value: ({ budget }) => shareOrUnknown(budget?.outlierRatio ?? null), kind: 'number' },
      { title: 'sparsity', value: ({ budget }) => shareOrUnknown(budget?.sparsity ?? null), kind: 'number' },
    ],
    layers,
  ),
)}
`;
}

export function outputErrorSection(record: ReportRecord): Markup {
  if (!record.layers.some(({ outputError }) => typeof outputError === 'number')) return NOTHING;
  const rows = [
    { label: 'whole layer', values: record.layers.map(({ outputError }) => outputError ?? null) },
    ...byLinear(record, ({ outputError }) => outputError ?? null),
  ];
  const values = rows.flatMap((row) => row.values as (number | null)[]).filter((value) => value !== null);
  const scale = logScale(values);
  const plot =
    scale === null
      ? html`<p>No output changed: every error is zero.</p>`
      : figure(
          'Relative squared error, by layer, on a logarithmic scale. A ring at the foot is an error of zero.',
          layerPanels({
            name: 'Relative squared error of the outputs of every layer and of each of its linears',
            scale,
            mark: 'dot',
            rows,
            show: showDecade,
          }),
        );
  return html`<h2>Output error</h2>
<p>What pruning changed in the output of each linear, on calibration samples: the sum of (W x − W′ x)² over that of (W x)². Without unit.</p>
${plot}
${layerTable('Output errors as a table', rows, (value) => showDecimal(value as number | null))}
`;
}

type Statistic = NonNullable<ReportRecord['statistics']>[number];

function byStatistic(record: ReportRecord, value: (statistic: Statistic) => LayerValue | null): PanelRow[] {
  const { statistics = [], layers } = record;
  return [...new Set(statistics.map(({ statistic }) => statistic))].map((name) => {
    const values: (LayerValue | null)[] = layers.map(() => null);
    for (const each of statistics) {
      if (each.statistic === name && Object.hasOwn(values, each.layer)) values[each.layer] = value(each);
    }
    return { label: name, values };
  });
}

/** How uneven the columns are that Wanda's norms come from: what makes it differ from magnitude. */
export function columnsSection(record: ReportRecord): Markup {
  const { statistics = [], statisticsMissing = [] } = record;
  if (statistics.length === 0) return NOTHING;
  const scale = logScale(statistics.flatMap(({ min, mean, max }) => [min ?? 0, mean ?? 0, max ?? 0]));
  const rows = byStatistic(record, ({ min, mean, max }) =>
    min === null || mean === null || max === null ? null : { min, mean, max },
  );
  const shares = byStatistic(record, ({ topShare }) => topShare ?? null);
  const ranges =
    scale === null
      ? html`<p>Every input is zero.</p>`
      : figure(
          'Sum of squares of a column over all calibration tokens: least to largest as a line, mean as a dot, by layer, on a logarithmic scale.',
          layerPanels({
            name: 'Sums of squares of input columns, by statistic and layer',
            scale,
            mark: 'dot',
            rows,
            show: showDecade,
          }),
        );
  const top = shares.some(({ values }) => values.some((value) => value !== null))
    ? figure(
        'Share of the energy (the sum of all squares) that the strongest 1 % of the columns carry, by layer. 1 % where no column stands out.',
        layerPanels({
          name: 'Share of energy in the strongest 1 % of input columns',
          scale: SHARE_SCALE,
          mark: 'bar',
          rows: shares,
          show: showShareTick,
        }),
      )
    : NOTHING;
  return html`<h2>Outlier columns</h2>
<p>The inputs of the linears, as calibration saw them. Where few columns carry much of the energy, their weights are kept before others.${statisticsMissing.length === 0 ? '' : ` Not known any more of layers ${statisticsMissing.join(', ')}: their sums were damaged.`}</p>
${ranges}
${top}
${folded(
  'Input columns as a table',
  table(
    'Input columns',
    [
      { title: 'layer', value: (row) => row.layer, kind: 'number' },
      { title: 'input', value: (row) => row.statistic },
      { title: 'columns', value: (row) => showCount(row.columns), kind: 'number' },
      { title: 'least', value: (row) => showDecimal(row.min), kind: 'number' },
      { title: 'mean', value: (row) => showDecimal(row.mean), kind: 'number' },
      { title: 'largest', value: (row) => showDecimal(row.max), kind: 'number' },
      { title: 'energy in top 1 %', value: (row) => shareOrUnknown(row.topShare ?? null), kind: 'number' },
    ],
    statistics,
  ),
)}
`;
}
