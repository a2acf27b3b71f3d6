/** The users' side of the API: submit, plan, look, follow, stop and go on. */
import { randomBytes } from 'node:crypto';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { toCloudEvent } from '../../shared/events/cloud-event.ts';
import { parseManifest } from '../../shared/manifest/parse-manifest.ts';
import { locationToPath } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { countOf, showMicrobatches } from '../../shared/microbatch-set.ts';
import type { Job } from '../../shared/rpc/generated/secateur/v1/Job.ts';
import type { JobRequest__Output } from '../../shared/rpc/generated/secateur/v1/JobRequest.ts';
import type { LogsRequest__Output } from '../../shared/rpc/generated/secateur/v1/LogsRequest.ts';
import type { LogsResponse } from '../../shared/rpc/generated/secateur/v1/LogsResponse.ts';
import type { PlanResponse } from '../../shared/rpc/generated/secateur/v1/PlanResponse.ts';
import type { WatchRequest__Output } from '../../shared/rpc/generated/secateur/v1/WatchRequest.ts';
import type { WatchResponse } from '../../shared/rpc/generated/secateur/v1/WatchResponse.ts';
import type { WorkerStatus } from '../../shared/rpc/generated/secateur/v1/WorkerStatus.ts';
import type { Timers } from '../../shared/timers.ts';
import { findTwin } from '../core/lifecycle.ts';
import { hasEnded, type JobState, jobOf, own } from '../core/state.ts';
import { checkOutputIsFree } from '../effects/claim-output.ts';
import { outputPaths } from '../effects/job-paths.ts';
import { previewPlan } from '../effects/preview-plan.ts';
import { readIntake } from '../effects/read-intake.ts';
import type { CoordinatorLoop } from '../loop.ts';
import type { EventLog } from '../outbox/event-log.ts';
import type { JobLogs } from './job-logs.ts';
import type { ProgressTracker } from './progress.ts';
import type { WorkersService } from './workers-service.ts';

/** Events and progress are looked at this often while nothing wakes the watcher. */
const PROGRESS_INTERVAL_MS = 500;
const WATCH_BATCH = 256;

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

  constructor(context: JobsContext) {
    this.context = context;
  }

  async submit(manifestJson: string): Promise<Job> {
    const manifest = parseSubmitted(manifestJson);
    const { name, namespace } = manifest.metadata;
    const { loop } = this.context;
    this.refuseTwin(findTwin(loop.state, { namespace, name, manifest }), name);
    await refuseMistakes(manifest);
    await checkOutputIsFree(outputPaths(locationToPath(manifest.spec.output.destination)), null);
    // A job's id is unique for ever: events of an earlier job of the same name stay told apart.
    const job = `${name}-${randomBytes(3).toString('hex')}`;
    await loop.submit({ type: 'jobSubmitted', job, namespace, name, manifest });
    const taken = jobOf(loop.state, job);
    // Another was submitted in the same moment: the core takes only the first.
    if (taken === undefined) this.refuseTwin(findTwin(loop.state, { namespace, name, manifest }), name);
    return this.describe(taken as JobState);
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
    const workers = Object.values(this.context.loop.state.workers).filter(
      (worker) => worker.attached && !worker.draining,
    );
    return {
      planJson: JSON.stringify(
        await previewPlan(
          manifest,
          workers.map(({ id, capabilities }) => ({ name: id, capabilities })),
        ),
      ),
    };
  }

  get(request: JobRequest__Output): Job {
    return this.describe(this.find(request.job, request.namespace));
  }

  list(namespace: string): Job[] {
    const { jobs, queue } = this.context.loop.state;
    return queue
      .map((id) => jobs[id] as JobState)
      .filter((job) => namespace === '' || job.namespace === namespace)
      .map((job) => this.describe(job));
  }

  async cancel(request: JobRequest__Output): Promise<Job> {
    const job = this.find(request.job, request.namespace);
    if (hasEnded(job)) throw jobState(job, 'cancel', 'a job that has not ended');
    await this.context.loop.submit({ type: 'cancelRequested', job: job.id });
    const after = jobOf(this.context.loop.state, job.id) as JobState;
    if (after.phase !== 'Cancelled') throw jobState(after, 'cancel', 'a job that is not yet being published');
    return this.describe(after);
  }

  async resume(request: JobRequest__Output): Promise<Job> {
    const job = this.find(request.job, request.namespace);
    if (job.phase !== 'Failed' && job.phase !== 'Cancelled') throw jobState(job, 'resume', 'a failed or cancelled job');
    await this.context.loop.submit({ type: 'resumeRequested', job: job.id });
    return this.describe(jobOf(this.context.loop.state, job.id) as JobState);
  }

  /** Every event after a cursor, in order and without gaps, then the new ones; progress between them. */
  async *watch(request: WatchRequest__Output, signal: AbortSignal): AsyncGenerator<WatchResponse> {
    const { events, loop } = this.context;
    const id = this.find(request.job, request.namespace).id;
    let cursor = request.afterSequence;
    let wake = Promise.withResolvers<void>();
    const unsubscribe = events.subscribe((event) => {
      if (event.job === id) wake.resolve();
    });
    try {
      while (!signal.aborted) {
        const batch = await events.read(id, cursor, WATCH_BATCH);
        for (const event of batch) {
          yield { eventJson: JSON.stringify(toCloudEvent(event)) };
          cursor = event.sequence;
        }
        const job = jobOf(loop.state, id) as JobState;
        if (hasEnded(job) && cursor >= job.eventSequence) return;
        if (batch.length === WATCH_BATCH) continue;
        yield { progress: this.context.progress.of(job, this.context.timers.now()) };
        await Promise.race([wake.promise, this.pause(PROGRESS_INTERVAL_MS, signal)]);
        wake = Promise.withResolvers<void>();
      }
    } finally {
      unsubscribe();
    }
  }

  async *logs(request: LogsRequest__Output, signal: AbortSignal): AsyncGenerator<LogsResponse> {
    const { logs, loop } = this.context;
    const id = this.find(request.job, request.namespace).id;
    const fresh: LogsResponse[] = [];
    const unfollow = logs.follow(id, (line) => {
      if (request.worker === '' || request.worker === line.worker) fresh.push(line);
    });
    try {
      // Followed and read in one turn: what comes later is not in the files that are read, and is not missed.
      for (const line of await logs.read(id, request.worker)) yield line;
      while (request.follow && !signal.aborted) {
        while (fresh.length > 0) yield fresh.shift() as LogsResponse;
        if (hasEnded(jobOf(loop.state, id) as JobState)) return;
        await this.pause(PROGRESS_INTERVAL_MS, signal);
      }
    } finally {
      unfollow();
    }
  }

  listWorkers(): WorkerStatus[] {
    const { state } = this.context.loop;
    return Object.values(state.workers).map((worker) => {
      const lease = Object.values(state.jobs)
        .flatMap((job) => Object.values(job.leases))
        .find((each) => each.worker === worker.id);
      const { provider, threads, memoryBytes, host, version } = worker.capabilities;
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
        sinceMs,
        task: lease?.task ?? '',
        ...memory,
      };
    });
  }

  /** By id, or by name: then the job of that name that was submitted last. */
  private find(name: string, namespace: string): JobState {
    const { jobs, queue } = this.context.loop.state;
    const known = queue
      .map((id) => jobs[id] as JobState)
      .filter((job) => namespace === '' || job.namespace === namespace);
    const found = known.find((job) => job.id === name) ?? known.findLast((job) => job.name === name);
    if (found !== undefined) return found;
    const latest = known.slice(-5).map((job) => job.id);
    const there = latest.length === 0 ? 'there are no jobs' : `the latest jobs are ${latest.join(', ')}`;
    throw new SecateurError(
      'JobNotFound',
      `job "${name}"${namespace === '' ? '' : ` in namespace ${namespace}`}: not known; ${there}`,
      { details: { job: name } },
    );
  }

  private pause(ms: number, signal: AbortSignal): Promise<void> {
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

  private describe(job: JobState): Job {
    return {
      id: job.id,
      namespace: job.namespace,
      name: job.name,
      phase: job.phase,
      reason: job.reason,
      message: job.message,
      sinceMs: job.sinceMs,
      submittedMs: job.submittedMs,
      endedMs: job.endedMs ?? 0,
      destination: job.manifest.spec.output.destination,
      manifestJson: JSON.stringify(job.manifest),
      planJson: job.plan === null ? '' : JSON.stringify(job.plan),
      progress: this.context.progress.of(job, this.context.timers.now()),
      failure:
        job.failure === null
          ? null
          : { code: job.failure.code, message: job.failure.message, detailsJson: JSON.stringify(job.failure.details) },
      lastSequence: job.eventSequence,
      stages: job.stages.map((stage, index) => ({
        stage: index,
        firstLayer: stage.firstLayer,
        layerCount: stage.layerCount,
        committed: job.layers
          .slice(stage.firstLayer, stage.firstLayer + stage.layerCount)
          .filter((layer) => layer.status === 'committed').length,
        replicas: Object.entries(stage.shares).map(([worker, share]) => ({
          worker,
          microbatchCount: countOf(share),
          microbatches: showMicrobatches(share),
          activity: Object.values(job.leases).find((lease) => lease.worker === worker)?.task ?? '',
          tokensPerSecond: own(job.rates, worker) ?? 0,
        })),
      })),
    };
  }
}

/** A client sends the manifest with its locations made absolute; it is checked here as if it came from a file. */
function parseSubmitted(manifestJson: string): Manifest {
  const manifest = parseManifest(manifestJson, 'submitted manifest');
  const { model, output, calibration } = manifest.spec;
  const locations = [
    model.source,
    output.destination,
    ...('text' in calibration ? calibration.text : [calibration.tokens]),
  ];
  for (const location of locations) {
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
