/** Resident memory of another process, as the kernel reports it; 0 where it cannot be read (not Linux, or it has ended). */
import { readFileSync } from 'node:fs';

const PAGE_BYTES = 4096;

export function residentBytes(processId: number): number {
  try {
    const fields = readFileSync(`/proc/${processId}/statm`, 'utf8').split(' ');
    return Number(fields[1] ?? 0) * PAGE_BYTES;
  } catch {
    return 0; // A reading for people: heartbeats go on without it.
  }
}
