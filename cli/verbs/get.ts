/** `secateur get [JOB]`: one job, or all. */
import type { Command } from 'commander';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import type { Job__Output } from '../../shared/rpc/generated/secateur/v1/Job.ts';
import { type Connection, connect } from '../connection.ts';
import {
  type CoordinatorOptions,
  type EndVerb,
  type NamespaceOptions,
  type OutputOptions,
  withCoordinator,
  withNamespace,
  withOutput,
} from '../options.ts';
import { jobView, renderJob, renderJobs } from '../render/job-view.ts';
import { note, printData } from '../render/output.ts';
import { type StateOptions, stateDirectoryOf, withState } from '../state-options.ts';

type GetOptions = CoordinatorOptions & NamespaceOptions & OutputOptions & StateOptions;

export function addGet(program: Command, end: EndVerb): void {
  const command = program
    .command('get')
    .summary('show a job, or list all jobs')
    .description(
      'Shows one job by its id or name (then the latest of that name), or lists all jobs. With --state or --manifest they are read from the state folder, also while no coordinator runs.',
    )
    .argument('[job]', 'id or name');
  withState(withOutput(withNamespace(withCoordinator(command)))).action(
    async (job: string | undefined, options: GetOptions) => {
      const source = await sourceOf(options);
      if (job === undefined) {
        const { jobs, leftOut } = await source.list(options.namespace);
        printData(options.output, jobs.map(jobView), () => renderJobs(jobs, Date.now()));
        if (jobs.length === 0) note('no jobs');
        if (leftOut > 0) note(`${leftOut} older jobs are left out: "secateur get JOB" shows each`);
      } else {
        const found = await source.get(job, options.namespace);
        printData(options.output, jobView(found), () => renderJob(found, Date.now()));
      }
      end(EXIT.ok);
    },
  );
}

interface JobList {
  readonly jobs: Job__Output[];
  readonly leftOut: number;
}

interface JobSource {
  get(job: string, namespace: string): Promise<Job__Output> | Job__Output;
  list(namespace: string): Promise<JobList> | JobList;
}

async function sourceOf(options: GetOptions): Promise<JobSource> {
  const directory = await stateDirectoryOf(options);
  if (directory !== null) return (await import('../recorded-jobs.ts')).RecordedJobs.open(directory);
  const asked = async <T>(ask: (connection: Connection) => Promise<T>): Promise<T> => {
    using connection = connect(options);
    return await ask(connection);
  };
  return {
    get: (job, namespace) => asked((connection) => connection.get({ job, namespace })),
    list: (namespace) => asked((connection) => connection.list(namespace)),
  };
}
