/**
 * A real nats-server with JetStream for contract tests: finds one, starts it on a free loopback port, kills it,
 * restarts it on the same port and store, wipes its store.
 *
 * Where one comes from, first match wins: the PATH; the repository's `.cache/nats-server`; the image `nats:2`, where a
 * Docker daemon answers and has or can pull it; Debian's package, unpacked into that cache (no root needed). Where none
 * can be had, the suites skip and say why.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from 'testcontainers';

const run = promisify(execFile);

const CACHE = join(dirname(dirname(import.meta.dirname)), '.cache', 'nats-server');
const IMAGE = 'nats:2';
const DOCKER_ANSWER_MS = 2_000;
const DOCKER_PULL_MS = 60_000;
const APT_MS = 60_000;
const READY_MS = 20_000;
const POLL_MS = 20;
const STORE_IN_CONTAINER = '/store';

export type NatsServerSource =
  | { readonly kind: 'binary'; readonly path: string }
  | { readonly kind: 'container'; readonly image: string }
  | { readonly kind: 'none'; readonly why: string };

export interface NatsServer {
  /** `nats://127.0.0.1:<port>`; the same for the whole life of this object. */
  readonly url: string;
  readonly port: number;
  /** SIGKILL, and wait until it is gone. */
  kill(): Promise<void>;
  /** Starts it again after `kill`, on the same port and store. */
  restart(): Promise<void>;
  /** Empties the JetStream store; only while it is killed. */
  wipeStore(): Promise<void>;
  /** Copies the store away, or back; only while it is killed. What a power cut does is a copy back. */
  saveStore(folder: string): Promise<void>;
  restoreStore(folder: string): Promise<void>;
  /** Kills it for good and removes its store. */
  stop(): Promise<void>;
}

export interface NatsServerOptions {
  /** A free one by default. */
  readonly port?: number;
  /** A fresh folder by default, removed by `stop`. */
  readonly storeDir?: string;
  /** Default true. */
  readonly jetStream?: boolean;
}

/** Where a nats-server can be had on this machine. Never rejects. May take a minute the first time. */
export async function findNatsServer(): Promise<NatsServerSource> {
  const onPath = await findExecutable((process.env.PATH ?? '').split(delimiter).map((dir) => join(dir, 'nats-server')));
  if (onPath !== undefined) return { kind: 'binary', path: onPath };
  const cached = join(CACHE, 'nats-server');
  if ((await findExecutable([cached])) !== undefined) return { kind: 'binary', path: cached };
  const docker = await tryImage();
  if (docker === undefined) return { kind: 'container', image: IMAGE };
  const debian = await tryDebianPackage(cached);
  if (debian === undefined) return { kind: 'binary', path: cached };
  return { kind: 'none', why: `no nats-server on the PATH; Docker: ${docker}; Debian package: ${debian}` };
}

/** Starts a server with JetStream and resolves when it answers. */
export async function startNatsServer(source: NatsServerSource, options: NatsServerOptions = {}): Promise<NatsServer> {
  if (source.kind === 'none') throw new Error(`no nats-server: ${source.why}`);
  const port = options.port ?? (await freePort());
  const storeDir = options.storeDir ?? (await mkdtemp(join(tmpdir(), 'secateur-nats-')));
  const flags = (store: string) => (options.jetStream === false ? [] : ['-js', '-sd', store]);
  const server =
    source.kind === 'binary'
      ? binary(source.path, port, flags(storeDir))
      : container(source.image, port, storeDir, flags(STORE_IN_CONTAINER));
  await server.start();
  await untilAnswers(port);
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    kill: () => server.kill(),
    restart: async () => {
      await server.start();
      await untilAnswers(port);
    },
    wipeStore: async () => {
      for (const entry of await readdir(storeDir)) await rm(join(storeDir, entry), { recursive: true });
    },
    saveStore: (folder) => cp(storeDir, folder, { recursive: true }),
    restoreStore: async (folder) => {
      await rm(storeDir, { recursive: true });
      await cp(folder, storeDir, { recursive: true });
    },
    stop: async () => {
      await server.kill();
      await server.remove();
      if (options.storeDir === undefined) await rm(storeDir, { recursive: true, force: true });
    },
  };
}

interface ServerProcess {
  start(): Promise<void>;
  kill(): Promise<void>;
  remove(): Promise<void>;
}

function binary(path: string, port: number, flags: readonly string[]): ServerProcess {
  let child: ChildProcess | undefined;
  return {
    start: async () => {
      child = spawn(path, ['-a', '127.0.0.1', '-p', String(port), ...flags], { stdio: 'ignore' });
      await once(child, 'spawn');
    },
    kill: async () => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
    remove: async () => {},
  };
}

function container(image: string, port: number, storeDir: string, flags: readonly string[]): ServerProcess {
  let started: StartedTestContainer | undefined;
  const handle = async (id: string) => (await getContainerRuntimeClient()).container.getById(id);
  return {
    start: async () => {
      if (started !== undefined) {
        await (await handle(started.getId())).start();
        return;
      }
      const user = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
      started = await new GenericContainer(image)
        // A fixed host port: Docker would give another one after each restart.
        .withExposedPorts({ container: 4222, host: port })
        .withBindMounts([{ source: storeDir, target: STORE_IN_CONTAINER, mode: 'rw' }])
        .withUser(user)
        .withCommand([...flags])
        // The image has no shell, so the default wait for the port would never end.
        .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
        .start();
    },
    kill: async () => {
      if (started === undefined) return;
      const { State } = await (await handle(started.getId())).inspect();
      if (State.Running) await (await handle(started.getId())).kill();
    },
    remove: async () => {
      await started?.stop({ remove: true });
    },
  };
}

/** Undefined where the image is there; otherwise why it is not. */
async function tryImage(): Promise<string | undefined> {
  try {
    await run('docker', ['info', '--format', '{{.ServerVersion}}'], { timeout: DOCKER_ANSWER_MS });
  } catch {
    return 'no daemon answers';
  }
  try {
    await run('docker', ['image', 'inspect', IMAGE], { timeout: DOCKER_ANSWER_MS });
    return undefined;
  } catch {
    // Not here yet: pulled below.
  }
  try {
    await run('docker', ['pull', IMAGE], { timeout: DOCKER_PULL_MS });
    return undefined;
  } catch (thrown) {
    return `cannot pull ${IMAGE} (${firstLine(thrown)})`;
  }
}

/** Undefined where the program now stands at `target`; otherwise why it does not. */
async function tryDebianPackage(target: string): Promise<string | undefined> {
  try {
    await mkdir(dirname(target), { recursive: true });
    // Two test workers may do this at once: each in its own folder, and the rename is atomic.
    const folder = await mkdtemp(`${target}-`);
    try {
      const download = () => run('apt-get', ['-qq', 'download', 'nats-server'], { cwd: folder, timeout: APT_MS });
      await download().catch(async () => {
        // The package lists may be missing or old; refreshing them needs rights that we may not have.
        await run('apt-get', ['-qq', 'update'], { timeout: APT_MS });
        await download();
      });
      const [archive] = (await readdir(folder)).filter((name) => name.endsWith('.deb'));
      if (archive === undefined) return 'apt-get downloaded nothing';
      await run('dpkg', ['-x', archive, 'root'], { cwd: folder, timeout: APT_MS });
      await rename(join(folder, 'root', 'usr', 'sbin', 'nats-server'), target);
      return undefined;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  } catch (thrown) {
    return firstLine(thrown);
  }
}

async function findExecutable(candidates: readonly string[]): Promise<string | undefined> {
  for (const candidate of candidates) {
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not there: the next one.
    }
  }
  return undefined;
}

/** A loopback port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('the probe has no port');
  return address.port;
}

/** A server that answers sends INFO as soon as somebody connects. */
async function untilAnswers(port: number): Promise<void> {
  const giveUpAtMs = performance.now() + READY_MS;
  while (!(await answers(port))) {
    if (performance.now() > giveUpAtMs) throw new Error(`nats-server did not answer on port ${port} in ${READY_MS} ms`);
    await sleep(POLL_MS);
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const finish = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('data', () => finish(true));
    socket.once('error', () => finish(false));
    socket.once('close', () => finish(false));
  });
}

function firstLine(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return (lines.find((line) => /error|E:/i.test(line)) ?? lines[0] ?? 'unknown').trim().slice(0, 200);
}
