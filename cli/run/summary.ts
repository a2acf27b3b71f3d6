/** What a finished run shows: read from the provenance beside its output. */

import { basename } from 'node:path';
import { showCount, showShare } from '../../shared/units.ts';
import { spendingFields } from '../render/spending.ts';
import { renderFields } from '../render/table.ts';
import { hasCheckpoint, type Provenance } from '../verify/provenance-file.ts';
import { formatVerifyCommand } from './shell-commands.ts';

export interface RunSummary {
  readonly job: string;
  readonly layers: number;
  readonly weights: number;
  readonly zeros: number;
  readonly sparsity: number;
  readonly elapsedMs: number;
  /** What the cost model said; null in records of earlier versions. */
  readonly predicted: Provenance['prediction'] | null;
  readonly measured: Provenance['measurement'] | null;
  /** Of each text of the evaluation; none where nothing was evaluated. */
  readonly perplexity: NonNullable<Provenance['perplexity']>;
  readonly output: string;
  /** Null where nothing was published. */
  readonly verify: string | null;
}

export function summarizeRun(provenance: Provenance, output: string, source: string): RunSummary {
  const { weights, zeros, sparsity } = provenance.totals;
  return {
    job: provenance.job.id,
    layers: provenance.layers.length,
    weights,
    zeros,
    sparsity,
    elapsedMs: provenance.times.elapsedMs,
    predicted: provenance.prediction ?? null,
    measured: provenance.measurement ?? null,
    perplexity: provenance.perplexity ?? [],
    output,
    verify: hasCheckpoint(provenance) ? formatVerifyCommand(output, source) : null,
  };
}

export function renderSummary(summary: RunSummary): string {
  return renderFields([
    ['job', summary.job],
    ['layers', String(summary.layers)],
    ['weights', showCount(summary.weights)],
    ['zeros', showCount(summary.zeros)],
    ['sparsity', showShare(summary.sparsity)],
    ...showPerplexity(summary),
    ...spendingFields(summary.elapsedMs, summary.measured ?? null, summary.predicted ?? null),
    ...showRedone(summary),
    ...(summary.verify === null
      ? [['record', `${summary.output} (nothing was published)`] as [string, string]]
      : [['output', summary.output] as [string, string], ['verify', summary.verify] as [string, string]]),
  ]);
}

function showPerplexity({ perplexity }: RunSummary): [string, string][] {
  return perplexity.map(({ text, dense, pruned, ratio }) => [
    'perplexity',
    `${dense.toFixed(3)} before, ${pruned.toFixed(3)} after (${ratio.toFixed(3)} times) on ${basename(text)}`,
  ]);
}

function showRedone({ measured }: RunSummary): [string, string][] {
  const tokens = measured?.tokensRedone ?? 0;
  return tokens === 0 ? [] : [['lost', `${showCount(tokens)} tokens through a layer were computed again`]];
}
