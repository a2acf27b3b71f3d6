/**
 * A simulated disk: what is written is in memory first, and durable after an fsync; what is renamed or removed is
 * durable after an fsync of its folder.
 *
 * Invariants:
 *  1. A process that dies leaves everything that it wrote; a machine that loses power leaves what is durable, and of the
 *     rest any beginning of each write.
 *  2. Each operation takes time, belongs to a process and dies with it: before it took effect, or after.
 *  3. A disk that is full takes part of a write and says ENOSPC; one that is told to fail says EIO once, one with hiccups
 *     now and then.
 *  4. After an fsync that failed the system has forgotten what it owes: another one makes only later writes durable.
 */
import type { Disk, DiskFile, OpenMode } from '../../coordinator/journal/disk.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { digestOf } from './model.ts';
import type { SimulatedProcess } from './time.ts';

type Range = readonly [first: number, end: number];

class Inode {
  content: Buffer = EMPTY;
  durable: Buffer = EMPTY;
  /** Written since the last fsync. */
  dirty: Range[] = [];
  by: SimulatedProcess | null = null;

  /** As after an fsync that got so far. */
  settle(ranges: readonly Range[]): void {
    const settled = Buffer.alloc(this.content.length);
    this.durable.copy(settled, 0, 0, Math.min(this.durable.length, settled.length));
    for (const [first, end] of ranges) this.content.copy(settled, first, first, end);
    this.durable = settled;
    this.dirty = [];
    this.by = null;
  }
}

/** Takes effect as a whole. */
interface NameChange {
  readonly names: readonly (readonly [path: string, inode: Inode | null])[];
  readonly by: SimulatedProcess;
}

export class SimulatedDisk {
  isFull = false;
  /** The next operation of this process fails. */
  failNext: SimulatedProcess | null = null;
  /** Operations of this process fail, now and then: each with this chance. */
  hiccups: { readonly of: SimulatedProcess; readonly chance: number } | null = null;
  /** For a broken disk or program: fsync does nothing. */
  forgetsToSync: (path: string) => boolean = () => false;
  /** Told of every name that comes, changes its content, or goes. */
  onName: (path: string, content: Buffer | null, by: SimulatedProcess) => void = () => undefined;
  /** What the slowest operation takes. */
  latencyMs = 2;
  /** The most that was ever there. */
  sizeBytesMost = 0;
  private readonly random: () => number;
  private readonly names = new Map<string, Inode>();
  private readonly durableNames = new Map<string, Inode>();
  private pending: NameChange[] = [];
  private readonly armed = new Map<SimulatedProcess, { left: number; when: 'before' | 'after'; kill: () => void }>();
  private readonly locks = new Map<string, SimulatedProcess>();

  constructor(random: () => number) {
    this.random = random;
  }

  /** The process dies at its n-th operation from now, before or after that took effect. */
  killAt(
    process: SimulatedProcess,
    operations: number,
    when: 'before' | 'after',
    kill: () => void = () => process.kill(),
  ): void {
    this.armed.set(process, { left: operations, when, kill });
  }

  disarm(): void {
    this.armed.clear();
    this.failNext = null;
    this.hiccups = null;
    this.isFull = false;
  }

  /** False while another living process has it. */
  tryLock(path: string, process: SimulatedProcess): boolean {
    const holder = this.locks.get(path);
    if (holder?.isAlive && holder !== process) return false;
    this.locks.set(path, process);
    return true;
  }

  /** For the ones who check: what everybody sees now, without time. */
  peek(path: string): Buffer | undefined {
    return this.names.get(path)?.content;
  }

  paths(): string[] {
    return [...this.names.keys()].sort();
  }

  /** What `of` wrote last may be lost, from the end backwards; null: of everybody. The caller kills the processes. */
  losePower(of: SimulatedProcess | null): void {
    const isLost = (by: SimulatedProcess | null): boolean => by !== null && (of === null || by === of);
    for (const inode of new Set([...this.names.values(), ...this.durableNames.values()])) {
      if (of !== null && !isLost(inode.by)) continue;
      inode.settle(inode.dirty.map(([first, end]) => [first, first + Math.floor(this.random() * (end - first + 1))]));
      // What was in nobody's power to keep is not there: a file may even be shorter than its last write began.
      if (this.random() < 0.5) inode.durable = inode.durable.subarray(0, lengthOf(inode.durable));
      inode.content = inode.durable;
    }
    const mine = this.pending.filter((change) => isLost(change.by));
    const kept = Math.floor(this.random() * (mine.length + 1));
    for (const change of mine.slice(0, kept)) this.settleName(change);
    this.pending = this.pending.filter((change) => !isLost(change.by));
    for (const [path] of mine.slice(kept).flatMap(({ names }) => names)) {
      const durable = this.durableNames.get(path);
      if (durable === undefined) this.names.delete(path);
      else this.names.set(path, durable);
    }
  }

  /** The file is gone, or one byte of it is another. */
  rot(path: string): void {
    const inode = this.names.get(path);
    if (inode === undefined) return;
    if (this.random() < 0.5 || inode.content.length === 0) {
      this.names.delete(path);
      this.durableNames.delete(path);
      return;
    }
    const content = Buffer.from(inode.content);
    const position = Math.floor(this.random() * content.length);
    content[position] = (content[position] as number) ^ 1;
    inode.content = content;
    inode.durable = content;
  }

  private settleName({ names }: NameChange): void {
    for (const [path, inode] of names) {
      if (inode === null) this.durableNames.delete(path);
      else this.durableNames.set(path, inode);
    }
  }

  /** One operation: takes its time, may fail, may be its process's last. */
  private operate<T>(process: SimulatedProcess, path: string, take: () => T, onError?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      process.after(this.random() * this.latencyMs, () => {
        const armed = this.armed.get(process);
        if (armed !== undefined) armed.left -= 1;
        const isLast = armed !== undefined && armed.left <= 0;
        if (isLast && armed.when === 'before') return armed.kill();
        const isHiccup = this.hiccups?.of === process && this.random() < this.hiccups.chance;
        if (this.failNext === process || isHiccup) {
          if (!isHiccup) this.failNext = null;
          onError?.();
          return reject(errno('EIO', path));
        }
        try {
          const result = take();
          if (isLast) return armed.kill();
          resolve(result);
        } catch (thrown) {
          reject(thrown);
        }
      });
    });
  }

  private change(process: SimulatedProcess, ...names: NameChange['names']): void {
    for (const [path, inode] of names) {
      if (inode === null) this.names.delete(path);
      else this.names.set(path, inode);
      this.onName(path, inode?.content ?? null, process);
    }
    this.pending.push({ names, by: process });
  }

  /** The disk as a process has it. */
  of(process: SimulatedProcess): Disk {
    return {
      makeDirectory: async () => undefined,
      isEmpty: async (path) => ![...this.names.keys()].some((name) => name.startsWith(`${path}/`)),
      open: (path, mode) => this.open(process, path, mode),
      rename: (from, to) => this.rename(process, from, to),
      remove: (path) => this.remove(process, path),
      syncDirectory: (path) => this.syncDirectory(process, path),
    };
  }

  /** @throws ENOENT where it is to be read only */
  async open(process: SimulatedProcess, path: string, mode: OpenMode): Promise<DiskFile> {
    const inode = await this.operate(process, path, () => {
      const found = this.names.get(path);
      if (found !== undefined) return found;
      if (mode === 'read') throw errno('ENOENT', path);
      const made = new Inode();
      this.change(process, [path, made]);
      return made;
    });
    return this.fileOf(process, path, inode);
  }

  private fileOf(process: SimulatedProcess, path: string, inode: Inode): DiskFile {
    const operate = <T>(take: () => T): Promise<T> => this.operate(process, path, take);
    return {
      sizeBytes: () => operate(() => inode.content.length),
      read: (position, length) => operate(() => Buffer.from(inode.content.subarray(position, position + length))),
      write: (bytes, position) => operate(() => this.write(process, path, inode, bytes, position)),
      truncate: (sizeBytes) =>
        operate(() => {
          inode.content = inode.content.subarray(0, sizeBytes);
          inode.dirty.push([0, inode.content.length]);
          inode.by = process;
          this.onName(path, inode.content, process);
        }),
      datasync: () =>
        this.operate(
          process,
          path,
          () => {
            if (!this.forgetsToSync(path)) inode.settle(inode.dirty);
          },
          () => {
            inode.dirty = [];
          },
        ),
      isAt: async (name) => this.names.get(name) === inode,
      close: async () => undefined,
    };
  }

  private write(process: SimulatedProcess, path: string, inode: Inode, bytes: Uint8Array, position: number): void {
    const part = this.isFull ? bytes.subarray(0, Math.floor(this.random() * bytes.length)) : bytes;
    const end = position + part.length;
    const content = Buffer.alloc(Math.max(end, inode.content.length));
    inode.content.copy(content);
    content.set(part, position);
    inode.content = content;
    inode.dirty.push([position, end]);
    inode.by = process;
    this.sizeBytesMost = Math.max(this.sizeBytesMost, content.length);
    this.onName(path, content, process);
    if (this.isFull) throw errno('ENOSPC', path);
  }

  rename(process: SimulatedProcess, from: string, to: string): Promise<void> {
    return this.operate(process, to, () => {
      const inode = this.names.get(from);
      if (inode === undefined) throw errno('ENOENT', from);
      this.change(process, [from, null], [to, inode]);
    });
  }

  /** A name that is not there is no mistake. */
  remove(process: SimulatedProcess, path: string): Promise<void> {
    return this.operate(process, path, () => {
      if (this.names.has(path)) this.change(process, [path, null]);
    });
  }

  syncDirectory(process: SimulatedProcess, folder: string): Promise<void> {
    return this.operate(process, folder, () => {
      if (this.forgetsToSync(folder)) return;
      const isHere = ({ names }: NameChange): boolean => names.some(([path]) => folderOf(path) === folder);
      for (const change of this.pending) if (isHere(change)) this.settleName(change);
      this.pending = this.pending.filter((change) => !isHere(change));
    });
  }

  async readFile(process: SimulatedProcess, path: string): Promise<string> {
    const file = await this.open(process, path, 'read');
    return (await file.read(0, Number.MAX_SAFE_INTEGER)).toString();
  }

  /** Temp file, fsync, rename, fsync of the folder: as shared/storage/atomic-file.ts does it. */
  async writeAtomic(process: SimulatedProcess, path: string, content: string): Promise<void> {
    const temporary = `${path}.${process.name}.tmp`;
    try {
      const file = await this.open(process, temporary, 'readWrite');
      await file.truncate(0);
      await file.write(Buffer.from(content), 0);
      await file.datasync();
      await this.rename(process, temporary, path);
    } catch (thrown) {
      await this.remove(process, temporary);
      throw thrown;
    }
    await this.syncDirectory(process, folderOf(path));
  }
}

/** As shared/storage/verified-files.ts: what is wrong with the file is said of the file. */
export async function readStaged(
  disk: SimulatedDisk,
  process: SimulatedProcess,
  path: string,
  { name, sha256 }: { readonly name: string; readonly sha256: string },
  looksAtNoDigest: boolean,
): Promise<string> {
  const wrong = (code: 'StorageFailed' | 'ChecksumMismatch', what: string): SecateurError =>
    new SecateurError(code, `${path} ${what}`, { retryable: true, details: { staged: name } });
  const content = await disk.readFile(process, path).catch((thrown: NodeJS.ErrnoException) => {
    throw thrown.code === 'ENOENT' ? wrong('StorageFailed', 'is gone') : thrown;
  });
  if (digestOf(content) !== sha256 && !looksAtNoDigest) throw wrong('ChecksumMismatch', 'is not what was written');
  return content;
}

const EMPTY = Buffer.alloc(0);

/** Without the zeros at its end: they stand for what was never written. */
function lengthOf(bytes: Buffer): number {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length -= 1;
  return length;
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

function errno(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: simulated, ${path}`), { code, path });
}
