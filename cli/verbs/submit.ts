/** `secateur submit MANIFEST`: gives a job to a coordinator, and may wait for its end. */
import type { Command } from 'commander';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import { connect } from '../connection.ts';
import { followJob, throwUnlessSucceeded } from '../follow-job.ts';
import { withManifest } from '../load-manifest.ts';
import {
  type CoordinatorOptions,
  type EndVerb,
  type OutputOptions,
  withCoordinator,
  withOutput,
  withSet,
} from '../options.ts';
import { listenerFor } from '../render/job-listener.ts';
import { jobView, renderJob, renderJobs } from '../render/job-view.ts';
import { printData } from '../render/output.ts';

interface SubmitOptions extends CoordinatorOptions, OutputOptions {
  readonly set: readonly string[];
  readonly wait?: true;
}

export function addSubmit(program: Command, end: EndVerb): void {
  const command = program
    .command('submit')
    .summary('give a job to a coordinator')
    .description('Gives a job to a coordinator. Relative paths of the manifest count from its folder.')
    .argument('<manifest>', 'YAML file')
    .option('--wait', 'follow the job, and end as it does');
  withOutput(withSet(withCoordinator(command))).action(async (file: string, options: SubmitOptions) => {
    using connection = connect(options);
    const job = await withManifest(file, options.set, (manifest) => connection.submit(manifest));
    if (options.wait !== true) {
      printData(options.output, jobView(job), () => renderJobs([job], Date.now()));
      return end(EXIT.ok);
    }
    const listener = listenerFor(process.stderr);
    listener.say(`job ${job.id} submitted`);
    try {
      const { id, namespace } = job;
      const ended = await followJob(connection, { job: id, namespace }, listener, { after: 0 });
      listener.close();
      throwUnlessSucceeded(ended);
      printData(options.output, jobView(ended), () => renderJob(ended, Date.now()));
    } finally {
      listener.close();
    }
    end(EXIT.ok);
  });
}
