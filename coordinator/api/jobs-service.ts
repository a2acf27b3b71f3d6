/** The users' side of the API: submit, plan, look, follow, stop and go on. */
import { randomBytes } from 'node:crypto';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { toCloudEvent } from '../../shared/events/cloud-event.ts';
import { recordLocation } from '../../shared/manifest/location.ts';
import { parseManifest } from '../../shared/manifest/parse-manifest.ts';
import { destinationPath, locationToPath } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import type { Job } from '../../shared/rpc/generated/secateur/v1/Job.ts';
import type { JobRequest__Output } from '../../shared/rpc/generated/secateur/v1/JobRequest.ts';
import type { ListResponse } from '../../shared/rpc/generated/secateur/v1/ListResponse.ts';
import type { LogsRequest__Output } from '../../shared/rpc/generated/secateur/v1/LogsRequest.ts';
import type { LogsResponse } from '../../shared/rpc/generated/secateur/v1/LogsResponse.ts';
import type { PlanResponse } from '../../shared/rpc/generated/secateur/v1/PlanResponse.ts';
import type { SubmitRequest__Output } from '../../shared/rpc/generated/secateur/v1/SubmitRequest.ts';
import type { WatchRequest__Output } from '../../shared/rpc/generated/secateur/v1/WatchRequest.ts';
import type { WatchResponse } from '../../shared/rpc/generated/secateur/v1/WatchResponse.ts';
import type { WorkerStatus } from '../../shared/rpc/generated/secateur/v1/WorkerStatus.ts';
import { isSynthetic } from '../../shared/synthetic/synthetic-location.ts';
import type { Timers } from '../../shared/timers.ts';
import { describeVersionDrift } from '../core/drift.ts';
import { explainWorker } from '../core/explain.ts';
import { committedCount, findTwin } from '../core/lifecycle.ts';
import { hasEnded, type JobState, jobOf } from '../core/state.ts';
import { checkOutputIsFree } from '../effects/claim-output.ts';
import { outputPaths } from '../effects/job-paths.ts';
import { previewPlan } from '../effects/preview-plan.ts';
import { readIntake } from '../effects/read-intake.ts';
import type { JobLogs } from '../logs/job-logs.ts';
import type { CoordinatorLoop } from '../loop.ts';
import type { EventLog } from '../outbox/event-log.ts';
import { CallLimit } from './call-limit.ts';
import { describeJob, findJob, inOrderOfSubmission } from './describe-job.ts';
import type { ProgressTracker } from './progress.ts';
import { StatusChanges } from './status-changes.ts';
import type { WorkersService } from './workers-service.ts';

/** Events and progress are looked at this often while nothing wakes the watcher. */
const PROGRESS_INTERVAL_MS = 500;
const WATCH_BATCH = 256;
/** People and dashboards, over all connections. Each holds at most a batch of events or a follower's lines. */
const READERS_MAX = 256;
/** Jobs in one answer: with a hundred stages each, a quarter of the largest message. */
const LISTED_MAX = 200;
/** Of the reasons in a list: two of them for each job are a tenth of the largest message. The job itself has them whole. */
const LISTED_MESSAGE_CHARACTERS_MAX = 1024;
/** Jobs that have not ended: each is looked at with every event, and more than this is a loop that submits. */
const UNENDED_MAX = 1_000;
/** Checkpoints whose headers are read at a time, for plans and submissions: up to 8 files and 100 MB each. */
const INSPECTIONS_MAX = 8;

export interface JobsContext {
  readonly loop: CoordinatorLoop;
  readonly events: EventLog;
  readonly logs: Pick<JobLogs, 'read' | 'follow'>;
  readonly progress: ProgressTracker;
  readonly workers: Pick<WorkersService, 'memoryOf'>;
  readonly timers: Timers;
}

export class JobsService {
  private readonly context: JobsContext;
  private readonly inspections = new CallLimit('checks of a checkpoint', INSPECTIONS_MAX);
  private readonly readers = new CallLimit('readers of events and logs', READERS_MAX);

  private readonly stopping = new AbortController();

  constructor(context: JobsContext) {
    this.context = context;
  }

  /** Whoever follows a job hears what there is, and then that this coordinator stops: it must not wait for readers. */
  close(): void {
    this.stopping.abort();
  }

  async submit(request: Pick<SubmitRequest__Output, 'manifestJson'> & Partial<SubmitRequest__Output>): Promise<Job> {
    const manifest = parseSubmitted(request.manifestJson);
    // Empty where it is not set.
    const reuse = request.reuse ? { reuse: findJob(this.context.loop.state, request.reuse, '').id } : {};
    const keeping = request.keepHessians === true ? { keepsHessians: true as const } : {};
    const asked = { ...reuse, ...(request.reusable === true ? { isReusable: true as const, ...keeping } : {}) };
    const { name, namespace } = manifest.metadata;
    const { loop } = this.context;
    this.refuseTwin(findTwin(loop.state, { namespace, name, manifest }), name);
    this.refuseTooMany();
    await this.inspecting(() => refuseMistakes(manifest));
    await checkOutputIsFree(outputPaths(destinationPath(manifest.spec.output.destination)), null, this.phaseOf);
    // A job's id is unique for ever: events of an earlier job of the same name stay told apart.
    const job = `${name}-${randomBytes(3).toString('hex')}`;
    await loop.submit({ type: 'jobSubmitted', job, namespace, name, manifest, ...asked });
    const taken = jobOf(loop.state, job);
    // Another was submitted in the same moment: the core takes only the first.
    if (taken === undefined) this.refuseTwin(findTwin(loop.state, { namespace, name, manifest }), name);
    return this.describe(taken as JobState);
  }

  private readonly phaseOf = (job: string): string | undefined => jobOf(this.context.loop.state, job)?.phase;

  private async inspecting<T>(inspect: () => Promise<T>): Promise<T> {
    const leave = this.inspections.enter();
    return inspect().finally(leave);
  }

  private refuseTooMany(): void {
    const { jobs } = this.context.loop.state;
    const unended = Object.values(jobs).filter((job) => !hasEnded(job)).length;
    if (unended < UNENDED_MAX) return;
    throw new SecateurError(
      'LimitExceeded',
      `${unended} jobs have not ended, and no more are taken. Wait for some, or cancel them.`,
      { details: { limit: UNENDED_MAX } },
    );
  }

  private refuseTwin(twin: JobState | undefined, name: string): void {
    if (twin === undefined) return;
    const { id, phase } = twin;
    const what =
      twin.name === name
        ? `a job named "${name}" is not ended`
        : `job ${id} writes to ${twin.manifest.spec.output.destination}`;
    throw new SecateurError(
      'JobExists',
      `${what} (${id}, ${phase}). Wait for it, cancel it, or submit under another name and destination.`,
      { details: { job: id, phase } },
    );
  }

  async plan(manifestJson: string): Promise<PlanResponse> {
    const manifest = parseSubmitted(manifestJson);
    const workers = Object.values(this.context.loop.state.workers)
      .filter((worker) => worker.attached && !worker.draining)
      .map(({ id, capabilities }) => ({ name: id, capabilities }));
    return { planJson: JSON.stringify(await this.inspecting(() => previewPlan(manifest, workers, this.phaseOf))) };
  }

  get(request: JobRequest__Output): Job {
    return this.describe(this.find(request));
  }

  list(namespace: string): ListResponse {
    const found = inOrderOfSubmission(this.context.loop.state, namespace);
    return {
      jobs: found.slice(-LISTED_MAX).map((job) => listed(this.describe(job))),
      leftOut: Math.max(0, found.length - LISTED_MAX),
    };
  }

  async cancel(request: JobRequest__Output): Promise<Job> {
    const job = this.find(request);
    if (hasEnded(job)) throw jobState(job, 'cancel', 'a job that has not ended');
    await this.context.loop.submit({ type: 'cancelRequested', job: job.id });
    const after = jobOf(this.context.loop.state, job.id) as JobState;
    if (after.phase !== 'Cancelled') throw jobState(after, 'cancel', 'a job that is not yet being published');
    return this.describe(after);
  }

  async resume(request: JobRequest__Output): Promise<Job> {
    const job = this.find(request);
    if (job.phase !== 'Failed' && job.phase !== 'Cancelled') throw jobState(job, 'resume', 'a failed or cancelled job');
    this.refuseTwin(findTwin(this.context.loop.state, job), job.name);
    this.checkVersions(job.id);
    await this.context.loop.submit({ type: 'resumeRequested', job: job.id });
    return this.describe(jobOf(this.context.loop.state, job.id) as JobState);
  }

  /** @throws JobState where all workers that are there have other versions than those that computed what is committed */
  checkVersions(id: string): void {
    const { state } = this.context.loop;
    const job = jobOf(state, id);
    // Where nothing is committed the job begins again, with whoever is there.
    const isBegun = job !== undefined && committedCount(job) > 0;
    const drift = !isBegun ? [] : describeVersionDrift(job, Object.values(state.workers));
    if (drift.length === 0) return;
    throw new SecateurError(
      'JobState',
      `job ${id} cannot go on: ${drift.join('; ')}. Layers of one version do not mix with layers of another: start workers of the version that the job began with, or submit a new job with another destination.`,
      { details: { job: id, drift } },
    );
  }

  /** Every event after a cursor, in order and without gaps, then the new ones; progress between them. */
  async *watch(request: WatchRequest__Output, signal: AbortSignal): AsyncGenerator<WatchResponse> {
    const { events, loop } = this.context;
    const id = this.find(request).id;
    const leave = this.readers.enter();
    let cursor = request.afterSequence;
    const statuses = new StatusChanges();
    const goesOn = AbortSignal.any([signal, this.stopping.signal]);
    let wake = Promise.withResolvers<void>();
    const unsubscribe = events.subscribe((event) => {
      if (event.job === id) wake.resolve();
    });
    try {
      while (!signal.aborted) {
        // Before it reads: what comes afterwards, the next coordinator tells.
        const isLast = goesOn.aborted;
        const batch = await events.read(id, cursor, WATCH_BATCH);
        for (const event of batch) {
          yield { eventJson: JSON.stringify(toCloudEvent(event)) };
          cursor = event.sequence;
        }
        const job = jobOf(loop.state, id) as JobState;
        if (hasEnded(job) && cursor >= job.eventSequence) return;
        if (batch.length === WATCH_BATCH) continue;
        if (isLast) throw stops();
        const nowMs = this.context.timers.now();
        const status = statuses.next(job, nowMs);
        if (status !== null) yield { status };
        yield { progress: this.context.progress.of(job, nowMs) };
        await Promise.race([wake.promise, this.pause(PROGRESS_INTERVAL_MS, goesOn)]);
        wake = Promise.withResolvers<void>();
      }
    } finally {
      unsubscribe();
      leave();
    }
  }

  async *logs(request: LogsRequest__Output, signal: AbortSignal): AsyncGenerator<LogsResponse> {
    const { logs, loop } = this.context;
    const { worker } = request;
    const id = this.find(request).id;
    const leave = this.readers.enter();
    // Followed and read in one turn: what comes later is not in the files that are read, and is not missed.
    const following = request.follow ? logs.follow(id, worker) : null;
    const goesOn = AbortSignal.any([signal, this.stopping.signal]);
    try {
      for await (const line of logs.read(id, worker)) yield line;
      for (let isLast = false; following !== null && !isLast && !signal.aborted; ) {
        // Once more after the end: the last words of workers come after the job's.
        isLast = hasEnded(jobOf(loop.state, id) as JobState);
        const isStopping = goesOn.aborted;
        await this.pause(PROGRESS_INTERVAL_MS, goesOn);
        // As they came, a line of one worker stands behind a later one of another.
        yield* following.follower.take().toSorted((a, b) => a.atMs - b.atMs);
        if (isStopping && !isLast && !signal.aborted) throw stops();
      }
    } finally {
      following?.end();
      leave();
    }
  }

  private find(request: { readonly job: string; readonly namespace: string }): JobState {
    return findJob(this.context.loop.state, request.job, request.namespace);
  }

  private describe(job: JobState): Job {
    return describeJob(job, this.context.progress.of(job, this.context.timers.now()));
  }

  listWorkers(): WorkerStatus[] {
    const { state } = this.context.loop;
    return Object.values(state.workers).map((worker) => {
      const lease = Object.values(state.jobs)
        .flatMap((job) => Object.values(job.leases))
        .find((each) => each.worker === worker.id);
      const { provider, threads, memoryBytes, host, version, engineVersion } = worker.capabilities;
      const { attached, draining, sinceMs } = worker;
      const memory = this.context.workers.memoryOf(worker.id);
      return {
        worker: worker.id,
        attached,
        draining,
        provider,
        threads,
        memoryBytes,
        host,
        version,
        engineVersion,
        message: explainWorker(state, worker),
        sinceMs,
        task: lease?.task ?? '',
        ...memory,
      };
    });
  }

  /** At once where the signal was aborted before. */
  private pause(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        timer.clear();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = this.context.timers.setTimeout(done, ms);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}

function stops(): SecateurError {
  return new SecateurError('Unavailable', 'the coordinator stops; the job goes on with the next one.', {
    retryable: true,
  });
}

/** A client sends the manifest with its locations made absolute; it is checked here as if it came from a file. */
function parseSubmitted(manifestJson: string): Manifest {
  const manifest = parseManifest(manifestJson, 'submitted manifest');
  const { model, output, calibration } = manifest.spec;
  const locations = [
    model.source,
    recordLocation(output.destination),
    ...('text' in calibration ? calibration.text : [calibration.tokens]),
  ];
  for (const location of locations.filter((each) => !isSynthetic(each))) {
    if (!location.startsWith('file:///')) {
      throw new SecateurError(
        'ManifestInvalid',
        `submitted manifest: expected absolute file URLs; found ${location}. A client resolves relative paths before it submits.`,
        { details: { location } },
      );
    }
    locationToPath(location);
  }
  return manifest;
}

/**
 * Mistakes in the manifest that the model shows are told at once. Inputs that are not there are not: an earlier job of
 * the queue may yet write them.
 */
async function refuseMistakes(manifest: Manifest): Promise<void> {
  try {
    await readIntake(manifest);
  } catch (thrown) {
    if (toSecateurError(thrown).code === 'ManifestInvalid') throw thrown;
  }
}

function jobState(job: JobState, verb: string, expected: string): SecateurError {
  return new SecateurError(
    'JobState',
    `cannot ${verb} job ${job.id}: expected ${expected}; it is ${job.phase} (${job.reason})`,
    { details: { job: job.id, phase: job.phase } },
  );
}

/** A job among many: without what only its own page shows. */
function listed(job: Job): Job {
  const short = (text = ''): string => text.slice(0, LISTED_MESSAGE_CHARACTERS_MAX).toWellFormed();
  const failure = job.failure ? { ...job.failure, message: short(job.failure.message), detailsJson: '' } : null;
  return { ...job, message: short(job.message), failure, manifestJson: '', planJson: '' };
}
