/** `secateur get [JOB]`: one job, or all. */
import type { Command } from 'commander';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import { connect } from '../connection.ts';
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

export function addGet(program: Command, end: EndVerb): void {
  const command = program
    .command('get')
    .summary('show a job, or list all jobs')
    .description('Shows one job by its id or name (then the latest of that name), or lists all jobs.')
    .argument('[job]', 'id or name');
  withOutput(withNamespace(withCoordinator(command))).action(
    async (job: string | undefined, options: CoordinatorOptions & NamespaceOptions & OutputOptions) => {
      using connection = connect(options);
      if (job === undefined) {
        const jobs = await connection.list(options.namespace);
        printData(options.output, jobs.map(jobView), () => renderJobs(jobs, Date.now()));
        if (jobs.length === 0) note('no jobs');
      } else {
        const found = await connection.get({ job, namespace: options.namespace });
        printData(options.output, jobView(found), () => renderJob(found, Date.now()));
      }
      end(EXIT.ok);
    },
  );
}
