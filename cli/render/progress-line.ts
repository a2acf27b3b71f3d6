/** A job's progress as one line of text. Pure: what is drawn is a function of the progress and of the width. */
import type { Progress__Output } from '../../shared/rpc/generated/secateur/v1/Progress.ts';
import { showDuration, showShort } from '../../shared/units.ts';
import { clean } from './table.ts';

const BAR_WIDTH_MAX = 30;
const BAR_WIDTH_MIN = 10;
/** Below this width there is no bar. */
const BAR_TERMINAL_WIDTH_MIN = 70;

/**
 * `layer 12/80  [#####---------]  17.3 %  12.3k tokens/s  ETA 4m 05s  prune-00012`, at most `width` characters.
 * What is not known yet is left out.
 */
export function drawProgress(progress: Progress__Output, width: number): string {
  const { layersCommitted, layerCount, workDone, workTotal, tokensPerSecond, remainingMs, activity } = progress;
  const parts: string[] = [];
  if (layerCount > 0) parts.push(`layer ${layersCommitted}/${layerCount}`);
  if (workTotal > 0) {
    const share = Math.min(1, Math.max(0, workDone / workTotal));
    if (width >= BAR_TERMINAL_WIDTH_MIN) parts.push(drawBar(share, barWidth(width)));
    parts.push(`${(Math.floor(share * 1000) / 10).toFixed(1)} %`);
    if (tokensPerSecond > 0 && share < 1) parts.push(`${showShort(tokensPerSecond)} tokens/s`);
    if (remainingMs > 0 && share < 1) parts.push(`ETA ${showDuration(remainingMs)}`);
  }
  if (activity !== '') parts.push(clean(activity));
  const line = parts.join('  ');
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`;
}

function barWidth(width: number): number {
  return Math.min(BAR_WIDTH_MAX, Math.max(BAR_WIDTH_MIN, Math.floor(width / 6)));
}

/** Full only when all is done. */
function drawBar(share: number, width: number): string {
  const filled = Math.floor(share * width);
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]`;
}
