/** What a finished run shows: read from the provenance beside its output. */

import { renderFields } from '../render/table.ts';
import { showCount, showDuration, showShare } from '../render/units.ts';
import type { Provenance } from '../verify/provenance-file.ts';
import { formatVerifyCommand } from './shell-commands.ts';

export interface RunSummary {
  readonly job: string;
  readonly layers: number;
  readonly weights: number;
  readonly zeros: number;
  readonly sparsity: number;
  readonly elapsedMs: number;
  readonly output: string;
  readonly verify: string;
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
    output,
    verify: formatVerifyCommand(output, source),
  };
}

export function renderSummary(summary: RunSummary): string {
  return renderFields([
    ['job', summary.job],
    ['layers', String(summary.layers)],
    ['weights', showCount(summary.weights)],
    ['zeros', showCount(summary.zeros)],
    ['sparsity', showShare(summary.sparsity)],
    ['time', showDuration(summary.elapsedMs)],
    ['output', summary.output],
    ['verify', summary.verify],
  ]);
}
