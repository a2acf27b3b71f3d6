/**
 * A simulated network between workers and the coordinator: what gRPC promises of Workers.Attach, and how it breaks.
 *
 * Invariants:
 *  1. Messages cross as the bytes of the real protocol: nothing is shared by reference.
 *  2. Within a stream, messages come in order and once, unless the link was told to be `unruly`: then some come twice
 *     and some overtake each other (never the first of a stream: without it there is no stream).
 *  3. A cut delivers nothing in its direction and tells nobody. What is under way waits in the kernel: it comes when the
 *     cut heals, unless the keepalive of either end has given the stream up before.
 *  4. What was said in an earlier epoch is said again only where a test asks for it (`echo`): no stream does that, a
 *     process that does not know that it was taken over from might.
 *  5. A process that dies is told to the other end at once where the way there is open, else by the keepalive.
 */
import { EventEmitter } from 'node:events';
import type { WorkerStream } from '../../coordinator/api/worker-stream.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { CoordinatorMessage } from '../../shared/rpc/generated/secateur/v1/CoordinatorMessage.ts';
import type { WorkerMessage } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { toServiceError } from '../../shared/rpc/status.ts';
import type { AttachCall, AttachTransport } from '../../worker/agent/attach-stream.ts';
import type { Breakage } from './mutants.ts';
import type { SimulatedProcess, SimulatedTime } from './time.ts';

/** As gRPC's streams: past this, `write` says that the other side does not keep up. */
const HIGH_WATER_MESSAGES = 16;
/** shared/rpc/channel.ts: a ping every 10 s, 5 s for its answer. */
const KEEPALIVE_MIN_MS = 5_000;
const KEEPALIVE_MAX_MS = 15_000;
/** A stream must be over by the last of so many looks. */
const ENDS_AFTER_LOOKS = 3;
const ENDS_LOOK_MS = 700;
/** What of an epoch may come again. */
const ECHO_MESSAGES = 30;
const CONNECT_TIMEOUT_MS = 20_000;

const { requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } =
  SERVICES.Workers.service.Attach;

type Heard = Breakage['heard'];
type Side = 'worker' | 'coordinator';

export interface Link {
  readonly delayMs: number;
  readonly jitterMs: number;
  /** Chance of a message to come twice, and of one to overtake the one before it. */
  unruly: number;
  /** Nothing arrives at this side. */
  readonly cut: Set<Side>;
  /** To either side, by epoch: the newest messages, without those that only say how far something is. */
  readonly said: { readonly [side in Side]: Map<number, Buffer[]> };
}

type Frame =
  | { readonly kind: 'message'; readonly bytes: Buffer; readonly isFirst: boolean }
  /** The sender has said its last word. */
  | { readonly kind: 'end' }
  /** The stream is over, at once. */
  | { readonly kind: 'over'; readonly error: Error | null };

interface Listener {
  readonly process: SimulatedProcess;
  readonly accept: (stream: WorkerStream) => void;
}

export class SimulatedNetwork {
  /** What was the most at any time. */
  readonly most = { queuedMessages: 0, queuedBytes: 0, messageBytes: 0 };
  delivered = 0;
  readonly time: SimulatedTime;
  readonly random: () => number;
  /** Told of an end that keeps its stream although a message of another epoch has come to it. */
  wentOn: (who: string) => void = () => undefined;
  private readonly links = new Map<string, Link>();
  private readonly connections = new Set<Connection>();
  private listener: Listener | null = null;

  constructor(time: SimulatedTime, random: () => number) {
    this.time = time;
    this.random = random;
  }

  listen(process: SimulatedProcess, accept: (stream: WorkerStream) => void): void {
    this.listener = { process, accept };
  }

  linkOf(worker: string): Link {
    const known = this.links.get(worker);
    if (known !== undefined) return known;
    const said = { worker: new Map(), coordinator: new Map() };
    const [delayMs, jitterMs] = [0.2 + this.random(), this.random() * 3];
    const link: Link = { delayMs, jitterMs, unruly: 0, cut: new Set(), said };
    this.links.set(worker, link);
    return link;
  }

  /** Nothing arrives at `side` any more, or at either. */
  cut(worker: string, side: Side | 'both'): void {
    const link = this.linkOf(worker);
    for (const each of ['worker', 'coordinator'] as const) if (side === each || side === 'both') link.cut.add(each);
    for (const connection of this.connections) if (connection.link === link) connection.doubt();
  }

  heal(worker: string): void {
    const link = this.linkOf(worker);
    link.cut.clear();
    for (const connection of [...this.connections]) if (connection.link === link) connection.resume();
  }

  /** Both ends of this worker's streams see them break; what was under way is lost. */
  breakStreams(worker: string): void {
    const link = this.linkOf(worker);
    for (const connection of [...this.connections]) if (connection.link === link) connection.break();
  }

  /** What was said in an earlier epoch than the newest comes once more, to one side of this worker's stream; false where nothing was. */
  echo(worker: string): boolean {
    const link = this.linkOf(worker);
    const connection = [...this.connections].findLast((each) => each.link === link && each.isWhole);
    if (connection === undefined) return false;
    const side = this.random() < 0.5 ? 'worker' : 'coordinator';
    const said = [...link.said[side]].sort(([a], [b]) => a - b).slice(0, -1);
    const [, stale = []] = said[Math.floor(this.random() * said.length)] ?? [];
    for (const bytes of stale) connection.push(side, { kind: 'message', bytes, isFirst: false });
    return stale.length > 0;
  }

  /** A process that stands still answers no ping. */
  doubt(process: SimulatedProcess): void {
    for (const connection of this.connections) if (connection.concerns(process)) connection.doubt();
  }

  /** It goes on: pings are answered again. */
  trust(process: SimulatedProcess): void {
    for (const connection of [...this.connections])
      if (connection.concerns(process) && connection.link.cut.size === 0) connection.resume();
  }

  transport(process: SimulatedProcess, worker: string, heard: Heard): AttachTransport {
    const open = (): AttachCall => this.connect(process, worker, heard);
    return { address: 'coordinator:7', open, close: () => undefined };
  }

  private connect(process: SimulatedProcess, worker: string, heard: Heard): AttachCall {
    const link = this.linkOf(worker);
    const connection = new Connection(this, link, process, heard);
    const target = this.listener;
    const unavailable = new SecateurError('Unavailable', 'cannot reach the coordinator', { retryable: true });
    if (link.cut.size > 0) {
      process.after(this.random() * CONNECT_TIMEOUT_MS, () => connection.fail('worker', unavailable));
    } else if (target === null || !target.process.isAlive) {
      process.after(1, () => connection.fail('worker', unavailable));
    } else {
      this.connections.add(connection);
      connection.established(target);
    }
    return connection.worker;
  }

  forget(connection: Connection): void {
    this.connections.delete(connection);
  }
}

/** One direction of a connection: what was sent and has not arrived. */
class Direction {
  readonly queue: Frame[] = [];
  isMoving = false;
  sentFirst = false;
  wantsDrain = false;
  queuedBytes = 0;
}

class End extends EventEmitter {
  isOver = false;
  /** Listeners of a stream that nobody looks at yet get nothing lost: what comes is told when it comes. */
  tell(event: string, ...values: unknown[]): void {
    if (event !== 'error' || this.listenerCount('error') > 0) this.emit(event, ...values);
  }
}

class WorkerEnd extends End implements AttachCall {
  readonly connection: Connection;

  constructor(connection: Connection) {
    super();
    this.connection = connection;
  }

  write(message: WorkerMessage): boolean {
    return this.connection.send('coordinator', message, requestSerialize(message));
  }

  end(): void {
    this.connection.push('coordinator', { kind: 'end' });
  }

  cancel(): void {
    this.connection.cancel();
  }

  resume(): void {}
}

class CoordinatorEnd extends End implements WorkerStream {
  readonly connection: Connection;
  private isHeld = false;

  constructor(connection: Connection) {
    super();
    this.connection = connection;
  }

  write(message: CoordinatorMessage): void {
    this.connection.send('worker', message, responseSerialize(message));
  }

  get writableLength(): number {
    return this.connection.waitingFor('worker');
  }

  pause(): void {
    this.isHeld = true;
  }

  resume(): void {
    this.isHeld = false;
    this.connection.goOn('coordinator');
  }

  isPaused(): boolean {
    return this.isHeld;
  }

  end(): void {
    this.connection.push('worker', { kind: 'over', error: null });
  }

  fail(reason: unknown): void {
    const error = toServiceError(reason);
    this.connection.push('worker', { kind: 'over', error });
    this.tell('error', error);
    this.isOver = true;
  }
}

class Connection {
  readonly worker: WorkerEnd;
  readonly coordinator: CoordinatorEnd;
  readonly link: Link;
  private readonly network: SimulatedNetwork;
  private readonly client: SimulatedProcess;
  private readonly heard: Heard;
  /** As which the worker has registered. */
  private epoch = 0;
  private server: SimulatedProcess | null = null;
  private readonly toWorker = new Direction();
  private readonly toCoordinator = new Direction();
  private isDoubted = false;
  private doubtCount = 0;

  constructor(network: SimulatedNetwork, link: Link, client: SimulatedProcess, heard: Heard) {
    this.heard = heard;
    this.network = network;
    this.link = link;
    this.client = client;
    this.worker = new WorkerEnd(this);
    this.coordinator = new CoordinatorEnd(this);
    this.coordinator.isOver = true;
  }

  established({ process, accept }: Listener): void {
    this.server = process;
    this.coordinator.isOver = false;
    process.after(0, () => accept(this.coordinator));
    this.client.onEnd(() => this.died('worker'));
    process.onEnd(() => this.died('coordinator'));
  }

  concerns(process: SimulatedProcess): boolean {
    return this.client === process || this.server === process;
  }

  private direction(to: Side): Direction {
    return to === 'worker' ? this.toWorker : this.toCoordinator;
  }

  private end(side: Side): End {
    return side === 'worker' ? this.worker : this.coordinator;
  }

  private process(side: Side): SimulatedProcess | null {
    return side === 'worker' ? this.client : this.server;
  }

  /** Both ends have said their first word, and neither its last. */
  get isWhole(): boolean {
    const isBegun = this.toWorker.sentFirst && this.toCoordinator.sentFirst;
    return isBegun && !this.worker.isOver && !this.coordinator.isOver;
  }

  send(to: Side, message: WorkerMessage | CoordinatorMessage, bytes: Buffer): boolean {
    const direction = this.direction(to);
    this.keep(to, message, bytes);
    const { most } = this.network;
    most.messageBytes = Math.max(most.messageBytes, bytes.length);
    const isFirst = !direction.sentFirst;
    direction.sentFirst = true;
    this.push(to, { kind: 'message', bytes, isFirst });
    most.queuedMessages = Math.max(most.queuedMessages, direction.queue.length);
    most.queuedBytes = Math.max(most.queuedBytes, direction.queuedBytes);
    const isRoom = direction.queue.length < HIGH_WATER_MESSAGES;
    direction.wantsDrain ||= !isRoom;
    return isRoom;
  }

  private keep(to: Side, message: WorkerMessage | CoordinatorMessage, bytes: Buffer): void {
    const isOfNoUse = 'registered' in message || 'heartbeat' in message || 'statistics' in message;
    if (message.epoch === undefined || isOfNoUse) return;
    const said = this.link.said[to];
    said.set(Number(message.epoch), [...(said.get(Number(message.epoch)) ?? []), bytes].slice(-ECHO_MESSAGES));
  }

  push(to: Side, frame: Frame): void {
    const from = to === 'worker' ? 'coordinator' : 'worker';
    if (this.end(from).isOver || !this.process(from)?.isAlive) return;
    const direction = this.direction(to);
    direction.queue.push(frame);
    if (frame.kind === 'message') direction.queuedBytes += frame.bytes.length;
    if (frame.kind === 'over') this.end(from).isOver = true;
    this.move(to);
  }

  waitingFor(to: Side): number {
    return this.direction(to).queue.length;
  }

  /** The reader takes messages again. */
  goOn(to: Side): void {
    this.move(to);
  }

  private isHeldBack(to: Side): boolean {
    return this.link.cut.has(to) || (to === 'coordinator' && this.coordinator.isPaused() && this.isMessageNext(to));
  }

  /** The end of a stream is told whoever reads. */
  private isMessageNext(to: Side): boolean {
    return this.direction(to).queue[0]?.kind === 'message';
  }

  private move(to: Side): void {
    const direction = this.direction(to);
    const receiver = this.process(to);
    if (direction.isMoving || direction.queue.length === 0 || receiver === null || this.isHeldBack(to)) return;
    direction.isMoving = true;
    const { delayMs, jitterMs } = this.link;
    // A burst shares one way: only its first message pays for it.
    const isBurst = this.network.random() < 0.7;
    receiver.after(delayMs + (isBurst ? 0 : this.network.random() * jitterMs), () => {
      direction.isMoving = false;
      if (this.isHeldBack(to)) return;
      this.deliver(to, direction);
      this.move(to);
    });
  }

  private deliver(to: Side, direction: Direction): void {
    const frame = this.take(direction);
    if (frame === undefined) return;
    const end = this.end(to);
    if (frame.kind === 'message') {
      direction.queuedBytes -= frame.bytes.length;
      this.network.delivered += 1;
      if (!end.isOver) end.tell('data', this.messageOf(to, frame.bytes));
      if (direction.wantsDrain && direction.queue.length === 0) {
        direction.wantsDrain = false;
        this.end(to === 'worker' ? 'coordinator' : 'worker').tell('drain');
      }
    } else if (frame.kind === 'end') {
      if (!end.isOver) end.tell('end');
    } else {
      this.over(to, frame.error);
    }
  }

  private messageOf(to: Side, bytes: Buffer): unknown {
    if (to === 'coordinator') {
      const message = requestDeserialize(bytes);
      if (!message.register && message.epoch !== this.epoch) this.expectEnd(to, ENDS_AFTER_LOOKS);
      return message;
    }
    const message = responseDeserialize(bytes);
    if (message.registered) this.epoch = message.epoch;
    if (message.epoch !== this.epoch) this.expectEnd(to, ENDS_AFTER_LOOKS);
    return this.heard(message, this.epoch);
  }

  /** Looks several times: one that was paused gets all that came meanwhile at once, and a disk takes its time. */
  private expectEnd(side: Side, looks: number): void {
    const process = this.process(side);
    process?.after(ENDS_LOOK_MS, () => {
      if (this.end(side).isOver) return;
      if (looks > 1) this.expectEnd(side, looks - 1);
      else this.network.wentOn(process.name);
    });
  }

  /** The next in order; on an unruly link perhaps the one behind it, or one that comes again. */
  private take(direction: Direction): Frame | undefined {
    const { queue } = direction;
    const [first, second] = queue;
    const { random } = this.network;
    if (this.link.unruly === 0 || first?.kind !== 'message' || first.isFirst || random() >= this.link.unruly)
      return queue.shift();
    if (random() < 0.5 && second?.kind === 'message') return queue.splice(1, 1)[0];
    direction.queuedBytes += first.bytes.length;
    const behind = Math.floor(random() * (queue.length + 1));
    queue.splice(Math.max(1, behind), 0, first);
    return queue.shift();
  }

  /** This side's stream has ended, with its status. */
  private over(side: Side, error: Error | null): void {
    const end = this.end(side);
    if (side === 'worker') {
      if (this.worker.isOver) return;
      end.isOver = true;
      if (error === null) end.tell('end');
      else end.tell('error', error);
      end.tell('status');
    } else {
      this.coordinator.tell('cancelled');
      end.isOver = true;
    }
    if (this.worker.isOver && this.coordinator.isOver) this.network.forget(this);
  }

  /** Told to this side by its own machine: the connection could not be made, or its keepalive has given it up. */
  fail(side: Side, error: Error): void {
    this.direction(side).queue.length = 0;
    const other = side === 'worker' ? 'coordinator' : 'worker';
    this.direction(other).queue.push({ kind: 'over', error });
    this.over(side, error);
    this.move(other);
  }

  cancel(): void {
    if (this.worker.isOver) return;
    this.toCoordinator.queue.length = 0;
    this.push('coordinator', { kind: 'over', error: null });
    this.worker.isOver = true;
  }

  break(): void {
    const error = new SecateurError('Unavailable', 'the connection was reset', { retryable: true });
    this.toWorker.queue.length = 0;
    this.toCoordinator.queue.length = 0;
    for (const side of ['worker', 'coordinator'] as const) {
      this.process(side)?.after(this.network.random() * 20, () => this.over(side, error));
    }
  }

  private died(side: Side): void {
    const other = side === 'worker' ? 'coordinator' : 'worker';
    this.end(side).isOver = true;
    // What it wrote before may still be under way; the reset comes behind it.
    const error = new SecateurError('Unavailable', 'the other side is gone', { retryable: true });
    const direction = this.direction(other);
    direction.queue.splice(Math.floor(this.network.random() * (direction.queue.length + 1)));
    direction.queue.push({ kind: 'over', error });
    this.move(other);
    if (this.link.cut.size > 0) this.doubt();
  }

  /** Either end pings; what is not answered for long enough ends the stream at that end. */
  doubt(): void {
    if (this.isDoubted) return;
    this.isDoubted = true;
    this.doubtCount += 1;
    const doubt = this.doubtCount;
    const error = new SecateurError('Unavailable', 'the keepalive got no answer', { retryable: true });
    for (const side of ['worker', 'coordinator'] as const) {
      const waitMs = KEEPALIVE_MIN_MS + this.network.random() * (KEEPALIVE_MAX_MS - KEEPALIVE_MIN_MS);
      this.process(side)?.after(waitMs, () => {
        if (this.isDoubted && this.doubtCount === doubt && !this.end(side).isOver) this.fail(side, error);
      });
    }
  }

  resume(): void {
    this.isDoubted = false;
    this.move('worker');
    this.move('coordinator');
  }
}
