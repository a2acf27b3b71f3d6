/**
 * Jobs as a state folder records them, for when no coordinator answers: the same answers as over the API, as of the
 * moment at which the journal was written last.
 */
import { describeJob, findJob, inOrderOfSubmission } from '../coordinator/api/describe-job.ts';
import { ProgressTracker } from '../coordinator/api/progress.ts';
import { hasEnded, type JobState } from '../coordinator/core/state.ts';
import { type JobLogLine, mergeJobLog, openJobLog } from '../coordinator/logs/read-job-log.ts';
import { type RecordedState, readState } from '../coordinator/read-state.ts';
import { logsFolder } from '../coordinator/state-folder.ts';
import { SecateurError } from '../shared/errors/secateur-error.ts';
import { toCloudEvent } from '../shared/events/cloud-event.ts';
import type { Job__Output } from '../shared/rpc/generated/secateur/v1/Job.ts';
import { SERVICES } from '../shared/rpc/load-protos.ts';
import { note } from './render/output.ts';
import { showDuration } from './render/units.ts';

const EVENTS_READ_MAX = 256;

export class RecordedJobs {
  private readonly directory: string;
  private readonly recorded: RecordedState;
  private readonly progress = new ProgressTracker();

  private constructor(directory: string, recorded: RecordedState) {
    this.directory = directory;
    this.recorded = recorded;
  }

  /** @throws SourceMissing where the folder is no state folder; JournalCorrupt */
  static async open(directory: string): Promise<RecordedJobs> {
    return new RecordedJobs(directory, await readState(directory));
  }

  get(name: string | undefined, namespace: string): Job__Output {
    const job = this.find(name, namespace);
    if (!hasEnded(job)) {
      const ago = showDuration(Date.now() - this.recorded.atMs);
      note(
        `as ${this.directory} recorded it last, ${ago} ago; whether a coordinator is at work there is not looked at`,
      );
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
    return responseDeserialize(responseSerialize(describeJob(job, this.progress.of(job, this.recorded.atMs))));
  }
}
