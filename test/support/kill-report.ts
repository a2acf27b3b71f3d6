/** What a disturbance cost, out of the job's own events, and the table of many. */
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import { writeReport } from './report-file.ts';
import type { JobRun } from './supervised-cluster.ts';

export interface Disturbance {
  /** Grouped by this in the table: what was done to whom. */
  readonly kind: string;
  readonly point: string;
  readonly atMs: number;
}

export interface KillRow extends Disturbance {
  /** To the first event that says that something is missing or has begun anew; null where nobody had to notice. */
  readonly detectionMs: number | null;
  /** To the next committed layer, or to the job's end. */
  readonly recoveryMs: number | null;
  /** Tasks that were begun beyond those of a quiet run, as a share of these. */
  readonly redone: number;
  readonly flaws: readonly string[];
}

const NOTICED = [
  'task.lost',
  'task.failed',
  'worker.detached',
  'worker.attached',
  'job.effectFailed',
  'job.failed',
].map(typeOf);
const RECOVERED = ['layer.committed', 'job.succeeded'].map(typeOf);

export class KillReport {
  private readonly rows: KillRow[] = [];

  /** @param quietBegun how many tasks the undisturbed job takes */
  add(disturbance: Disturbance, run: JobRun, quietBegun: number, flaws: readonly string[]): void {
    const { atMs } = disturbance;
    const epochBefore = Number(run.told.findLast((event) => timeOf(event) <= atMs)?.data.epoch ?? 0);
    const after = run.told.filter((event) => timeOf(event) > atMs);
    const since = (event: CloudEvent | undefined): number | null => (event === undefined ? null : timeOf(event) - atMs);
    this.rows.push({
      ...disturbance,
      detectionMs: since(
        after.find((event) => NOTICED.includes(event.type) || Number(event.data.epoch ?? 0) > epochBefore),
      ),
      recoveryMs: since(after.find((event) => RECOVERED.includes(event.type))),
      redone: Math.max(0, (run.begun - quietBegun) / quietBegun),
      flaws,
    });
  }

  /** The table, for people; empty where nothing was disturbed. */
  render(): string {
    const kinds = [...new Set(this.rows.map((row) => row.kind))];
    const lines = kinds.map((kind) =>
      renderGroup(
        kind,
        this.rows.filter((row) => row.kind === kind),
      ),
    );
    const head = `${'disturbed'.padEnd(34)}${['points', 'runs', 'wrong'].map(right(8)).join('')}${['noticed', '(max)', 'recovered', '(max)', 'redone'].map(right(11)).join('')}`;
    return this.rows.length === 0 ? '' : [head, ...lines, renderGroup('all', this.rows)].join('\n');
  }

  write(): void {
    writeReport('kill-matrix', this.rows);
  }
}

function renderGroup(kind: string, rows: readonly KillRow[]): string {
  const points = new Set(rows.map((row) => row.point)).size;
  const wrong = rows.filter((row) => row.flaws.length > 0).length;
  const redone = rows.reduce((sum, row) => sum + row.redone, 0) / rows.length;
  const times = [rows.map((row) => row.detectionMs), rows.map((row) => row.recoveryMs)].flatMap((each) => {
    const known = each.filter((ms) => ms !== null).sort((a, b) => a - b);
    return [known[Math.floor(known.length / 2)], known.at(-1)];
  });
  return [
    kind.padEnd(34),
    ...[points, rows.length, wrong].map((count) => right(8)(String(count))),
    ...times.map((ms) => right(11)(ms === undefined ? '-' : `${(ms / 1000).toFixed(2)} s`)),
    right(11)(`${(redone * 100).toFixed(1)} %`),
  ].join('');
}

function right(width: number): (text: string) => string {
  return (text) => text.padStart(width);
}

function typeOf(name: string): string {
  return `secateur.${name}.v1`;
}

function timeOf(event: CloudEvent): number {
  return Date.parse(event.time);
}
