/**
 * Hosts on a network of their own, and the faults of networks: each host is a network namespace, joined by a pair of
 * virtual interfaces to a bridge that stands in a namespace as well, so that nothing of the machine's own network is
 * touched. They share the file system: only the network is between them.
 *
 * Needs Linux, root and iproute2. Every name holds the process id: test processes that run at once never meet.
 */
import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Private, and not one that routers or Docker hand out. It ends at the bridge: no route leads out of it. */
const NETWORK = '10.77.113';
/** Set up and taken down within one process: a counter tells the networks of one test process apart. */
let networks = 0;

/**
 * both: what the host sends and gets is lost, its link stays up: either side thinks that the connection lives.
 * mute: what it sends is lost; it still hears. deaf: the other way round. unplugged: its link is down, and it knows.
 */
export type Cut = 'both' | 'mute' | 'deaf' | 'unplugged';

/** Null where hosts can be made; else why not. */
export async function whyNoNetworkHosts(): Promise<string | null> {
  try {
    await using hosts = await NetworkHosts.create(['probe']);
    // What needs tc, and a queue of the kernel's.
    await hosts.cut('probe', 'mute');
    return null;
  } catch (thrown) {
    const { code, stderr, message } = thrown as NodeJS.ErrnoException & { stderr?: string };
    if (code === 'ENOENT') return 'iproute2 is not installed';
    return (stderr || message).trim().split('\n')[0] ?? 'unknown';
  }
}

export class NetworkHosts implements AsyncDisposable {
  private readonly prefix: string;
  private readonly names: readonly string[];
  private readonly made: string[] = [];
  private readonly cutBy = new Map<string, Cut>();

  private constructor(names: readonly string[]) {
    networks += 1;
    this.prefix = `secateur-${process.pid}-${networks}`;
    this.names = names;
  }

  static async create(names: readonly string[]): Promise<NetworkHosts> {
    const hosts = new NetworkHosts(names);
    try {
      await hosts.make();
      return hosts;
    } catch (thrown) {
      await hosts[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  addressOf(host: string): string {
    return `${NETWORK}.${this.numberOf(host)}`;
  }

  /** What stands before a command so that it runs on the host. It replaces itself: the process id is the command's. */
  prefixOf(host: string): string[] {
    return ['ip', 'netns', 'exec', this.namespaceOf(host)];
  }

  async cut(host: string, how: Cut): Promise<void> {
    await this.heal(host);
    this.cutBy.set(host, how);
    const port = this.portOf(host);
    if (how === 'both') await this.ip(this.switch, 'link', 'set', port, 'nomaster');
    else if (how === 'unplugged') await this.ip(this.switch, 'link', 'set', port, 'down');
    else if (how === 'mute') await dropAll(this.namespaceOf(host), 'eth0');
    else await dropAll(this.switch, port);
  }

  async heal(host: string): Promise<void> {
    const how = this.cutBy.get(host);
    this.cutBy.delete(host);
    const port = this.portOf(host);
    if (how === 'both') await this.ip(this.switch, 'link', 'set', port, 'master', 'br0');
    else if (how === 'unplugged') await this.ip(this.switch, 'link', 'set', port, 'up');
    else if (how === 'mute') await dropNothing(this.namespaceOf(host), 'eth0');
    else if (how === 'deaf') await dropNothing(this.switch, port);
  }

  /** The processes on the hosts must have ended: a namespace lives as long as one of them. */
  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.removeAtExit);
    for (const namespace of this.made.splice(0).reverse()) await run('ip', ['netns', 'del', namespace]);
  }

  private get switch(): string {
    return `${this.prefix}-switch`;
  }

  private namespaceOf(host: string): string {
    return `${this.prefix}-${host}`;
  }

  private portOf(host: string): string {
    return `port${this.numberOf(host)}`;
  }

  private numberOf(host: string): number {
    const index = this.names.indexOf(host);
    if (index < 0) throw new Error(`no host ${host}; there are ${this.names.join(', ')}`);
    return index + 1;
  }

  private async make(): Promise<void> {
    process.on('exit', this.removeAtExit);
    await this.makeNamespace(this.switch);
    await this.ip(this.switch, 'link', 'add', 'br0', 'type', 'bridge');
    await this.ip(this.switch, 'link', 'set', 'br0', 'up');
    for (const name of this.names) {
      const namespace = this.namespaceOf(name);
      const port = this.portOf(name);
      await this.makeNamespace(namespace);
      await this.ip(this.switch, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
      await this.ip(this.switch, 'link', 'set', port, 'master', 'br0', 'up');
      await this.ip(namespace, 'address', 'add', `${this.addressOf(name)}/24`, 'dev', 'eth0');
      await this.ip(namespace, 'link', 'set', 'eth0', 'up');
    }
  }

  private async makeNamespace(namespace: string): Promise<void> {
    await run('ip', ['netns', 'add', namespace]);
    this.made.push(namespace);
    await this.ip(namespace, 'link', 'set', 'lo', 'up');
  }

  private async ip(namespace: string, ...args: string[]): Promise<void> {
    await run('ip', ['-n', namespace, ...args]);
  }

  /** A test run that is interrupted leaves none behind either. */
  private readonly removeAtExit = (): void => {
    for (const namespace of this.made) spawnSync('ip', ['netns', 'del', namespace]);
  };
}

/** A queue that holds nothing: whatever is to leave by this interface is dropped. Works where the kernel has no filters. */
async function dropAll(namespace: string, device: string): Promise<void> {
  await run('tc', ['-n', namespace, 'qdisc', 'add', 'dev', device, 'root', 'pfifo', 'limit', '0']);
}

async function dropNothing(namespace: string, device: string): Promise<void> {
  await run('tc', ['-n', namespace, 'qdisc', 'del', 'dev', device, 'root']);
}
