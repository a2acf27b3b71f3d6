/** Sets of microbatches as messages carry them. */
import { type MicrobatchSet, microbatchSet } from '../microbatch-set.ts';
import type { MicrobatchRange, MicrobatchRange__Output } from './generated/secateur/v1/MicrobatchRange.ts';

export function rangesOf(microbatches: MicrobatchSet): MicrobatchRange[] {
  return microbatches.map(([first, end]) => ({ first, end }));
}

/** Of ranges in any order, overlapping or touching: nobody promises what another process sends. */
export function setOfRanges(ranges: readonly MicrobatchRange__Output[]): MicrobatchSet {
  return microbatchSet(ranges.map(({ first, end }) => [first, end] as const));
}
