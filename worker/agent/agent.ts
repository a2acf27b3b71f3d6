/**
 * The worker's agent: keeps one stream to the coordinator, hands tasks to the engine, and brings back what came of them.
 *
 * Invariants:
 *  1. One task at a time; another that is assigned meanwhile waits in `waiting`.
 *  2. A result is kept and sent again until it is acknowledged: a coordinator that restarts loses none.
 *  3. The engine's end is a result (`EngineCrashed`), never the agent's end.
 *  4. `holdings` is what the engine last said that it holds; an engine that has ended holds nothing.
 */
import { rm } from 'node:fs/promises';
import { hostname, totalmem } from 'node:os';
import type { Log, LogLevel } from '../../shared/log.ts';
import type { CoordinatorMessage__Output } from '../../shared/rpc/generated/secateur/v1/CoordinatorMessage.ts';
import type { Task__Output } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import type { TaskIdentity__Output } from '../../shared/rpc/generated/secateur/v1/TaskIdentity.ts';
import type { TaskResult } from '../../shared/rpc/generated/secateur/v1/TaskResult.ts';
import type { WorkerMessage } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { VERSION } from '../../shared/version.ts';
import type { EngineOptions, FromEngine, StageHolding } from '../engine/messages.ts';
import { AttachStream } from './attach-stream.ts';
import { EngineProcess, type EngineReady } from './engine-process.ts';
import { LogBuffer } from './log-buffer.ts';
import { residentBytes } from './resident-bytes.ts';
import { TaskSlot } from './task-slot.ts';

export interface AgentOptions {
  readonly engine: EngineOptions;
  readonly worker: string;
  readonly incarnation: string;
  readonly log: Log;
}

/**
 * A running task says something after every microbatch, tensor or megabyte; the longest silence is the tokenizing of a
 * very large text. An engine that is silent for longer hangs (a dead network mount, a stuck driver).
 */
const ENGINE_SILENCE_MAX_MS = 15 * 60_000;

export class Agent {
  private readonly options: AgentOptions;
  private readonly stream: AttachStream;
  private engine: EngineProcess | null = null;
  private device: EngineReady | null = null;
  private running: TaskSlot | null = null;
  private readonly finished: TaskSlot[] = [];
  private readonly waiting: TaskSlot[] = [];
  private readonly logs = new LogBuffer();
  private readonly holdings = new Map<string, readonly StageHolding[]>();
  private heartbeat: NodeJS.Timeout | null = null;
  private draining = false;
  /** When the engine last said something. */
  private heardMs = 0;
  private readonly ended = Promise.withResolvers<void>();

  constructor(options: AgentOptions) {
    this.options = options;
    this.stream = new AttachStream(options.engine.coordinator, {
      register: () => this.register(),
      registered: (message) => this.registered(message.heartbeatIntervalMs, message.epoch),
      message: (message) => this.receive(message),
      log: options.log,
      refused: (error) => this.ended.reject(error),
    });
  }

  /** Resolves when the worker has drained; rejects when it cannot serve at all (no engine, name taken). */
  async serve(): Promise<void> {
    this.device = await this.startEngine().ready;
    this.options.log('info', `engine ready on ${this.device.provider}, onnxruntime ${this.device.engineVersion}`);
    this.stream.open();
    await this.ended.promise;
  }

  /** Takes no new task; leaves when the running one has ended and is acknowledged. */
  drain(): void {
    if (this.draining) return;
    this.draining = true;
    this.options.log('info', 'draining: leaves after the running task');
    this.stream.send({ draining: { leaving: false } });
    this.leaveWhenDone();
  }

  /** Leaves at once; whatever runs is lost. */
  stop(): void {
    this.draining = true;
    this.waiting.length = 0;
    this.leave();
  }

  private leaveWhenDone(): void {
    if (this.draining && this.running === null && this.finished.length === 0) this.leave();
  }

  private leave(): void {
    if (this.heartbeat !== null) clearInterval(this.heartbeat);
    this.logs.sendTo(this.stream);
    this.stream.close({ draining: { leaving: true } });
    this.endEngine();
    rm(this.options.engine.cacheDirectory, { recursive: true, force: true }).then(
      this.ended.resolve,
      this.ended.reject,
    );
  }

  private startEngine(): EngineProcess {
    const engine = new EngineProcess(this.options.engine, {
      message: (message) => {
        if (this.engine === engine) this.engineSaid(message);
      },
      ended: (why) => {
        if (this.engine === engine) this.engineEnded(why);
      },
    });
    this.engine = engine;
    return engine;
  }

  /** Every task that the coordinator gave and has not acknowledged. */
  private slots(): TaskSlot[] {
    return [...this.finished, ...(this.running === null ? [] : [this.running]), ...this.waiting];
  }

  private register(): WorkerMessage {
    const { worker, incarnation, engine } = this.options;
    return {
      register: {
        worker,
        incarnation,
        version: VERSION,
        host: hostname(),
        processId: process.pid,
        provider: this.device?.provider ?? engine.provider,
        threads: engine.threads,
        memoryBytes: Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem()),
        engineVersion: this.device?.engineVersion ?? '',
        tasks: this.slots().map((slot) => slot.identity),
        holdings: [...this.holdings].flatMap(([job, stages]) => stages.map((stage) => ({ job, ...stage }))),
      },
    };
  }

  /** Attached, or attached again: what the coordinator has not acknowledged is sent once more. */
  private registered(heartbeatIntervalMs: number, epoch: number): void {
    this.options.log('info', `attached to ${this.options.engine.coordinator}, epoch ${epoch}`);
    if (this.draining) this.stream.send({ draining: { leaving: false } });
    this.logs.sendTo(this.stream);
    for (const slot of this.slots()) {
      for (const statistics of slot.allStatistics()) this.stream.send({ statistics });
      if (slot.result !== null) this.stream.send({ result: slot.result });
    }
    if (this.heartbeat !== null) clearInterval(this.heartbeat);
    this.heartbeat = setInterval(() => this.sendHeartbeat(), heartbeatIntervalMs);
  }

  private sendHeartbeat(): void {
    if (this.running !== null && performance.now() - this.heardMs > ENGINE_SILENCE_MAX_MS) {
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
        tasks: this.running === null ? [] : [this.running.report()],
        residentBytes: process.memoryUsage.rss(),
        engineResidentBytes: enginePid === undefined ? 0 : residentBytes(enginePid),
      },
    });
  }

  private receive(message: CoordinatorMessage__Output): void {
    if (message.assign?.identity) this.assign(message.assign, message.assign.identity);
    else if (message.abort) this.abort(message.abort);
    else if (message.acknowledge) this.acknowledge(message.acknowledge);
    else if (message.release) this.release(message.release.job);
  }

  private assign(task: Task__Output, identity: TaskIdentity__Output): void {
    if (this.slots().some((slot) => slot.is(identity))) return;
    this.waiting.push(new TaskSlot(task, identity));
    this.runNext();
  }

  private runNext(): void {
    if (this.running !== null) return;
    const slot = this.waiting.shift();
    if (slot === undefined) return this.leaveWhenDone();
    this.running = slot;
    const others = [...this.holdings.keys()].filter((job) => job !== slot.identity.job);
    if (others.length > 0) {
      this.endEngine();
      this.holdings.clear();
    }
    this.log('info', `begins ${slot.identity.task}, attempt ${slot.identity.attempt}`, slot);
    const engine = this.engine ?? this.startEngine();
    this.heardMs = performance.now();
    engine.run(slot.task);
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
    const position = this.finished.findIndex((slot) => slot.is(identity));
    if (position >= 0) this.finished.splice(position, 1);
    this.leaveWhenDone();
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
    this.heardMs = performance.now();
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
      case 'succeeded':
        this.setHoldings(message.job, message.holdings);
        this.finish({ ...message.outcome, holdingsLost: false });
        break;
      case 'failed': {
        const { code, message: text, retryable, details } = message;
        this.setHoldings(message.job, message.holdings);
        this.log('error', text, slot);
        this.finish({
          error: { code, message: text, retryable, detailsJson: JSON.stringify(details) },
          holdingsLost: !this.stillHolds(slot, message.holdings),
        });
        break;
      }
      case 'ready':
        break;
    }
  }

  /** A pass that failed may have taken its stage's hidden states with it; other tasks have none. */
  private stillHolds(slot: TaskSlot | null, holdings: readonly StageHolding[]): boolean {
    const stage = slot?.task.pass?.stage;
    return stage === undefined || holdings.some((holding) => holding.stage === stage);
  }

  private setHoldings(job: string, stages: readonly StageHolding[]): void {
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
        holdingsLost: true,
      });
    }
    this.tellHoldingsLost(why);
  }

  private tellHoldingsLost(why: string): void {
    for (const job of this.holdings.keys()) this.stream.send({ holdingsLost: { job, why } });
    this.holdings.clear();
  }

  private finish(result: Omit<TaskResult, 'identity'>): void {
    const slot = this.running;
    if (slot === null) return;
    this.running = null;
    slot.result = { identity: slot.identity, ...result };
    this.finished.push(slot);
    this.stream.send({ result: slot.result });
    this.log('info', `ended ${slot.identity.task}`, slot);
    this.runNext();
  }

  /** To this process's own log, and with the job to the coordinator. */
  private log(level: LogLevel, message: string, slot: TaskSlot | null, source = 'agent'): void {
    const { job = '', task = '', attempt } = slot?.identity ?? {};
    this.options.log(level, message, { source, ...(job === '' ? {} : { job, task, attempt }) });
    // Lines of no job stand in this process's own log only.
    if (job !== '') this.logs.add({ job, task, source, level, atMs: Date.now(), message });
    this.logs.sendTo(this.stream);
  }
}
