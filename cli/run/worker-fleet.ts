/**
 * The worker processes of one `run`.
 *
 * Invariants:
 *  1. A worker that ends although nobody asked it to is started again, at most RESTARTS_MAX times; then `failed` rejects.
 *  2. Once draining, none is started any more. `allEnded` resolves when the last process is gone.
 *  3. Each child holds the reading end of a pipe whose writing end is this process's: it ends with this process,
 *     however that ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, EXIT, SecateurError } from '../../shared/errors/secateur-error.ts';

const LAUNCHER = fileURLToPath(new URL('../secateur.js', import.meta.url));
const RESTARTS_MAX = 5;
/** The nth restart waits n times this: a machine that is short of memory gets some air. */
const RESTART_DELAY_MS = 500;
/** After this, a process that was told to leave at once is killed. */
const STOP_GRACE_MS = 2_000;
const LOG_LINES_SHOWN = 8;
/** Exit codes of what another start would not change: arguments, a name that is taken, a provider that is not there. */
const PERMANENT: ReadonlySet<number | null> = new Set([EXIT.usage, EXIT.conflict, EXIT.unavailable]);

export interface FleetOptions {
  readonly count: number;
  readonly coordinator: string;
  /** Of each worker. */
  readonly threads: number;
  readonly provider: string;
  readonly stateDirectory: string;
  readonly say: (text: string) => void;
}

interface Member {
  readonly name: string;
  child: ChildProcess | null;
  restarts: number;
}

export class WorkerFleet {
  readonly failed: Promise<never>;
  readonly allEnded: Promise<void>;
  private readonly options: FleetOptions;
  private readonly members: Member[];
  private readonly failure = Promise.withResolvers<never>();
  private readonly end = Promise.withResolvers<void>();
  private isLeaving = false;

  constructor(options: FleetOptions) {
    this.options = options;
    this.failed = this.failure.promise;
    this.failed.catch(() => undefined);
    this.allEnded = this.end.promise;
    this.members = Array.from({ length: options.count }, (_, index) => ({
      name: `worker-${index + 1}`,
      child: null,
      restarts: 0,
    }));
    mkdirSync(join(options.stateDirectory, 'workers'), { recursive: true });
    for (const member of this.members) this.start(member);
  }

  logFile(name: string): string {
    return join(this.options.stateDirectory, 'workers', `${name}.log`);
  }

  /** Every worker ends its running task and leaves. */
  drain(): void {
    this.leave('SIGTERM');
  }

  /** Every worker leaves at once. Resolves when all are gone. */
  async stop(): Promise<void> {
    this.isLeaving = true;
    // A worker whose pipe closes leaves at once, and takes its engine with it.
    for (const member of this.members) member.child?.stdin?.destroy();
    this.settleWhenEmpty();
    const timer = setTimeout(() => this.leave('SIGKILL'), STOP_GRACE_MS);
    await this.allEnded;
    clearTimeout(timer);
  }

  private leave(signal: NodeJS.Signals): void {
    this.isLeaving = true;
    for (const member of this.members) member.child?.kill(signal);
    this.settleWhenEmpty();
  }

  private start(member: Member): void {
    const { coordinator, threads, provider, stateDirectory } = this.options;
    const log = openSync(this.logFile(member.name), 'a');
    const child = spawn(
      process.execPath,
      [
        LAUNCHER,
        'worker',
        ...['--coordinator', coordinator, '--name', member.name, '--provider', provider, '--threads', String(threads)],
        ...['--cache', join(stateDirectory, 'cache'), '--exit-when-orphaned'],
      ],
      { stdio: ['pipe', log, log] },
    );
    closeSync(log);
    member.child = child;
    // The pipe only tells of this process's end: nothing is written, and a child that is gone reads nothing.
    child.stdin?.on('error', () => undefined);
    child.on('error', (error) => {
      // A child that never was does not exit either.
      if (child.pid === undefined) member.child = null;
      this.fail(member, `it could not be started: ${error.message}`);
      this.settleWhenEmpty();
    });
    child.on('exit', (code, signal) => this.ended(member, code, signal));
  }

  private ended(member: Member, code: number | null, signal: NodeJS.Signals | null): void {
    member.child = null;
    if (this.isLeaving) return this.settleWhenEmpty();
    const how = signal === null ? `exit code ${code}` : signal;
    if (PERMANENT.has(code)) {
      return this.fail(
        member,
        `it cannot serve (${how})`,
        code === EXIT.unavailable ? 'ProviderUnavailable' : 'EngineFailed',
      );
    }
    if (member.restarts >= RESTARTS_MAX)
      return this.fail(member, `it ended ${RESTARTS_MAX + 1} times, last with ${how}`);
    member.restarts += 1;
    const lines = lastLines(this.logFile(member.name));
    this.options.say(
      `${member.name} ended (${how}) and is started again, ${member.restarts} of ${RESTARTS_MAX} times; its last lines:\n${lines}`,
    );
    setTimeout(() => {
      if (!this.isLeaving) this.start(member);
    }, member.restarts * RESTART_DELAY_MS);
  }

  private fail(member: Member, what: string, code: ErrorCode = 'EngineFailed'): void {
    const file = this.logFile(member.name);
    this.failure.reject(
      new SecateurError(code, `${member.name}: ${what}. Its log is ${file}; its last lines:\n${lastLines(file)}`, {
        details: { worker: member.name, log: file },
      }),
    );
  }

  private settleWhenEmpty(): void {
    if (this.isLeaving && this.members.every((member) => member.child === null)) this.end.resolve();
  }
}

/** A disk without space takes no log either: then that is what there is to say. */
function lastLines(file: string): string {
  const text = readFileSync(file, 'utf8').trimEnd();
  if (text === '') return statfsSync(file).bavail === 0 ? `  (empty: no space is left for ${file})` : '  (empty)';
  return text
    .split('\n')
    .slice(-LOG_LINES_SHOWN)
    .map((line) => `  ${line}`)
    .join('\n');
}
