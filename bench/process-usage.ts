/** What Linux says about a process: processor time and memory. */
import { readFileSync } from 'node:fs';

/** USER_HZ, the unit of /proc/<pid>/stat: 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
/** Fields of that file behind the name: user and system time, its own and that of children that have ended. */
const OWN_TIMES = [11, 12];
const OWN_AND_ENDED_TIMES = [11, 12, 13, 14];

/** Of all its threads, so far. */
export function cpuSecondsOf(processId: number): number {
  return sumOfTimes(processId, OWN_TIMES);
}

/** Of a process and its children, those that have ended too. */
export function familyCpuSecondsOf(processId: number): number {
  const ofChildren = childrenOf(processId).map((child) => ifAlive(() => cpuSecondsOf(child)));
  return ofChildren.reduce((sum, seconds) => sum + seconds, sumOfTimes(processId, OWN_AND_ENDED_TIMES));
}

/** The most that a process and the children that it has now held at any moment of their lives, added up. */
export function familyPeakResidentBytesOf(processId: number): number {
  const ofChildren = childrenOf(processId).map((child) => ifAlive(() => peakResidentBytesOf(child)));
  return ofChildren.reduce((sum, bytes) => sum + bytes, peakResidentBytesOf(processId));
}

/** Those that its main thread has started and that live. */
function childrenOf(processId: number): number[] {
  const children = readFileSync(`/proc/${processId}/task/${processId}/children`, 'utf8');
  return children.trim().split(' ').filter(Boolean).map(Number);
}

/** 0 for a child that has ended since it was listed. */
function ifAlive(read: () => number): number {
  try {
    return read();
  } catch {
    return 0;
  }
}

function sumOfTimes(processId: number, places: readonly number[]): number {
  const stat = readFileSync(`/proc/${processId}/stat`, 'utf8');
  // The name before it stands in brackets and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return places.reduce((sum, place) => sum + Number(fields[place]), 0) / TICKS_PER_SECOND;
}

/** The most that was resident at any moment of its life. */
export function peakResidentBytesOf(processId: number): number {
  const status = readFileSync(`/proc/${processId}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
}
