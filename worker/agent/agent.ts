/**
 * The worker's agent: keeps one stream to the coordinator, hands tasks to the engine, and brings back what came of them.
 *
 * Invariants:
 *  1. One task at a time; another that is assigned meanwhile waits in `waiting`.
 *  2. A result is kept and sent again until it is acknowledged: a coordinator that restarts loses none.
 *  3. The engine's end is a result (`EngineCrashed`), never the agent's end.
 *  4. `holdings` is what the engine last said that it holds; an engine that has ended holds nothing.
 *  5. A worker that was asked to leave takes no new work: it hands over what it holds, and leaves when the coordinator
 *     says that nothing is left, or when its time is up.
 */
import { reach } from '../../shared/failpoint.ts';
import type { Log, LogLevel } from '../../shared/log.ts';
import type { CoordinatorMessage__Output } from '../../shared/rpc/generated/secateur/v1/CoordinatorMessage.ts';
import type { MicrobatchRange } from '../../shared/rpc/generated/secateur/v1/MicrobatchRange.ts';
import type { Task__Output } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import type { TaskIdentity__Output } from '../../shared/rpc/generated/secateur/v1/TaskIdentity.ts';
import type { TaskResult } from '../../shared/rpc/generated/secateur/v1/TaskResult.ts';
import type { WorkerMessage } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { rangesOf } from '../../shared/rpc/microbatch-ranges.ts';
import type { Timer, Timers } from '../../shared/timers.ts';
import { VERSION } from '../../shared/version.ts';
import type { HeldStates } from '../engine/hidden-store.ts';
import type { EngineReady, FromEngine } from '../engine/messages.ts';
import { AttachStream, type AttachTransport } from './attach-stream.ts';
import type { Engine, StartEngine } from './engine.ts';
import { LogBuffer } from './log-buffer.ts';
import { TaskSlot } from './task-slot.ts';

/** The process and machine that a worker runs on. */
export interface WorkerHost {
  readonly name: string;
  readonly processId: number;
  readonly memoryBytes: number;
  /** Of another process; of this one where it is not given. */
  residentBytes(processId?: number): number;
}

export interface AgentOptions {
  readonly worker: string;
  readonly incarnation: string;
  readonly threads: number;
  readonly host: WorkerHost;
  readonly startEngine: StartEngine;
  readonly transport: AttachTransport;
  /** Removes what the worker kept on its disk; called once, when it leaves. */
  readonly removeCache: () => Promise<void>;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

/**
 * A running task says something after every run of a graph, every tensor, and every second of a solver that gets on; the longest
 * silence is one run of a wide layer, or the tokenizing of a very large text. An engine that is silent for longer hangs (a dead network mount, a stuck driver).
 */
const ENGINE_SILENCE_MAX_MS = 15 * 60_000;
/** Kubernetes kills after 30 s unless told otherwise: by then everything must be over. */
const DRAIN_MAX_MS = 20_000;

export class Agent {
  private readonly options: AgentOptions;
  private readonly stream: AttachStream;
  private engine: Engine | null = null;
  private device: EngineReady | null = null;
  private running: TaskSlot | null = null;
  private readonly finished: TaskSlot[] = [];
  private readonly waiting: TaskSlot[] = [];
  private readonly logs = new LogBuffer();
  private readonly holdings = new Map<string, readonly HeldStates[]>();
  private heartbeat: Timer | null = null;
  private draining = false;
  private drainTimer: Timer | null = null;
  private hasLeft = false;
  /** When the engine last said something. */
  private heardMs = 0;
  private readonly ended = Promise.withResolvers<void>();

  constructor(options: AgentOptions) {
    this.options = options;
    this.stream = new AttachStream(options, {
      register: () => this.register(),
      registered: (message) => this.registered(message.heartbeatIntervalMs, message.epoch),
      message: (message) => this.receive(message),
      log: options.log,
      refused: (error) => this.ended.reject(error),
    });
  }

  /** Resolves when the worker has drained; rejects when it cannot serve at all (no engine, name taken). */
  async serve(): Promise<void> {
    try {
      this.device = await this.startEngine().ready;
    } catch (thrown) {
      // A worker that was asked to leave while its engine started has ended it, or Ctrl-C has, which reaches both.
      if (!this.hasLeft) throw thrown;
    }
    if (this.device === null || this.hasLeft) return this.ended.promise;
    this.options.log('info', `engine ready on ${this.device.provider}, onnxruntime ${this.device.engineVersion}`);
    this.stream.open();
    await this.ended.promise;
  }

  /** Takes no new work: a running pass stops after its microbatch, what is held is handed over, then it leaves. */
  drain(): void {
    if (this.draining) return;
    this.draining = true;
    this.engine?.yield();
    const drainSeconds = DRAIN_MAX_MS / 1000;
    this.drainTimer = this.options.timers.setTimeout(
      () => this.leave(`after ${drainSeconds} s; what it still holds is computed again`, 'warn'),
      DRAIN_MAX_MS,
    );
    if (this.stream.send({ draining: { leaving: false } })) {
      this.options.log('info', `draining: hands over what it holds and leaves, within ${drainSeconds} s`);
    } else if (this.slots().length === 0) {
      this.leave('there is no stream to the coordinator, and no result that waits for one');
    } else {
      this.options.log(
        'info',
        `draining: what it computes needs a stream to the coordinator, and there is none: waits for it for ${drainSeconds} s (a second signal ends it at once)`,
      );
    }
  }

  /** Leaves at once; whatever runs is lost. */
  stop(): void {
    this.draining = true;
    this.waiting.length = 0;
    this.leave('at once; what it ran or held is computed again');
  }

  private leave(how: string, level: LogLevel = 'info'): void {
    if (this.hasLeft) return;
    this.hasLeft = true;
    this.options.log(level, `leaves: ${how}`);
    this.drainTimer?.clear();
    this.heartbeat?.clear();
    this.logs.sendTo(this.stream);
    this.stream.close({ draining: { leaving: true } });
    this.endEngine();
    this.options.removeCache().then(() => {
      this.options.log('info', 'left');
      this.ended.resolve();
    }, this.ended.reject);
  }

  private startEngine(): Engine {
    const engine = this.options.startEngine(
      {
        message: (message) => {
          if (this.engine === engine) this.engineSaid(message);
        },
        ended: (why) => {
          if (this.engine === engine) this.engineEnded(why);
        },
      },
      { measure: this.device === null },
    );
    this.engine = engine;
    return engine;
  }

  /** Every task that the coordinator gave and has not acknowledged. */
  private slots(): TaskSlot[] {
    return [...this.finished, ...(this.running === null ? [] : [this.running]), ...this.waiting];
  }

  private register(): WorkerMessage {
    const { worker, incarnation, threads, host } = this.options;
    return {
      register: {
        worker,
        incarnation,
        version: VERSION,
        host: host.name,
        processId: host.processId,
        provider: this.device?.provider ?? '',
        threads,
        memoryBytes: host.memoryBytes,
        engineVersion: this.device?.engineVersion ?? '',
        ...this.device?.figures,
        tasks: this.slots().map((slot) => slot.identity),
        holdings: [...this.holdings.keys()].flatMap((job) => this.holdingsOf(job)),
      },
    };
  }

  /** Attached, or attached again: what the coordinator has not acknowledged is sent once more. */
  private registered(heartbeatIntervalMs: number, epoch: number): void {
    this.options.log('info', `attached to ${this.options.transport.address}, epoch ${epoch}`);
    if (this.draining) this.stream.send({ draining: { leaving: false } });
    this.logs.rewind();
    this.logs.sendTo(this.stream);
    for (const slot of this.slots()) {
      for (const statistics of slot.allStatistics()) this.stream.send({ statistics });
      // What the engine holds by now, not what it held when the task ended.
      if (slot.result !== null) {
        this.stream.send({ result: { ...slot.result, holdings: this.holdingsOf(slot.identity.job) } });
      }
    }
    this.heartbeat?.clear();
    this.heartbeat = this.options.timers.setInterval(() => this.sendHeartbeat(), heartbeatIntervalMs);
  }

  private sendHeartbeat(): void {
    const { host, timers } = this.options;
    const silentMs = Math.floor(timers.monotonicMs() - this.heardMs);
    if (this.running !== null && silentMs > ENGINE_SILENCE_MAX_MS) {
      this.log(
        'error',
        `the engine said nothing for ${ENGINE_SILENCE_MAX_MS / 60_000} minutes: it is ended`,
        this.running,
      );
      this.engine?.kill();
    }
    this.logs.sendTo(this.stream);
    const enginePid = this.engine?.processId;
    this.stream.send({
      heartbeat: {
        tasks:
          this.running === null ? [] : [{ ...this.running.report(), silentMs, silentMaxMs: ENGINE_SILENCE_MAX_MS }],
        residentBytes: host.residentBytes(),
        engineResidentBytes: enginePid === undefined ? 0 : host.residentBytes(enginePid),
      },
    });
  }

  private receive(message: CoordinatorMessage__Output): void {
    if (message.assign?.identity) this.assign(message.assign, message.assign.identity);
    else if (message.abort) this.abort(message.abort);
    else if (message.acknowledge) this.acknowledge(message.acknowledge);
    else if (message.logsWritten) this.logs.acknowledge(message.logsWritten.sequence);
    else if (message.release) this.release(message.release.job);
    else if (message.dismiss && this.draining) this.leave('everything is handed over');
  }

  private assign(task: Task__Output, identity: TaskIdentity__Output): void {
    reach('agent.task-received');
    if (this.slots().some((slot) => slot.is(identity))) return;
    this.waiting.push(new TaskSlot(task, identity));
    this.runNext();
  }

  private runNext(): void {
    if (this.running !== null) return;
    const slot = this.waiting.shift();
    if (slot === undefined) return;
    this.running = slot;
    const others = [...this.holdings.keys()].filter((job) => job !== slot.identity.job);
    if (others.length > 0) {
      this.endEngine();
      this.holdings.clear();
    }
    this.log('info', `begins ${slot.identity.task}, lease ${slot.identity.attempt}`, slot);
    const engine = this.engine ?? this.startEngine();
    this.heardMs = this.options.timers.monotonicMs();
    engine.run(slot.task);
    if (this.draining) engine.yield();
  }

  private abort(identity: TaskIdentity__Output): void {
    const position = this.waiting.findIndex((slot) => slot.is(identity));
    if (position >= 0) this.waiting.splice(position, 1);
    this.acknowledge(identity);
    if (this.running?.is(identity)) {
      this.log('info', `aborts ${identity.task}`, this.running);
      this.running = null;
      this.endEngine();
      this.tellHoldingsLost('the running task was aborted');
      this.runNext();
    }
  }

  private acknowledge(identity: TaskIdentity__Output): void {
    reach('agent.result-acknowledged');
    const position = this.finished.findIndex((slot) => slot.is(identity));
    if (position >= 0) this.finished.splice(position, 1);
  }

  private release(job: string): void {
    this.holdings.delete(job);
    if (this.running === null || this.running.identity.job === job) {
      this.running = null;
      // Ending the process is what gives its memory back for certain.
      this.endEngine();
      this.runNext();
    }
  }

  /** Ends the engine on purpose: the next task starts a new one. */
  private endEngine(): void {
    const engine = this.engine;
    this.engine = null;
    engine?.kill();
  }

  private engineSaid(message: FromEngine): void {
    this.heardMs = this.options.timers.monotonicMs();
    const slot = this.running;
    switch (message.type) {
      case 'log':
        this.log(message.level, message.message, slot, 'engine');
        break;
      case 'progress':
        slot?.advance(message.done, message.total, message.unit);
        break;
      case 'statistics':
        if (slot !== null)
          this.stream.send({ statistics: slot.addStatistics(message.layer, message.sample, message.float32) });
        break;
      case 'snapshot':
        if (slot !== null) this.stream.send({ snapshot: { identity: slot.identity, snapshot: message.snapshot } });
        break;
      case 'succeeded':
        this.setHoldings(message.job, message.holdings);
        this.finish({ ...message.outcome });
        break;
      case 'failed': {
        const { code, message: text, retryable, details } = message;
        this.setHoldings(message.job, message.holdings);
        this.log('error', text, slot);
        this.finish({
          error: { code, message: text, retryable, detailsJson: JSON.stringify(details) },
        });
        break;
      }
      case 'ready':
        break;
    }
  }

  private holdingsOf(job: string): { job: string; boundary: number; microbatches: MicrobatchRange[] }[] {
    const held = this.holdings.get(job) ?? [];
    return held.map(({ boundary, microbatches }) => ({ job, boundary, microbatches: rangesOf(microbatches) }));
  }

  private setHoldings(job: string, stages: readonly HeldStates[]): void {
    if (stages.length === 0) this.holdings.delete(job);
    else this.holdings.set(job, stages);
  }

  private engineEnded(why: string): void {
    this.engine = null;
    const slot = this.running;
    this.log('error', `the engine ended: ${why}`, slot);
    if (slot !== null) {
      this.holdings.delete(slot.identity.job);
      const message = `the engine of worker ${this.options.worker} ended while it ran ${slot.identity.task}: ${why}`;
      this.finish({
        error: { code: 'EngineCrashed', message, retryable: true, detailsJson: '{}' },
      });
    }
    this.tellHoldingsLost(why);
  }

  private tellHoldingsLost(why: string): void {
    for (const job of this.holdings.keys()) this.stream.send({ holdings: { job, why, holdings: [] } });
    this.holdings.clear();
  }

  private finish(result: Omit<TaskResult, 'identity' | 'holdings'>): void {
    const slot = this.running;
    if (slot === null) return;
    this.running = null;
    const { job } = slot.identity;
    slot.result = { identity: slot.identity, holdings: this.holdingsOf(job), ...result };
    this.finished.push(slot);
    reach('agent.result-made');
    this.stream.send({ result: slot.result });
    reach('agent.result-sent');
    const { error } = result;
    if (error) this.log('warn', `failed ${slot.identity.task} (${error.code})`, slot);
    else this.log('info', `ended ${slot.identity.task}`, slot);
    this.runNext();
  }

  /** To this process's own log, and with the job to the coordinator. */
  private log(level: LogLevel, message: string, slot: TaskSlot | null, source = 'agent'): void {
    const { job = '', task = '', attempt } = slot?.identity ?? {};
    this.options.log(level, message, { source, ...(job === '' ? {} : { job, task, lease: attempt }) });
    // Lines of no job stand in this process's own log only.
    if (job !== '') this.logs.add({ job, task, source, level, atMs: this.options.timers.now(), message });
    this.logs.sendTo(this.stream);
  }
}
