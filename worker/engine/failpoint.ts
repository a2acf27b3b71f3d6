/**
 * Places where a test lets the process die: SECATEUR_FAILPOINT=<name>[:<n>] kills it with SIGKILL the nth time it gets
 * there (the first, by default); SECATEUR_SLOW_MS pauses after every microbatch, so that a kill from outside finds the
 * work half done. Off unless those variables are set; nothing else ever reads them.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export class Failpoints {
  private readonly name: string | null;
  private remaining: number;

  private readonly slowMs: number;

  constructor(setting: string | null, slowMs: number) {
    this.slowMs = slowMs;
    const [name, count] = setting?.split(':') ?? [];
    this.name = name ?? null;
    this.remaining = count === undefined ? 1 : Number(count);
  }

  async slowDown(): Promise<void> {
    if (this.slowMs > 0) await sleep(this.slowMs);
  }

  reach(name: string): void {
    if (name !== this.name) return;
    this.remaining -= 1;
    if (this.remaining === 0) process.kill(process.pid, 'SIGKILL');
  }
}
