/** Starts a coordinator: lock, journal, loop, API, outbox, in this order; and ends it in the reverse one. */
import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { SecateurError, toSecateurError } from '../shared/errors/secateur-error.ts';
import { compactAtBytes } from '../shared/failpoint.ts';
import type { Log } from '../shared/log.ts';
import { fsyncDirectory } from '../shared/storage/atomic-file.ts';
import { SYSTEM_TIMERS } from '../shared/timers.ts';
import { checkStaged } from './api/check-staged.ts';
import { JobsService } from './api/jobs-service.ts';
import { ProgressTracker } from './api/progress.ts';
import { createApi } from './api/server.ts';
import { WorkersService } from './api/workers-service.ts';
import { Effects } from './effects/command-runner.ts';
import { FileJobWork } from './effects/job-work.ts';
import { fileStatistics } from './effects/statistics-store.ts';
import { SYSTEM_DISK } from './journal/disk.ts';
import { Journal } from './journal/journal.ts';
import { StateLock } from './journal/state-lock.ts';
import { JobLogs } from './logs/job-logs.ts';
import { JobNarrator } from './logs/job-narrator.ts';
import { CoordinatorLoop } from './loop.ts';
import { EventLog } from './outbox/event-log.ts';
import { NatsOutbox } from './outbox/nats-outbox.ts';
import { jobFolder, logsFolder } from './state-folder.ts';

export interface CoordinatorOptions {
  readonly stateDirectory: string;
  /** host:port; port 0 takes a free one. */
  readonly listen: string;
  readonly nats: { readonly servers: readonly string[]; readonly credentialsFile?: string } | null;
  readonly log: Log;
  /** Wait for the state folder where another coordinator has it, rather than fail. */
  readonly wait?: boolean;
}

export interface RunningCoordinator {
  /** host:port as bound. */
  readonly address: string;
  stop(): Promise<void>;
  /** The last event of a job that was told before this coordinator started; 0 where there is none. */
  toldBefore(job: string): number;
  /** @throws JobState where no worker that is attached may go on with what the job has committed */
  checkVersions(job: string): void;
  /** Rejects when the coordinator can no longer keep its promises (its journal cannot be written): the process must end. */
  readonly failed: Promise<never>;
}

/** @throws StateLocked, JournalCorrupt, Unavailable (the address is taken) */
export async function startCoordinator(options: CoordinatorOptions): Promise<RunningCoordinator> {
  const { stateDirectory, log } = options;
  await makeStateDirectory(stateDirectory);
  const lock =
    options.wait === true
      ? await StateLock.acquireWhenFree(stateDirectory, (what) => log('info', what))
      : StateLock.acquire(stateDirectory);
  const undo: (() => Promise<void> | void)[] = [() => lock.release()];
  const stop = async (): Promise<void> => {
    while (undo.length > 0) await undo.pop()?.();
  };
  try {
    const timers = SYSTEM_TIMERS;
    const bounds = compactAtBytes === undefined ? {} : { bounds: { bytes: compactAtBytes, records: compactAtBytes } };
    const journal = await Journal.open({
      disk: SYSTEM_DISK,
      directory: stateDirectory,
      nowMs: timers.now(),
      ...bounds,
    });
    undo.push(() => journal.close());
    const events = new EventLog({ disk: SYSTEM_DISK, stateDirectory });
    const warn = (error: SecateurError): void => log('warn', error.message);
    const loop = new CoordinatorLoop({ journal, lock, events, timers, warn });
    const logs = new JobLogs((job) => logsFolder(stateDirectory, job));
    undo.push(() => logs.flush());
    const progress = new ProgressTracker();
    const work = new FileJobWork(stateDirectory);
    const workers = new WorkersService({
      loop,
      logs,
      progress,
      statistics: fileStatistics((job) => jobFolder(stateDirectory, job)),
      checkStaged: (asked, outcome) => checkStaged(work.pathsOf(asked.job).staging, asked, outcome),
      coordinatorId: loop.coordinatorId,
      timers: SYSTEM_TIMERS,
      log,
    });
    const onError = (thrown: unknown): void => log('error', toSecateurError(thrown).message);
    const effects = new Effects(loop, work, workers, onError);
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    const narrator = new JobNarrator(effects, logs, onError);
    await loop.start(narrator, (thrown) => failed.reject(toSecateurError(thrown)));
    undo.push(() => loop.stop());
    const toldBefore = new Map(Object.entries(loop.state.jobs).map(([id, job]) => [id, job.eventSequence]));
    // Only now: what the replay tells again stands in the log already.
    events.subscribe((event) => narrator.tell(event));
    const jobs = new JobsService({ loop, events, logs, progress, workers, timers: SYSTEM_TIMERS });
    const api = await createApi({ listen: options.listen, loop, jobs, workers, pathsOf: (job) => work.pathsOf(job) });
    undo.push(() => api.close());
    undo.push(() => workers.close());
    undo.push(() => jobs.close());
    if (options.nats !== null) undo.push(await startOutbox(options, events));
    log('info', `coordinator listens on ${api.address}, epoch ${loop.state.epoch}, state in ${stateDirectory}`);
    const checkVersions = (job: string): void => jobs.checkVersions(job);
    return {
      address: api.address,
      stop,
      toldBefore: (job) => toldBefore.get(job) ?? 0,
      checkVersions,
      failed: failed.promise,
    };
  } catch (thrown) {
    await stop();
    throw toSecateurError(thrown);
  }
}

/** A folder that is gone after a power cut would take the journal with it: the names on the way are made durable. */
async function makeStateDirectory(stateDirectory: string): Promise<void> {
  const firstMade = mkdirSync(stateDirectory, { recursive: true });
  if (firstMade === undefined) return;
  const above = dirname(resolve(firstMade));
  for (let folder = dirname(resolve(stateDirectory)); ; folder = dirname(folder)) {
    await fsyncDirectory(folder);
    if (folder === above || folder === dirname(folder)) return;
  }
}

async function startOutbox(options: CoordinatorOptions, log: EventLog): Promise<() => Promise<void>> {
  const { nats, stateDirectory } = options;
  if (nats === null) throw new SecateurError('Internal', 'an outbox needs a NATS address');
  const outbox = await NatsOutbox.start({
    servers: [...nats.servers],
    log,
    cursorFile: join(stateDirectory, 'nats-cursor.json'),
    logger: {
      info: (fields: object, message: string) => options.log('info', message, { ...fields }),
      warn: (fields: object, message: string) => options.log('warn', message, { ...fields }),
    },
    ...(nats.credentialsFile === undefined ? {} : { credentialsFile: nats.credentialsFile }),
  });
  return () => outbox.stop();
}
