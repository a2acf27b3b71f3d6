/**
 * Jobs as a state folder records them, for when no coordinator answers: the same answers as over the API, as of the
 * moment at which the journal was written last.
 */
import { describeJob, findJob, inOrderOfSubmission } from '../coordinator/api/describe-job.ts';
import { ProgressTracker } from '../coordinator/api/progress.ts';
import { hasEnded, type JobState } from '../coordinator/core/state.ts';
import { StateLock } from '../coordinator/journal/state-lock.ts';
import { type JobLogLine, mergeJobLog, openJobLog } from '../coordinator/logs/read-job-log.ts';
import { type RecordedState, readState } from '../coordinator/read-state.ts';
import { logsFolder } from '../coordinator/state-folder.ts';
import { SecateurError } from '../shared/errors/secateur-error.ts';
import { toCloudEvent } from '../shared/events/cloud-event.ts';
import type { Job__Output } from '../shared/rpc/generated/secateur/v1/Job.ts';
import { SERVICES } from '../shared/rpc/load-protos.ts';
import { showDuration } from '../shared/units.ts';
import { note } from './render/output.ts';

const EVENTS_READ_MAX = 256;

export class RecordedJobs {
  private readonly directory: string;
  private readonly recorded: RecordedState;
  /** Who is at work there; null where nobody is. */
  private readonly coordinator: string | null;
  private readonly progress = new ProgressTracker();

  private constructor(directory: string, recorded: RecordedState, coordinator: string | null) {
    this.directory = directory;
    this.recorded = recorded;
    this.coordinator = coordinator;
  }

  /** @throws SourceMissing where the folder is no state folder; JournalCorrupt */
  static async open(directory: string): Promise<RecordedJobs> {
    return new RecordedJobs(directory, await readState(directory), StateLock.holder(directory));
  }

  get(name: string | undefined, namespace: string): Job__Output {
    const job = this.find(name, namespace);
    if (!hasEnded(job)) {
      const ago = showDuration(Date.now() - this.recorded.atMs);
      const there =
        this.coordinator === null ? 'no coordinator runs there' : `a coordinator${this.coordinator} is at work there`;
      note(`as ${this.directory} recorded it last, ${ago} ago; ${there}`);
    }
    return this.describe(job);
  }

  list(namespace: string): { jobs: Job__Output[]; leftOut: number } {
    const found = inOrderOfSubmission(this.recorded.state, namespace);
    return { jobs: found.map((job) => this.describe(job)), leftOut: 0 };
  }

  /** CloudEvents in structured JSON, the same bytes as over the API. */
  async *events(id: string, after: number): AsyncGenerator<string> {
    const { events } = this.recorded;
    for (let cursor = after; cursor < events.lastSequence(id); ) {
      for (const event of await events.read(id, cursor, EVENTS_READ_MAX)) {
        yield JSON.stringify(toCloudEvent(event));
        cursor = event.sequence;
      }
    }
  }

  async *logs(name: string | undefined, namespace: string, worker: string): AsyncGenerator<JobLogLine> {
    const job = this.find(name, namespace);
    yield* mergeJobLog(await openJobLog(logsFolder(this.directory, job.id), worker));
  }

  /** Without a name: the job that was submitted last. */
  private find(name: string | undefined, namespace: string): JobState {
    const latest = this.recorded.state.queue.at(-1);
    if (name === undefined && latest === undefined)
      throw new SecateurError('JobNotFound', `${this.directory}: no job was ever submitted there`);
    return findJob(this.recorded.state, name ?? (latest as string), name === undefined ? '' : namespace);
  }

  private describe(job: JobState): Job__Output {
    const { responseSerialize, responseDeserialize } = SERVICES.Jobs.service.Get;
    const described = describeJob(job, this.progress.of(job, this.recorded.atMs));
    return responseDeserialize(responseSerialize({ ...described, ...this.standstill(job) }));
  }

  /** What a job waited for when its coordinator ended, it waits for no longer: it needs a coordinator. */
  private standstill(job: JobState): Partial<Pick<Job__Output, 'reason' | 'message' | 'sinceMs'>> {
    if (this.coordinator !== null || hasEnded(job)) return {};
    const { directory } = this;
    return {
      reason: 'NoCoordinator',
      sinceMs: this.recorded.atMs,
      message: `needs a coordinator, and none runs on ${directory}: "secateur coordinator --state ${directory}", or the same "secateur run", goes on with it. When the last one ended: ${job.message} (${job.reason})`,
    };
  }
}
