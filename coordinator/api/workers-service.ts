/**
 * The workers' side of the API: one stream a worker, from its registration to its end.
 *
 * Invariants:
 *  1. What a worker reports becomes a core event only with the identity that it carries; the core decides whether it counts.
 *  2. A result is acknowledged after the journal has it, and not before.
 *  3. A log line is acknowledged after it was written, with the next heartbeat; one that comes again is not written again.
 *  4. One live stream a worker name: a second process under a name in use is refused.
 */
import { createHash } from 'node:crypto';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import type { Log } from '../../shared/log.ts';
import { countOf, difference, isEmpty, lowest, type MicrobatchSet } from '../../shared/microbatch-set.ts';
import type { CoordinatorMessage } from '../../shared/rpc/generated/secateur/v1/CoordinatorMessage.ts';
import type { Heartbeat__Output } from '../../shared/rpc/generated/secateur/v1/Heartbeat.ts';
import type { Holding__Output } from '../../shared/rpc/generated/secateur/v1/Holding.ts';
import type { LogBatch__Output } from '../../shared/rpc/generated/secateur/v1/LogBatch.ts';
import type { Register__Output } from '../../shared/rpc/generated/secateur/v1/Register.ts';
import type { SampleStatistics__Output } from '../../shared/rpc/generated/secateur/v1/SampleStatistics.ts';
import type { SnapshotWritten__Output } from '../../shared/rpc/generated/secateur/v1/SnapshotWritten.ts';
import type { TaskResult__Output } from '../../shared/rpc/generated/secateur/v1/TaskResult.ts';
import type { WorkerMessage__Output } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { setOfRanges } from '../../shared/rpc/microbatch-ranges.ts';
import type { Timer, Timers } from '../../shared/timers.ts';
import { VERSION } from '../../shared/version.ts';
import type { Command, CoreEvent, Holding, TaskIdentity, TaskOutcome } from '../core/events.ts';
import { samplesOf } from '../core/lineage.ts';
import { currentLease, type JobState, jobOf, type StagedFile, statisticsWidth, workerOf } from '../core/state.ts';
import type { PassSpec } from '../core/task.ts';
import { refusedStatistics, type StatisticsSink, type StatisticsStore } from '../effects/statistics-store.ts';
import type { JobLogs } from '../logs/job-logs.ts';
import type { CoordinatorLoop } from '../loop.ts';
import { CallLimit } from './call-limit.ts';
import { type Asked, checkHeld, checkOutcome, checkSnapshot } from './check-outcome.ts';
import { EngineSilence } from './engine-silence.ts';
import { MessageTurns } from './message-turns.ts';
import type { ProgressTracker } from './progress.ts';
import { readFailure } from './read-failure.ts';
import { readOutcome, snapshotOf } from './read-outcome.ts';
import { TaskWatch } from './task-watch.ts';
import type { WorkerStream } from './worker-stream.ts';

const HEARTBEAT_INTERVAL_MS = 1_000;
/** Without a word for this long a stream counts as broken: with the grace period, a dead worker is replaced within 20 s. */
const SILENCE_MAX_MS = 8_000;
/** A stream that has not said who it is after this long is nobody's. */
const REGISTER_TIMEOUT_MS = 10_000;
/** Messages that wait for a worker to read them. A worker has one task at a time: more than a few means that it does not read. */
const UNREAD_MAX = 64;
/** Twice the largest cluster that has been measured; each costs a socket and about 100 KB. */
const STREAMS_MAX = 2_048;

const REFUSAL_TOLD_MS = 60_000;
/** Different ones in that time: whoever sends more is no worker with a typing error, and fills no log. */
const REFUSALS_MAX = 100;

export interface WorkersContext {
  readonly loop: CoordinatorLoop;
  readonly logs: Pick<JobLogs, 'append' | 'lastSequence'>;
  readonly progress: ProgressTracker;
  readonly statistics: StatisticsStore;
  /** Looks at the file that an outcome names. @throws EngineFailed where it is not what was said */
  readonly checkStaged: (asked: Asked, outcome: TaskOutcome) => Promise<void>;
  /** Of the journal: tells whether a worker has seen a later epoch of this coordinator. */
  readonly coordinatorId: string;
  readonly timers: Timers;
  readonly log: Log;
}

type Assignment = NonNullable<CoordinatorMessage['assign']>;

export interface WorkerMemory {
  readonly residentBytes: number;
  readonly engineResidentBytes: number;
}

interface Session {
  readonly worker: string;
  readonly incarnation: string;
  /** The incarnation, as its log lines carry it: short, whatever the worker calls itself. */
  readonly life: string;
  readonly stream: WorkerStream;
  readonly turns: MessageTurns<WorkerMessage__Output>;
  /** Statistics of tasks whose result has not come yet. */
  readonly statistics: Map<string, StatisticsSink>;
  /** By job, the newest log line of this life that was taken: of this stream, or found in the log. */
  readonly logTaken: Map<string, number>;
  /** The newest log line that is written, and the newest that the worker was told of. */
  logWritten: number;
  logAcknowledged: number;
  /** Tasks that came before the core took the registration; null afterwards. */
  early: Assignment[] | null;
  memory: WorkerMemory;
  /** A heartbeat of it has come. */
  hasBeaten: boolean;
  readonly engineSilence: EngineSilence;
  /** Results in a row that left nothing of what they should have left in memory. */
  vanished: number;
  heardMs: number;
  leaving: boolean;
}

export class WorkersService {
  private readonly context: WorkersContext;
  private readonly sessions = new Map<string, Session>();
  /** What refused workers were told in the last minute, and when. */
  private readonly refusals = new Map<string, number>();
  private readonly streams = new CallLimit('worker streams', STREAMS_MAX);
  private readonly tasks = new TaskWatch();
  private readonly watchdog: Timer;

  constructor(context: WorkersContext) {
    this.context = context;
    this.watchdog = context.timers.setInterval(() => {
      this.endSilentSessions();
      this.watchTasks();
    }, HEARTBEAT_INTERVAL_MS);
  }

  close(): void {
    this.watchdog.clear();
    for (const session of this.sessions.values()) session.stream.end();
  }

  memoryOf(worker: string): WorkerMemory {
    return this.sessions.get(worker)?.memory ?? { residentBytes: 0, engineResidentBytes: 0 };
  }

  /** Sends a core command to its worker; one that is not attached gets it by the core's own means when it returns. */
  deliver(command: Extract<Command, { kind: 'abort' | 'releaseJob' | 'dismiss' }>): void {
    switch (command.kind) {
      case 'abort':
        this.discardStatistics(this.sessions.get(command.worker), command.identity);
        return this.send(command.worker, { abort: command.identity });
      case 'releaseJob':
        return this.send(command.worker, { release: { job: command.job } });
      case 'dismiss':
        return this.send(command.worker, { dismiss: {} });
    }
  }

  /** A worker that has no stream now is not told: its next registration shows that it never got the task. */
  assign(worker: string, task: Assignment): void {
    const session = this.sessions.get(worker);
    if (session?.early) session.early.push(task);
    else this.send(worker, { assign: task });
  }

  /**
   * What was leased before the core knew of this registration, it has taken back: the registration did not name it. Sent
   * all the same, the worker would run it before the one that counts.
   */
  private sendEarly(session: Session): void {
    const early = session.early ?? [];
    session.early = null;
    if (this.sessions.get(session.worker) !== session) return;
    for (const task of early) {
      const lease = currentLease(this.context.loop.state, identityOf(task.identity as TaskIdentity));
      if (lease?.worker === session.worker) this.send(session.worker, { assign: task });
    }
  }

  /** One that does not read is ended before what waits for it fills the memory; it comes back, and is told what counts. */
  private send(worker: string, message: CoordinatorMessage): void {
    const session = this.sessions.get(worker);
    if (session === undefined) return;
    const { stream } = session;
    if (stream.writableLength < UNREAD_MAX) {
      stream.write({ ...message, epoch: this.context.loop.state.epoch });
      return;
    }
    const what = `worker ${worker}: ${UNREAD_MAX} messages wait for it and it reads none`;
    this.refuse(stream, session, new SecateurError('LimitExceeded', what, { retryable: true }));
    this.detach(session).catch(this.logError);
  }

  attach(stream: WorkerStream): void {
    let leave: () => void;
    try {
      leave = this.streams.enter();
    } catch (thrown) {
      return this.refuse(stream, null, thrown);
    }
    let session: Session | null = null;
    const take = async (message: WorkerMessage__Output): Promise<void> => {
      if (session === null) session = await this.register(stream, turns, message);
      else await this.take(session, message);
    };
    const turns = new MessageTurns(stream, take, (thrown) => this.refuse(stream, session, thrown));
    const { timers } = this.context;
    const deadline = timers.setTimeout(() => this.refuse(stream, null, notRegistered()), REGISTER_TIMEOUT_MS);
    stream.on('data', (message: WorkerMessage__Output) => {
      deadline.clear();
      if (session !== null) session.heardMs = this.context.timers.monotonicMs();
      turns.add(message);
    });
    const gone = (): void => {
      deadline.clear();
      leave();
      turns.after(async () => (session === null ? undefined : this.detach(session).catch(this.logError)));
    };
    stream.on('end', () => {
      gone();
      stream.end();
    });
    stream.on('error', gone);
    stream.on('cancelled', gone);
  }

  private async register(
    stream: WorkerStream,
    turns: MessageTurns<WorkerMessage__Output>,
    message: WorkerMessage__Output,
  ): Promise<Session> {
    const register = message.register;
    if (!register) throw new SecateurError('ArgumentInvalid', 'the first message of Workers.Attach must be Register');
    checkRegister(register);
    this.checkNotOvertaken(register);
    const { worker, incarnation } = register;
    const before = this.sessions.get(worker);
    if (before !== undefined && before.incarnation !== incarnation) {
      const holder = workerOf(this.context.loop.state, worker)?.capabilities;
      const who = holder === undefined ? 'another process' : `process ${holder.processId} on ${holder.host}`;
      throw new SecateurError(
        'WorkerNameTaken',
        `worker "${worker}": process ${register.processId} on ${register.host} asks for this name, and ${who} is attached under it. Give each worker its own --name.`,
        { details: { worker } },
      );
    }
    before?.stream.end();
    const session: Session = {
      worker,
      incarnation,
      life: createHash('sha256').update(incarnation).digest('hex').slice(0, 12),
      stream,
      turns,
      statistics: new Map(),
      logTaken: new Map(),
      logWritten: 0,
      logAcknowledged: 0,
      early: [],
      memory: { residentBytes: 0, engineResidentBytes: 0 },
      hasBeaten: false,
      engineSilence: new EngineSilence(),
      vanished: 0,
      heardMs: this.context.timers.monotonicMs(),
      leaving: false,
    };
    this.sessions.set(worker, session);
    const { epoch } = this.context.loop.state;
    const { coordinatorId } = this.context;
    const registered = {
      epoch,
      heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS,
      coordinatorVersion: VERSION,
      coordinatorId,
    };
    stream.write({ epoch, registered });
    await this.context.loop.submit({
      type: 'workerAttached',
      worker,
      incarnation,
      capabilities: {
        host: register.host,
        processId: register.processId,
        provider: register.provider === 'cuda' ? 'cuda' : 'cpu',
        threads: register.threads,
        memoryBytes: register.memoryBytes,
        version: register.version,
        engineVersion: register.engineVersion,
        storageReadBytesPerSecond: register.storageReadBytesPerSecond,
        storageWriteBytesPerSecond: register.storageWriteBytesPerSecond,
        computeFlops: register.computeFlops,
        deviceMemoryBytes: register.deviceMemoryBytes,
      },
      tasks: register.tasks.map(identityOf),
      holdings: register.holdings.map(holdingOf),
    });
    this.sendEarly(session);
    this.context.log('info', `worker ${worker} attached`, { worker, host: register.host, provider: register.provider });
    return session;
  }

  private async take(session: Session, message: WorkerMessage__Output): Promise<void> {
    const { loop } = this.context;
    const { worker } = session;
    if (message.epoch !== loop.state.epoch) throw staleMessage(worker, message.epoch, loop.state.epoch);
    if (message.heartbeat) await this.takeHeartbeat(session, message.heartbeat);
    else if (message.statistics) await this.takeStatistics(session, message.statistics);
    else if (message.snapshot) await this.takeSnapshot(session, message.snapshot);
    else if (message.result) await this.takeResult(session, message.result);
    else if (message.logs) await this.takeLogs(session, message.logs);
    else if (message.holdings) {
      const { job, why, holdings } = message.holdings;
      await loop.submit({ type: 'holdingsChanged', worker, job, why, holdings: holdings.map(holdingOf) });
    } else if (message.draining?.leaving) session.leaving = true;
    else if (message.draining) await loop.submit({ type: 'workerDraining', worker });
  }

  /** A worker that has served a later epoch of this very journal proves that somebody else goes on with it. */
  private checkNotOvertaken({ worker, lastEpoch, lastCoordinatorId }: Register__Output): void {
    const { epoch } = this.context.loop.state;
    if (lastCoordinatorId !== this.context.coordinatorId || lastEpoch <= epoch) return;
    throw new SecateurError(
      'StaleEpoch',
      `worker ${worker} has seen epoch ${lastEpoch} of this coordinator, which is at epoch ${epoch}: another process goes on with a copy of its state folder. Stop this one.`,
      { details: { worker, lastEpoch, epoch } },
    );
  }

  private async takeHeartbeat(session: Session, heartbeat: Heartbeat__Output): Promise<void> {
    const { residentBytes, engineResidentBytes } = heartbeat;
    session.memory = { residentBytes, engineResidentBytes };
    this.acknowledgeLogs(session);
    const isFirst = !session.hasBeaten;
    session.hasBeaten = true;
    const { loop, progress } = this.context;
    for (const { identity, done, total, unit, silentMs, silentMaxMs } of heartbeat.tasks) {
      const lease = identity ? currentLease(loop.state, identityOf(identity)) : undefined;
      if (!identity || lease?.worker !== session.worker) continue;
      progress.report(identity.job, identity.task, { done, total, unit });
      this.tasks.moved(identityOf(identity), session.heardMs, done);
      const isSilent = session.engineSilence.isToldOf(silentMs);
      // While the stream was down the engine may have spoken, and fallen silent again.
      const isKnown = isSilent === (lease.silence !== undefined) && !(isSilent && isFirst);
      if (isKnown) continue;
      const silence = { silentMs: isSilent ? silentMs : 0, silentMaxMs };
      await loop.submit({ type: 'engineSilence', worker: session.worker, identity: identityOf(identity), ...silence });
    }
  }

  /** Kept until their result comes; those of a task that is no longer leased to this worker are dropped at once. */
  private async takeStatistics(session: Session, message: SampleStatistics__Output): Promise<void> {
    if (!message.identity) throw new SecateurError('ArgumentInvalid', 'SampleStatistics must carry its identity');
    const identity = identityOf(message.identity);
    const lease = currentLease(this.context.loop.state, identity);
    const job = jobOf(this.context.loop.state, identity.job);
    if (lease?.worker !== session.worker || job === undefined) return;
    if (lease.spec.kind !== 'pass' || !lease.spec.statistics) return;
    this.tasks.moved(identity, session.heardMs);
    const row = rowOf(job, lease.spec.microbatches, message.sample);
    if (row === null) {
      throw new SecateurError(
        'ArgumentInvalid',
        `task ${identity.task}: expected statistics of its own samples; found sample ${message.sample}`,
      );
    }
    const { layer } = lease.spec;
    const wrong = widthProblem(job, layer, message) ?? valueProblem(layer, message);
    if (wrong !== null) return this.refuseStatistics(session, identity, wrong);
    const sink = session.statistics.get(keyOf(identity)) ?? this.context.statistics.begin(identity, layer);
    session.statistics.set(keyOf(identity), sink);
    await sink.add(row, message.float32);
  }

  /** Its result will fail, with the reason, as the attempt of this worker; nobody else is concerned. */
  private refuseStatistics(session: Session, identity: TaskIdentity, reason: SecateurError): void {
    this.context.log('warn', reason.message, { worker: session.worker, task: identity.task });
    this.discardStatistics(session, identity);
    session.statistics.set(keyOf(identity), refusedStatistics(reason));
  }

  private async takeSnapshot(session: Session, message: SnapshotWritten__Output): Promise<void> {
    if (!message.identity) throw new SecateurError('ArgumentInvalid', 'SnapshotWritten must carry its identity');
    const identity = identityOf(message.identity);
    const { worker } = session;
    try {
      const snapshot = snapshotOf(message.snapshot);
      const asked = this.askedOf(worker, identity);
      if (asked !== null) checkSnapshot(asked, snapshot);
      this.tasks.moved(identity, session.heardMs);
      await this.context.loop.submit({ type: 'snapshotWritten', worker, identity, snapshot });
    } catch (thrown) {
      const { code, message: what } = toSecateurError(thrown);
      if (code !== 'EngineFailed') throw thrown;
      // Not counted: its result names its snapshots once more.
      this.context.log('warn', what, { worker, task: identity.task });
    }
  }

  private discardStatistics(session: Session | undefined, identity: TaskIdentity): void {
    const sink = session?.statistics.get(keyOf(identity));
    session?.statistics.delete(keyOf(identity));
    sink?.discard().catch(this.logError);
  }

  private async takeLogs(session: Session, logs: LogBatch__Output): Promise<void> {
    const { worker, life } = session;
    for (const { job, task, source, level, atMs, message, sequence } of logs.lines) {
      const isKnown = jobOf(this.context.loop.state, job) !== undefined;
      const taken = isKnown ? (session.logTaken.get(job) ?? (await this.logTakenBefore(session, job))) : 0;
      // Its worker has come back meanwhile: what this stream still brings comes again on the other, which writes now.
      if (this.sessions.get(worker) !== session) return;
      const written = (): void => {
        session.logWritten = Math.max(session.logWritten, sequence);
      };
      // 0: its worker does not count its lines, and none is known again.
      if (!isKnown || (sequence > 0 && sequence <= taken)) {
        written();
        continue;
      }
      session.logTaken.set(job, sequence);
      const line = { worker, source, level, atMs, task, message };
      const writing = this.context.logs.append(job, line, this.logError, { life, sequence });
      void writing.then((isWritten) => (isWritten ? written() : undefined));
    }
  }

  /** On an earlier stream, perhaps to an earlier coordinator. A log that cannot be read never stops a job. */
  private async logTakenBefore({ worker, life }: Session, job: string): Promise<number> {
    try {
      return await this.context.logs.lastSequence(job, worker, life);
    } catch (thrown) {
      this.logError(thrown);
      return 0;
    }
  }

  private acknowledgeLogs(session: Session): void {
    const { worker, logWritten } = session;
    if (logWritten === session.logAcknowledged || this.sessions.get(worker) !== session) return;
    session.logAcknowledged = logWritten;
    this.send(worker, { logsWritten: { sequence: logWritten } });
  }

  private async takeResult(session: Session, result: TaskResult__Output): Promise<void> {
    const { loop, progress } = this.context;
    if (!result.identity) throw new SecateurError('ArgumentInvalid', 'a TaskResult must carry its identity');
    const identity = identityOf(result.identity);
    const { worker } = session;
    progress.forget(identity.job, identity.task);
    const holdings = result.holdings.map(holdingOf);
    const event: CoreEvent = result.error
      ? {
          type: 'taskFailed',
          worker,
          identity,
          failure: readFailure(result.error, this.askedOf(worker, identity)?.lease.spec ?? null),
          holdings,
        }
      : await this.successOf(session, result, identity, holdings);
    await loop.submit(event);
    // Where its lease was over by then, nobody has taken them.
    this.discardStatistics(session, identity);
    reach('coordinator.result-journaled');
    this.send(session.worker, { acknowledge: identity });
  }

  /**
   * A result that does not fit what was asked, or cannot be kept (the state folder is full, say), is a failure of the
   * attempt, with the reason. Where the lease is over the core takes nothing of it, whatever it says.
   */
  private async successOf(
    session: Session,
    result: TaskResult__Output,
    identity: TaskIdentity,
    holdings: readonly Holding[],
  ): Promise<CoreEvent> {
    const { worker } = session;
    try {
      const outcome = readOutcome(result);
      const asked = this.askedOf(worker, identity);
      if (asked !== null) {
        checkOutcome(asked, outcome);
        await this.context.checkStaged(asked, outcome);
        session.vanished = checkHeld(asked, outcome, holdings, session.vanished);
      }
      if (outcome.kind !== 'pass') return { type: 'taskSucceeded', worker, identity, outcome, holdings };
      const statistics = await this.storeStatistics(session, identity, outcome.done);
      return { type: 'taskSucceeded', worker, identity, outcome: { ...outcome, statistics }, holdings };
    } catch (thrown) {
      const { code, message, details } = toSecateurError(thrown);
      if (code === 'ArgumentInvalid' || code === 'Unavailable') throw thrown;
      const failure = { code, message, details, retryable: true };
      return { type: 'taskFailed', worker, identity, failure, holdings };
    }
  }

  /** Null where this worker has no such lease now. */
  private askedOf(worker: string, identity: TaskIdentity): Asked | null {
    const { state } = this.context.loop;
    const lease = currentLease(state, identity);
    const job = jobOf(state, identity.job);
    if (lease?.worker !== worker || job === undefined) return null;
    return { job, lease, draining: workerOf(state, worker)?.draining ?? false };
  }

  /**
   * Makes the statistics of a pass durable before its result counts. Null where the pass had none, or no longer matters.
   *
   * @throws Unavailable where some did not come before the result: the stream ends, and the worker sends all again
   */
  private async storeStatistics(
    session: Session,
    identity: TaskIdentity,
    done: MicrobatchSet,
  ): Promise<StagedFile | null> {
    const job = jobOf(this.context.loop.state, identity.job);
    const lease = currentLease(this.context.loop.state, identity);
    const isAwaited = lease?.worker === session.worker && lease.spec.kind === 'pass' && lease.spec.statistics;
    if (job === undefined || !isAwaited || isEmpty(done)) return null;
    // Rows are in the order of the task: what is done must be its beginning, or samples would be added up as others.
    const { microbatches } = lease.spec as PassSpec;
    if (!isEmpty(difference(done, lowest(microbatches, countOf(done))))) {
      throw new SecateurError(
        'Internal',
        `task ${identity.task}: expected the first of its microbatches to be done; found others`,
      );
    }
    const sink = session.statistics.get(keyOf(identity));
    session.statistics.delete(keyOf(identity));
    const stored = (await sink?.finish(samplesOf(job, done))) ?? null;
    if (stored !== null) return stored;
    // Not `ArgumentInvalid`, with which a worker leaves for good.
    throw new SecateurError('Unavailable', `task ${identity.task}: not all of its statistics came before its result`, {
      retryable: true,
    });
  }

  /** Ends a stream with the reason; the worker comes back with all that it has. */
  private refuse(stream: WorkerStream, session: Session | null, thrown: unknown): void {
    const error = toSecateurError(thrown);
    const { message, code } = error;
    if (session !== null) {
      const { worker } = session;
      this.context.log('warn', `the stream of worker ${worker} is ended: ${message}`, { worker, code });
    } else if (this.isNews(message)) {
      this.context.log('warn', `a worker is refused: ${message}`, { code });
    }
    stream.fail(error);
  }

  /** One that is refused tries again at once, and for ever: that it was is said once a minute. */
  private isNews(refusal: string): boolean {
    const nowMs = this.context.timers.monotonicMs();
    for (const [told, atMs] of this.refusals) if (nowMs - atMs >= REFUSAL_TOLD_MS) this.refusals.delete(told);
    if (this.refusals.has(refusal) || this.refusals.size >= REFUSALS_MAX) return false;
    this.refusals.set(refusal, nowMs);
    return true;
  }

  private async detach(session: Session): Promise<void> {
    // Also of a session whose worker has come back in another: what it brought is sent again there.
    for (const sink of session.statistics.values()) sink.discard().catch(this.logError);
    session.statistics.clear();
    if (this.sessions.get(session.worker) !== session) return;
    this.sessions.delete(session.worker);
    const { worker, incarnation, leaving } = session;
    this.context.log('info', `worker ${worker} ${leaving ? 'left' : 'lost its stream'}`, { worker });
    await this.context.loop.submit({ type: 'workerDetached', worker, incarnation, leaving });
  }

  private watchTasks(): void {
    const { loop, timers } = this.context;
    const isBehind = (worker: string): boolean => (this.sessions.get(worker)?.turns.waiting ?? 0) > 0;
    for (const event of this.tasks.look(loop.state, timers.monotonicMs(), isBehind)) {
      loop.submit(event).catch(this.logError);
    }
  }

  private endSilentSessions(): void {
    const nowMs = this.context.timers.monotonicMs();
    for (const session of this.sessions.values()) {
      // What it said and nobody has taken yet (a slow disk here) is no silence of the worker's.
      if (nowMs - session.heardMs < SILENCE_MAX_MS || session.turns.waiting > 0) continue;
      const error = new SecateurError(
        'DeadlineExceeded',
        `worker ${session.worker}: not heard of for ${SILENCE_MAX_MS / 1000} s`,
        { retryable: true },
      );
      this.refuse(session.stream, session, error);
      this.detach(session).catch(this.logError);
    }
  }

  private readonly logError = (thrown: unknown): void => {
    this.context.log('error', toSecateurError(thrown).message);
  };
}

function notRegistered(): SecateurError {
  return new SecateurError(
    'DeadlineExceeded',
    `Workers.Attach: expected Register within ${REGISTER_TIMEOUT_MS / 1000} s; found nothing`,
    { retryable: true },
  );
}

function checkRegister(register: Register__Output): void {
  const { worker, incarnation, provider } = register;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(worker)) {
    throw new SecateurError(
      'ArgumentInvalid',
      `Register.worker: expected letters, digits, ".", "_" and "-", at most 128; found ${JSON.stringify(worker)}. Give the worker another --name.`,
    );
  }
  if (incarnation === '')
    throw new SecateurError('ArgumentInvalid', 'Register.incarnation: expected a string; found none');
  if (provider !== 'cpu' && provider !== 'cuda') {
    throw new SecateurError(
      'ArgumentInvalid',
      `Register.provider: expected cpu or cuda; found ${JSON.stringify(provider)}`,
    );
  }
}

function staleMessage(worker: string, found: number, expected: number): SecateurError {
  return new SecateurError(
    'StaleEpoch',
    `worker ${worker} speaks to epoch ${found}; this is epoch ${expected}: it attaches again`,
    { details: { worker, found, expected } },
  );
}

/** Which of the task's samples this is, in the order in which it takes them; null for one that it does not have. */
function rowOf(job: JobState, microbatches: MicrobatchSet, sample: number): number | null {
  const size = job.plan?.microbatch ?? 1;
  let row = 0;
  for (const range of microbatches) {
    const [first, count] = [range[0] * size, samplesOf(job, [range])];
    if (sample >= first && sample < first + count) return row + sample - first;
    row += count;
  }
  return null;
}

/** Rows of another width would be added up as other columns: the engine computed another layer, or is broken. */
function widthProblem(
  job: JobState,
  layer: number,
  { sample, float32 }: SampleStatistics__Output,
): SecateurError | null {
  const intake = job.intake?.layers[layer];
  if (intake === undefined) return null;
  const expected = statisticsWidth(intake);
  const found = float32.byteLength / Float32Array.BYTES_PER_ELEMENT;
  if (found === expected) return null;
  // Not `ArgumentInvalid`, with which a worker leaves for good: it may be its engine alone, and others can compute it.
  return new SecateurError(
    'EngineFailed',
    `layer ${layer}, sample ${sample}: expected statistics of ${expected} floats, as wide as the inputs of its linears; found ${found}`,
    { retryable: true, details: { layer, sample, expected, found } },
  );
}

/** What is no sum of squares would stand in the sums of the whole layer, and be found there when nobody knows whose it is. */
function valueProblem(layer: number, { sample, float32 }: SampleStatistics__Output): SecateurError | null {
  const bytes = new DataView(float32.buffer, float32.byteOffset, float32.byteLength);
  for (let column = 0; column * Float32Array.BYTES_PER_ELEMENT < bytes.byteLength; column++) {
    const value = bytes.getFloat32(column * Float32Array.BYTES_PER_ELEMENT, true);
    if (value >= 0 && value < Infinity) continue;
    return new SecateurError(
      'EngineFailed',
      `layer ${layer}, sample ${sample}: expected finite sums of squares; found ${value} at column ${column}`,
      { retryable: true, details: { layer, sample, column, found: String(value) } },
    );
  }
  return null;
}

function holdingOf({ job, boundary, microbatches }: Holding__Output): Holding {
  return { job, boundary, microbatches: setOfRanges(microbatches) };
}

function identityOf({ job, task, attempt, epoch }: TaskIdentity): TaskIdentity {
  return { job, task, attempt, epoch };
}

function keyOf({ job, task, attempt, epoch }: TaskIdentity): string {
  return `${job}/${task}/${attempt}/${epoch}`;
}
