/**
 * A secateur process that is started again whenever it ends, as Kubernetes would: with the same arguments and the same
 * environment. Only `stop` ends it for good.
 */
import type { Bench, SecateurProcess } from './secateur-process.ts';

/** One that ends at once, each time (a full disk), must not take the machine; a killed one is there again at once. */
const RESTART_DELAY_MS = 200;

export class SupervisedProcess {
  current: SecateurProcess;
  /** Ends so far that nobody asked for, oldest first. */
  readonly ended: SecateurProcess[] = [];
  private readonly bench: Bench;
  private readonly args: readonly string[];
  private readonly env: Record<string, string>;
  private readonly firstEnd = Promise.withResolvers<SecateurProcess>();
  private isStopped = false;

  constructor(bench: Bench, args: readonly string[], env: Record<string, string>) {
    this.bench = bench;
    this.args = args;
    this.env = env;
    this.current = this.start();
  }

  get processId(): number | undefined {
    return this.current.child.pid;
  }

  /** Resolves when it has ended for the first time without having been asked to. */
  firstEnded(): Promise<SecateurProcess> {
    return this.firstEnd.promise;
  }

  /** Everything that it, and those before it, have printed. */
  printed(): string {
    return [...this.ended, this.current].map((each) => each.stdout + each.stderr).join('');
  }

  /** SIGKILL from outside; the supervisor starts it again. */
  kill(): void {
    this.current.child.kill('SIGKILL');
  }

  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.isStopped = true;
    await this.current.kill(signal);
  }

  private start(): SecateurProcess {
    const started = this.bench.start(this.args, this.env);
    // Not `finished`, which waits for its pipes: an engine that outlives its agent by a moment holds them open.
    started.child.once('exit', (_, signal) => {
      if (this.isStopped) return;
      this.ended.push(started);
      this.firstEnd.resolve(started);
      const again = (): void => {
        if (!this.isStopped) this.current = this.start();
      };
      if (signal === 'SIGKILL') again();
      else setTimeout(again, RESTART_DELAY_MS);
    });
    return started;
  }
}
