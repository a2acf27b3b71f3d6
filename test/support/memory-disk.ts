/**
 * A disk in memory that loses what a real one may lose: for tests that crash a coordinator at every step.
 *
 * `mount` gives what a process sees of it. A crash ends that process: whatever it still awaits never comes, and nothing
 * it calls afterwards has any effect. What survives:
 *  - `kill` (the process dies): everything that was written; the next process sees it, although it is not yet durable.
 *  - `powerCut` (the machine dies): what was synced, and of the rest what `random` says. Of the writes to a file since its
 *    last datasync each survives whole, not at all, in its beginning or in some of its sectors; a truncate survives or
 *    not. Of the changes to a folder since its last sync the first n survive.
 *  - A datasync that fails forgets what it owed: it stays readable until the power goes, and no later datasync saves it.
 *
 * `operations` names every operation that was begun; `inject` makes a chosen one fail or be the last.
 */
import { dirname } from 'node:path';
import type { Disk, DiskFile, OpenMode } from '../../coordinator/journal/disk.ts';

export type DiskOperation =
  | 'makeDirectory'
  | 'isEmpty'
  | 'open'
  | 'sizeBytes'
  | 'read'
  | 'write'
  | 'truncate'
  | 'datasync'
  | 'isAt'
  | 'close'
  | 'rename'
  | 'remove'
  | 'syncDirectory';

export interface DiskFault {
  /** Any where it is not given. */
  readonly operation?: DiskOperation;
  /** Of the path, a part; any where it is not given. */
  readonly path?: string;
  /** The how-manieth such operation from now: 1 is the next. */
  readonly count: number;
  /**
   * An errno: the operation fails; a write that fails with ENOSPC leaves a part of its bytes.
   * crashBefore, crashAfter: the process ends there; `onCrash` then says what becomes of the disk.
   */
  readonly effect: 'EIO' | 'ENOSPC' | 'crashBefore' | 'crashAfter';
}

export interface MemoryDiskOptions {
  /** In [0, 1): decides what a power cut takes. */
  readonly random?: () => number;
  /** Called where an injected crash strikes; by default the process dies and the disk keeps everything written. */
  readonly onCrash?: (disk: MemoryDisk) => void;
  /** How long an operation takes, by default no time. */
  readonly delay?: (operation: DiskOperation) => Promise<void>;
}

type FileChange = { readonly position: number; readonly bytes: Buffer } | { readonly truncateTo: number };
type NameChange = { readonly path: string; readonly node: Node | null };

/** Bytes that grow; what was never written reads as zeros. */
class Content {
  #buffer = Buffer.alloc(0);
  sizeBytes = 0;

  apply(change: FileChange): void {
    if ('truncateTo' in change) {
      this.#reserve(change.truncateTo);
      this.#buffer.fill(0, Math.min(this.sizeBytes, change.truncateTo));
      this.sizeBytes = change.truncateTo;
      return;
    }
    const { bytes, position } = change;
    this.#reserve(position + bytes.length);
    bytes.copy(this.#buffer, position);
    this.sizeBytes = Math.max(this.sizeBytes, position + bytes.length);
  }

  copy(position = 0, length = this.sizeBytes): Buffer<ArrayBuffer> {
    return Buffer.from(this.#buffer.subarray(position, Math.min(this.sizeBytes, position + length)));
  }

  become(other: Content): void {
    this.#buffer = other.copy();
    this.sizeBytes = other.sizeBytes;
  }

  #reserve(sizeBytes: number): void {
    if (sizeBytes <= this.#buffer.length) return;
    const grown = Buffer.alloc(Math.max(sizeBytes, 2 * this.#buffer.length));
    this.#buffer.copy(grown);
    this.#buffer = grown;
  }
}

/** A file, or a folder (which is nothing but its name). */
class Node {
  path: string;
  readonly isFolder: boolean;
  readonly content = new Content();
  readonly durable = new Content();
  unsynced: FileChange[] = [];

  constructor(path: string, isFolder: boolean) {
    this.path = path;
    this.isFolder = isFolder;
  }

  apply(change: FileChange): void {
    this.unsynced.push(change);
    this.content.apply(change);
  }
}

type Act = <T>(operation: DiskOperation, path: string, run: () => T) => Promise<T>;

const SECTOR_BYTES = 512;
/** Of a write that finds the disk full, what still fits. */
const TORN_BYTES = 7;

export class MemoryDisk {
  /** Bytes of all files together; more is ENOSPC. May be changed at any time. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** `<operation> <path>`, of every operation that was begun, in order. */
  readonly operations: string[] = [];
  #names = new Map<string, Node>();
  #durableNames = new Map<string, Node>();
  /** By folder; what one step changes (a rename is two names) stands together. */
  #unsyncedNames = new Map<string, NameChange[][]>();
  #faults: { fault: DiskFault; left: number }[] = [];
  #life = 0;
  #crashed = Promise.withResolvers<void>();
  readonly #random: () => number;
  readonly #options: MemoryDiskOptions;

  constructor(options: MemoryDiskOptions = {}) {
    this.#options = options;
    this.#random = options.random ?? (() => 0);
    this.placeDirectory('/');
  }

  /** The disk as a process sees it that begins now. */
  mount(): Disk {
    const life = this.#life;
    const act: Act = (operation, path, run) => this.#act(life, operation, path, run);
    return {
      makeDirectory: (path) => act('makeDirectory', path, () => this.#makeDirectory(path)),
      isEmpty: (path) =>
        act('isEmpty', path, () => ![...this.#names.keys()].some((name) => name !== path && dirname(name) === path)),
      open: async (path, mode) => this.#handle(await act('open', path, () => this.#open(path, mode)), act),
      rename: (from, to) => act('rename', to, () => this.#rename(from, to)),
      remove: (path) =>
        act('remove', path, () => {
          if (this.#names.has(path)) this.#change(dirname(path), [{ path, node: null }]);
        }),
      syncDirectory: (path) => act('syncDirectory', path, () => this.#syncDirectory(path)),
    };
  }

  inject(fault: DiskFault): void {
    this.#faults.push({ fault, left: fault.count });
  }

  clearFaults(): void {
    this.#faults = [];
  }

  /** Resolves at the next crash, by whatever cause. */
  get whenCrashed(): Promise<void> {
    return this.#crashed.promise;
  }

  /** The process dies; the disk keeps what was written. Faults that wait go with it. */
  kill(): void {
    this.#life += 1;
    this.#faults = [];
    this.#crashed.resolve();
    this.#crashed = Promise.withResolvers<void>();
  }

  /** The machine dies, and every process with it. */
  powerCut(): void {
    for (const changes of this.#unsyncedNames.values()) {
      const survive = Math.floor(this.#random() * (changes.length + 1));
      for (const change of changes.slice(0, survive).flat()) apply(this.#durableNames, change);
    }
    this.#unsyncedNames.clear();
    for (const path of [...this.#durableNames.keys()]) if (!this.#isReachable(path)) this.#durableNames.delete(path);
    for (const [path, node] of this.#durableNames) {
      node.path = path;
      for (const change of node.unsynced) this.#survive(node.durable, change);
      node.unsynced = [];
      node.content.become(node.durable);
    }
    this.#names = new Map(this.#durableNames);
    this.kill();
  }

  /** What a reader finds now; undefined where there is no such file. */
  contentOf(path: string): Buffer | undefined {
    const node = this.#names.get(path);
    return node === undefined || node.isFolder ? undefined : node.content.copy();
  }

  /** A folder with its parents, durable, as if it always had been. */
  placeDirectory(path: string): void {
    for (let folder = path; ; folder = dirname(folder)) {
      for (const names of [this.#names, this.#durableNames]) {
        names.set(folder, names.get(folder) ?? new Node(folder, true));
      }
      if (folder === dirname(folder)) return;
    }
  }

  /** A file, durable, as if it always had been; for tests that damage one. */
  place(path: string, content: Uint8Array): void {
    this.placeDirectory(dirname(path));
    const node = new Node(path, false);
    for (const bytes of [node.content, node.durable]) bytes.apply({ position: 0, bytes: Buffer.from(content) });
    this.#names.set(path, node);
    this.#durableNames.set(path, node);
  }

  async #act<T>(life: number, operation: DiskOperation, path: string, run: () => T): Promise<T> {
    const isDead = (): boolean => life !== this.#life;
    if (isDead()) return never();
    this.operations.push(`${operation} ${path}`);
    const effect = this.#faultOf(operation, path);
    if (effect === 'crashBefore') {
      this.#crash();
      return never();
    }
    if (effect === 'EIO' || effect === 'ENOSPC') this.#fail(operation, path, effect, run);
    const result = run();
    if (effect === 'crashAfter') this.#crash();
    await (this.#options.delay?.(operation) ?? Promise.resolve());
    return isDead() ? never() : result;
  }

  #faultOf(operation: DiskOperation, path: string): DiskFault['effect'] | undefined {
    for (const entry of this.#faults) {
      const { fault } = entry;
      if (fault.operation !== undefined && fault.operation !== operation) continue;
      if (fault.path !== undefined && !path.includes(fault.path)) continue;
      entry.left -= 1;
      if (entry.left > 0) continue;
      this.#faults.splice(this.#faults.indexOf(entry), 1);
      return fault.effect;
    }
    return undefined;
  }

  #fail(operation: DiskOperation, path: string, errno: 'EIO' | 'ENOSPC', run: () => unknown): never {
    if (operation === 'datasync') {
      for (const node of this.#names.values()) if (node.path === path) node.unsynced = [];
    }
    if (operation === 'write' && errno === 'ENOSPC') {
      const { capacityBytes } = this;
      this.capacityBytes = this.#usedBytes() + TORN_BYTES;
      try {
        run();
      } finally {
        this.capacityBytes = capacityBytes;
      }
    }
    throw systemError(errno, operation, path);
  }

  #crash(): void {
    const life = this.#life;
    this.#options.onCrash?.(this);
    if (life === this.#life) this.kill();
  }

  #makeDirectory(path: string): void {
    if (this.#names.get(path)?.isFolder) return;
    const parent = dirname(path);
    if (parent !== path) this.#makeDirectory(parent);
    this.#change(parent, [{ path, node: new Node(path, true) }]);
  }

  #open(path: string, mode: OpenMode): Node {
    const known = this.#names.get(path);
    if (known !== undefined) return known;
    if (mode === 'read') throw systemError('ENOENT', 'open', path);
    if (!this.#names.get(dirname(path))?.isFolder) throw systemError('ENOENT', 'open', path);
    const node = new Node(path, false);
    this.#change(dirname(path), [{ path, node }]);
    return node;
  }

  #rename(from: string, to: string): void {
    const node = this.#names.get(from);
    if (node === undefined) throw systemError('ENOENT', 'rename', from);
    if (dirname(from) !== dirname(to)) throw systemError('EXDEV', 'rename', from);
    this.#change(dirname(to), [
      { path: from, node: null },
      { path: to, node },
    ]);
    node.path = to;
  }

  #syncDirectory(path: string): void {
    for (const change of this.#unsyncedNames.get(path)?.flat() ?? []) apply(this.#durableNames, change);
    this.#unsyncedNames.delete(path);
  }

  #change(folder: string, changes: NameChange[]): void {
    for (const change of changes) apply(this.#names, change);
    const before = this.#unsyncedNames.get(folder);
    if (before === undefined) this.#unsyncedNames.set(folder, [changes]);
    else before.push(changes);
  }

  #handle(node: Node, act: Act): DiskFile {
    return {
      sizeBytes: () => act('sizeBytes', node.path, () => node.content.sizeBytes),
      read: (position, length) => act('read', node.path, () => node.content.copy(position, length)),
      write: (bytes, position) => act('write', node.path, () => this.#write(node, Buffer.from(bytes), position)),
      truncate: (sizeBytes) => act('truncate', node.path, () => node.apply({ truncateTo: sizeBytes })),
      datasync: () =>
        act('datasync', node.path, () => {
          for (const change of node.unsynced) node.durable.apply(change);
          node.unsynced = [];
        }),
      isAt: (path) => act('isAt', path, () => this.#names.get(path) === node),
      close: () => act('close', node.path, () => undefined),
    };
  }

  #write(node: Node, bytes: Buffer, position: number): void {
    const growth = Math.max(0, position + bytes.length - node.content.sizeBytes);
    const room = Math.max(0, this.capacityBytes - this.#usedBytes());
    const fitting = growth <= room ? bytes : bytes.subarray(0, Math.max(0, bytes.length - growth + room));
    node.apply({ position, bytes: fitting });
    if (fitting !== bytes) throw systemError('ENOSPC', 'write', node.path);
  }

  #usedBytes(): number {
    let used = 0;
    for (const node of new Set(this.#names.values())) used += node.content.sizeBytes;
    return used;
  }

  #isReachable(path: string): boolean {
    const parent = dirname(path);
    return parent === path || (this.#durableNames.get(parent)?.isFolder === true && this.#isReachable(parent));
  }

  #survive(durable: Content, change: FileChange): void {
    const dice = this.#random();
    if (dice < 0.3) return;
    if (dice < 0.6 || 'truncateTo' in change) return durable.apply(change);
    const { bytes, position } = change;
    if (dice < 0.8) {
      return durable.apply({ position, bytes: bytes.subarray(0, Math.floor(this.#random() * bytes.length)) });
    }
    for (let begin = 0; begin < bytes.length; begin += SECTOR_BYTES) {
      if (this.#random() < 0.5) continue;
      durable.apply({ position: position + begin, bytes: bytes.subarray(begin, begin + SECTOR_BYTES) });
    }
  }
}

function apply(names: Map<string, Node>, { path, node }: NameChange): void {
  if (node === null) names.delete(path);
  else names.set(path, node);
}

function systemError(errno: string, operation: string, path: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${errno}: ${operation} '${path}'`);
  error.code = errno;
  return error;
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
