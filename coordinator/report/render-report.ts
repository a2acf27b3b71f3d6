/**
 * `report.html`: what came of a job, for people. A pure function of `secateur.json`, and one file: no script, and nothing
 * that is loaded from anywhere (its content policy forbids it).
 */
import { stringify } from 'yaml';
import { html, type Markup, NOTHING } from '../../shared/plots/markup.ts';
import { showBytes, showCount, showDuration, showShare } from '../../shared/units.ts';
import { budgetSection, columnsSection, outputErrorSection, perplexitySection, sparsitySection } from './plots.ts';
import { baseName, showDecimal, showPerplexity, UNKNOWN } from './quantities.ts';
import { askedFor, type ReportRecord } from './record.ts';
import { STYLE } from './style.ts';
import { folded, table } from './table.ts';
import { timelineSection, workersSection } from './workers.ts';

/** @returns the whole page */
export function renderReport(record: ReportRecord): string {
  const name = record.job.name ?? record.job.id;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>${name}: pruned with secateur</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${summarySection(record, name)}
${perplexitySection(record)}
${sparsitySection(record)}
${budgetSection(record)}
${outputErrorSection(record)}
${columnsSection(record)}
${timelineSection(record)}
${workersSection(record)}
${predictionSection(record)}
${settingsSection(record)}
${filesSection(record)}
</main>
</body>
</html>
`.text;
}

function summarySection(record: ReportRecord, name: string): Markup {
  const { job, model, layers, totals, times, perplexity = [], measurement, versions } = record;
  const { method, amount } = askedFor(record);
  const asked = [method, amount].filter((part) => part !== null).join(', ');
  const architecture = typeof model?.architecture === 'string' ? model.architecture : 'model';
  const facts: [string, string, string][] = [
    ['asked for', asked || UNKNOWN, 'method, amount'],
    ['sparsity reached', showShare(totals.sparsity), `${showCount(totals.zeros)} of ${showCount(totals.weights)}`],
    ...perplexity.map(({ text, dense, pruned, ratio }): [string, string, string] => [
      `perplexity, ${baseName(text)}`,
      `${showPerplexity(dense)} → ${showPerplexity(pruned)}`,
      `${showDecimal(ratio)} times`,
    ]),
    ['time', showDuration(times.elapsedMs), showResumes(times.resumes)],
    ['workers', String(Object.keys(record.workers ?? {}).length), 'that were given a task'],
  ];
  const redone = measurement?.tokensRedone ?? 0;
  if (redone > 0) facts.push(['lost', showCount(redone), 'tokens through a layer, computed again']);
  return html`<h1>${name}</h1>
<p class="muted">${architecture}, ${layers.length} decoder layers, pruned${times.published === undefined ? '' : ` on ${times.published}`} by job ${job.id}${versions === undefined ? '' : ` with secateur ${versions.secateur}`}.</p>
<dl class="facts">
${facts.map(([term, value, note]) => html`<div><dt>${term}</dt><dd>${value}<small>${note}</small></dd></div>\n`)}</dl>
`;
}

function showResumes(resumes = 0): string {
  if (resumes === 0) return 'start to publishing';
  return resumes === 1 ? 'resumed once' : `resumed ${resumes} times`;
}

/** Of a prediction, what was measured as well. */
const PREDICTED: readonly [string, string, (value: number) => string][] = [
  ['totalMs', 'time, start to publishing', showDuration],
  ['computeMs', 'forward passes, added up over the workers', showDuration],
  ['pruneMs', 'choosing weights and writing layers, added up', showDuration],
  ['loadMs', 'loading layers, added up', showDuration],
  ['snapshotMs', 'reading and writing hidden states, added up', showDuration],
  ['bytesRead', 'bytes read', showBytes],
  ['bytesWritten', 'bytes written', showBytes],
  ['workerMemoryBytes', 'memory of the worker with the most', showBytes],
];

function predictionSection({ prediction, measurement }: ReportRecord): Markup {
  if (!prediction || !measurement) return NOTHING;
  const rows = PREDICTED.map(([field, title, show]) => {
    const [predicted, found] = [prediction[field] ?? null, measurement[field] ?? null];
    const shown = (value: number | null): string => (value === null ? UNKNOWN : show(value));
    return { title, predicted: shown(predicted), found: shown(found) };
  });
  return html`<h2>Prediction and measurement</h2>
${table(
  'Prediction and measurement',
  [
    { title: '', value: (row) => row.title, kind: 'name' },
    { title: 'predicted', value: (row) => row.predicted, kind: 'number' },
    { title: 'measured', value: (row) => row.found, kind: 'number' },
  ],
  rows,
)}
`;
}

function settingsSection({ manifest, model, calibration, plan, versions }: ReportRecord): Markup {
  const about = [
    calibration ? `${calibration.samples} calibration samples of ${calibration.sequenceLength} tokens` : '',
    plan ? `stages: ${plan.stages.length}, workers of each: ${plan.replicas ?? UNKNOWN}` : '',
    plan ? `microbatches of ${plan.microbatch} samples` : '',
    versions ? `secateur ${versions.secateur} on Node ${versions.node}` : '',
  ].filter((part) => part !== '');
  return html`<h2>Settings</h2>
<p>${about.join('; ')}.</p>
${manifest === undefined ? NOTHING : html`<pre tabindex="0" aria-label="The manifest of the job">${stringify(manifest)}</pre>`}
${model ? folded('The model', html`<pre>${stringify(model)}</pre>`) : NOTHING}
`;
}

function filesSection({ inputs, outputs }: ReportRecord): Markup {
  const files = (title: string, rows: ReportRecord['outputs']): Markup =>
    folded(
      `${title}: ${rows.length} files, ${showBytes(rows.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))}`,
      table(
        title,
        [
          { title: 'file', value: (row) => row.file, kind: 'name' },
          { title: 'bytes', value: (row) => showCount(row.sizeBytes), kind: 'number' },
          { title: 'SHA-256', value: (row) => row.sha256 ?? UNKNOWN, kind: 'digest' },
        ],
        rows,
      ),
    );
  return html`<h2>Files</h2>
<p>The same with more detail, for programs: <code>secateur.json</code>. Proof that the files are these: <code>secateur verify</code>.</p>
${files('Inputs', [...(inputs.shards ?? []), ...inputs.files, ...(inputs.calibration ?? [])])}
${files('Outputs, this page apart', outputs)}
`;
}
