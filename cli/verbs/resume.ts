/** `secateur resume JOB`: go on with a failed or cancelled job. */
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
import { jobView, renderJobs } from '../render/job-view.ts';
import { printData } from '../render/output.ts';

export function addResume(program: Command, end: EndVerb): void {
  const command = program
    .command('resume')
    .summary('go on with a failed or cancelled job')
    .description(
      'Goes on with a failed or cancelled job from its committed layers, once its inputs are found unchanged.',
    )
    .argument('<job>', 'id or name');
  withOutput(withNamespace(withCoordinator(command))).action(
    async (job: string, options: CoordinatorOptions & NamespaceOptions & OutputOptions) => {
      using connection = connect(options);
      const found = await connection.resume({ job, namespace: options.namespace });
      printData(options.output, jobView(found), () => renderJobs([found], Date.now()));
      end(EXIT.ok);
    },
  );
}
