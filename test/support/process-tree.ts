/** Which process is whose child, as Linux tells it: how a test finds a worker's engine. */
import { readdirSync, readFileSync } from 'node:fs';

/** Ids of the children of a process; none where it is gone, or where there is no /proc. */
export function childrenOf(processId: number): number[] {
  return processIds().filter((id) => parentOf(id) === processId);
}

function processIds(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

function parentOf(processId: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${processId}/stat`, 'utf8');
    // The name before it stands in brackets and may hold anything, brackets too.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined; // It has ended since the folder was read.
  }
}
