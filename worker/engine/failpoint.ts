/**
 * Places where a test lets the process die: SECATEUR_FAILPOINT=<name>[:<n>] kills it with SIGKILL the nth time it gets
 * there (the first, by default). Off unless that variable is set; nothing else ever reads it.
 */
export class Failpoints {
  private readonly name: string | null;
  private remaining: number;

  constructor(setting: string | null) {
    const [name, count] = setting?.split(':') ?? [];
    this.name = name ?? null;
    this.remaining = count === undefined ? 1 : Number(count);
  }

  reach(name: string): void {
    if (name !== this.name) return;
    this.remaining -= 1;
    if (this.remaining === 0) process.kill(process.pid, 'SIGKILL');
  }
}
