/** Who computed a job, and when: the timeline, and the workers with what they brought. */
import { html, type Markup, NOTHING } from '../../shared/plots/markup.ts';
import { timeline } from '../../shared/plots/timeline.ts';
import { showBytes, showDuration, showShare, showShort } from '../../shared/units.ts';
import { UNKNOWN } from './quantities.ts';
import type { RecordedSpan, ReportRecord } from './record.ts';
import { figure, folded, table } from './table.ts';

/** More rows than that are no picture any more: the table has them all. */
const ROWS_MAX = 48;

/** From the top; `kinds` are those of the record (coordinator/core/timeline.ts). */
const LANES = [
  { label: 'inputs: tokens, texts, digests', kind: 'other', kinds: ['prepare', 'digest'] },
  { label: 'calibrate: passes that bring statistics', kind: 'calibrate', kinds: ['calibrate'] },
  { label: 'forward: passes through the pruned layer', kind: 'forward', kinds: ['forward'] },
  { label: 'prune; count outliers', kind: 'prune', kinds: ['prune', 'survey'] },
  { label: 'evaluate', kind: 'evaluate', kinds: ['evaluate'] },
] as const;
/** Hand-overs, and what was merged from several kinds: under the others. */
const OTHER_LANE = { label: 'hand over, or several kinds', kind: 'other' } as const;

function laneOf(kind: string): number {
  const lane = LANES.findIndex(({ kinds }) => (kinds as readonly string[]).includes(kind));
  return lane === -1 ? LANES.length : lane;
}

const faultsOf = ({ failed = 0, lost = 0 }: RecordedSpan): number => failed + lost;

function describeSpan(worker: string, span: RecordedSpan): string {
  const { kind, layers, fromMs, toMs, busyMs, computeMs, ioMs, tasks, failed = 0, lost = 0, stopped = 0 } = span;
  const where =
    layers === undefined ? '' : layers[0] === layers[1] ? `, layer ${layers[0]}` : `, layers ${layers.join('–')}`;
  const ends = [
    failed > 0 ? `${failed} failed` : '',
    lost > 0 ? `${lost} lost with the worker` : '',
    stopped > 0 ? `${stopped} stopped` : '',
  ].filter((part) => part !== '');
  return [
    `${worker}: ${kind}${where}`,
    `from ${showDuration(fromMs)} to ${showDuration(toMs)}`,
    `busy ${showDuration(busyMs)}`,
    ...(computeMs === undefined ? [] : [`computing ${showDuration(computeMs)}`]),
    ...(ioMs === undefined ? [] : [`reading and writing ${showDuration(ioMs)}`]),
    `${tasks} ${tasks === 1 ? 'task' : 'tasks'}`,
    ...ends,
  ].join(', ');
}

export function timelineSection({ timeline: rows = [], times }: ReportRecord): Markup {
  if (rows.length === 0) return NOTHING;
  const lanes = [...LANES, OTHER_LANE];
  const shown = rows.slice(0, ROWS_MAX);
  const ends = rows.flatMap(({ spans }) => spans.map(({ toMs }) => toMs));
  const plot = timeline({
    name: 'What each worker did, over time',
    lanes,
    totalMs: ends.reduce((a, b) => Math.max(a, b), times.elapsedMs),
    rows: shown.map(({ worker, spans }) => ({
      label: worker,
      bars: spans.map((span) => ({
        lane: laneOf(span.kind),
        fromMs: span.fromMs,
        toMs: span.toMs,
        title: describeSpan(worker, span),
        isFault: faultsOf(span) > 0,
      })),
    })),
  });
  const left = rows.length - shown.length;
  const busy = (spans: readonly RecordedSpan[], lane: number): string => {
    const ms = spans.filter(({ kind }) => laneOf(kind) === lane).reduce((sum, { busyMs }) => sum + busyMs, 0);
    return ms === 0 ? UNKNOWN : showDuration(ms);
  };
  const sum = (spans: readonly RecordedSpan[], of: (span: RecordedSpan) => number | undefined): number =>
    spans.reduce((total, span) => total + (of(span) ?? 0), 0);
  const timeOf = (ms: number): string => (ms <= 0 ? UNKNOWN : showDuration(ms));
  /** From its first task to its last. */
  const elapsed = (spans: readonly RecordedSpan[]): number =>
    Math.max(0, (spans.at(-1)?.toMs ?? 0) - (spans[0]?.fromMs ?? 0));
  const shareComputing = (spans: readonly RecordedSpan[]): string => {
    const computing = sum(spans, ({ computeMs }) => computeMs);
    return computing === 0 ? UNKNOWN : showShare(computing / Math.max(computing, elapsed(spans)));
  };
  return html`<h2>Timeline</h2>
<ul class="legend">${lanes.map(({ label, kind }, lane) => html`<li><span class="key ${kind}"></span>lane ${lane + 1}: ${label}</li>`)}</ul>
${figure(
  `One row a worker, a lane for each kind of task. A cross is a task that failed or was lost.${left > 0 ? ` The first ${ROWS_MAX} workers; the table has ${left} more.` : ''}`,
  plot,
)}
${folded(
  'Time of each worker as a table',
  table(
    'Time of each worker',
    [
      { title: 'worker', value: (row) => row.worker, kind: 'name' },
      { title: 'tasks', value: (row) => sum(row.spans, ({ tasks }) => tasks), kind: 'number' },
      { title: 'inputs', value: (row) => busy(row.spans, 0), kind: 'number' },
      { title: 'calibrate', value: (row) => busy(row.spans, 1), kind: 'number' },
      { title: 'forward', value: (row) => busy(row.spans, 2), kind: 'number' },
      { title: 'prune', value: (row) => busy(row.spans, 3), kind: 'number' },
      { title: 'evaluate', value: (row) => busy(row.spans, 4), kind: 'number' },
      { title: 'other', value: (row) => busy(row.spans, 5), kind: 'number' },
      { title: 'computing', value: (row) => timeOf(sum(row.spans, ({ computeMs }) => computeMs)), kind: 'number' },
      { title: 'reading, writing', value: (row) => timeOf(sum(row.spans, ({ ioMs }) => ioMs)), kind: 'number' },
      {
        title: 'waiting',
        value: (row) => timeOf(elapsed(row.spans) - sum(row.spans, ({ busyMs }) => busyMs)),
        kind: 'number',
      },
      { title: 'computing, of its time', value: (row) => shareComputing(row.spans), kind: 'number' },
      { title: 'failed', value: (row) => sum(row.spans, ({ failed }) => failed), kind: 'number' },
      { title: 'lost', value: (row) => sum(row.spans, ({ lost }) => lost), kind: 'number' },
    ],
    rows,
  ),
)}
`;
}

export function workersSection({ workers = {}, timeline: rows = [] }: ReportRecord): Markup {
  const all = Object.entries(workers);
  if (all.length === 0) return NOTHING;
  const rates = new Map(rows.map(({ worker, tokensPerSecond }) => [worker, tokensPerSecond]));
  const rate = (perSecond: number | null | undefined, show: (value: number) => string): string =>
    perSecond ? `${show(perSecond)}/s` : UNKNOWN;
  return html`<h2>Workers</h2>
${table(
  'Workers',
  [
    { title: 'worker', value: ([id]) => id, kind: 'name' },
    { title: 'provider', value: ([, worker]) => worker.provider },
    { title: 'threads', value: ([, worker]) => worker.threads, kind: 'number' },
    { title: 'memory', value: ([, worker]) => showBytes(worker.memoryBytes), kind: 'number' },
    { title: 'tokens through a layer', value: ([id]) => rate(rates.get(id), showShort), kind: 'number' },
    {
      title: 'compute',
      value: ([, worker]) => rate(worker.computeFlops, (value) => `${showShort(value).replace(/[kMG]?$/, ' $&')}FLOP`),
      kind: 'number',
    },
    { title: 'reads', value: ([, worker]) => rate(worker.storageReadBytesPerSecond, showBytes), kind: 'number' },
    { title: 'secateur', value: ([, worker]) => worker.version },
    { title: 'ONNX Runtime', value: ([, worker]) => worker.engineVersion },
  ],
  all,
)}
`;
}
