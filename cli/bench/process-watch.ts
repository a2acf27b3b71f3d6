/**
 * Memory and processor time of a process and of all that descends from it, as Linux tells them, in groups: whose engine it is
 * is the worker. Sampled; elsewhere than on Linux there is nothing to tell.
 */
import { readFileSync } from 'node:fs';

const SAMPLE_INTERVAL_MS = 100;
/** USER_HZ, the unit of /proc/<pid>/stat: 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
/** Of /proc/<pid>/stat, counted behind the name. */
const UTIME = 11;
const STIME = 12;

export interface ProcessUsage {
  readonly name: string;
  /** The most that was resident at one moment, in all processes of the group; what is mapped from files counts. */
  readonly peakBytes: number;
  /** The most of that which was the processes' own: the kernel cannot take it back. */
  readonly ownPeakBytes: number;
  readonly cpuSeconds: number;
}

interface Group {
  peakBytes: number;
  ownPeakBytes: number;
  /** By process, as it was seen last: one that has ended has spent it all the same. */
  readonly cpuSeconds: Map<number, number>;
}

export class ProcessWatch implements Disposable {
  private readonly groups = new Map<string, Group>();
  private readonly root: number;
  private readonly rootName: string;
  /** Of the root when the watch began: what it did before is not asked. */
  private readonly cpuBefore: number;
  private readonly timer: NodeJS.Timeout;

  /** @param rootName the group of the process itself; its children's are what they are given as `--name` */
  constructor(root: number, rootName: string) {
    this.root = root;
    this.rootName = rootName;
    this.cpuBefore = usageOf(root)?.cpuSeconds ?? 0;
    this.timer = setInterval(() => this.sample(), SAMPLE_INTERVAL_MS);
    this.timer.unref();
  }

  /** One a group, in the order in which they were first seen. */
  usage(): ProcessUsage[] {
    return [...this.groups].map(([name, { peakBytes, ownPeakBytes, cpuSeconds }]) => {
      const spent = [...cpuSeconds.values()].reduce((sum, seconds) => sum + seconds, 0);
      return { name, peakBytes, ownPeakBytes, cpuSeconds: spent - (name === this.rootName ? this.cpuBefore : 0) };
    });
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
  }

  private sample(): void {
    this.note(this.rootName, [this.root]);
    for (const child of childrenOf(this.root)) {
      const name = nameOf(child);
      if (name !== null) this.note(name, [child, ...descendantsOf(child)]);
    }
  }

  private note(name: string, processes: readonly number[]): void {
    const group = this.groups.get(name) ?? { peakBytes: 0, ownPeakBytes: 0, cpuSeconds: new Map() };
    this.groups.set(name, group);
    let [resident, own] = [0, 0];
    for (const id of processes) {
      const usage = usageOf(id);
      if (usage === null) continue;
      resident += usage.residentBytes;
      own += usage.ownBytes;
      group.cpuSeconds.set(id, usage.cpuSeconds);
    }
    group.peakBytes = Math.max(group.peakBytes, resident);
    group.ownPeakBytes = Math.max(group.ownPeakBytes, own);
  }
}

interface Usage {
  readonly residentBytes: number;
  readonly ownBytes: number;
  readonly cpuSeconds: number;
}

/** Null where the process has ended. */
function usageOf(id: number): Usage | null {
  const [status, stat] = [readProc(id, 'status'), readProc(id, 'stat')];
  if (status === null || stat === null) return null;
  const bytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024;
  // The name before it stands in brackets and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    residentBytes: bytes('VmRSS'),
    ownBytes: bytes('RssAnon') + bytes('RssShmem'),
    cpuSeconds: (Number(fields[UTIME]) + Number(fields[STIME])) / TICKS_PER_SECOND,
  };
}

function childrenOf(id: number): number[] {
  return (readProc(id, `task/${id}/children`) ?? '').trim().split(' ').filter(Boolean).map(Number);
}

function descendantsOf(id: number): number[] {
  return childrenOf(id).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** What a process was given as `--name`; null where that is nothing. */
function nameOf(id: number): string | null {
  const words = (readProc(id, 'cmdline') ?? '').split('\0');
  const at = words.indexOf('--name');
  return at < 0 ? null : (words[at + 1] ?? null);
}

function readProc(id: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${id}/${file}`, 'utf8');
  } catch {
    return null;
  }
}
