/** `secateur watch JOB`: every event of a job, from the first or after a given one, until the job ends. */
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import { connect } from '../connection.ts';
import { followJob, type JobListener, throwUnlessSucceeded } from '../follow-job.ts';
import {
  type CoordinatorOptions,
  type EndVerb,
  type NamespaceOptions,
  type OutputOptions,
  wholeNumber,
  withCoordinator,
  withNamespace,
  withOutput,
} from '../options.ts';
import { describeEvent } from '../render/event-line.ts';
import { note, type OutputFormat } from '../render/output.ts';

interface WatchOptions extends CoordinatorOptions, NamespaceOptions, OutputOptions {
  readonly after: number;
}

export function addWatch(program: Command, end: EndVerb): void {
  const command = program
    .command('watch')
    .summary("print a job's events until it ends")
    .description(
      'Prints one event a line until the job ends, and ends as the job did: exit code 0 where it succeeded. With -o json each line is a CloudEvent.',
    )
    .argument('<job>', 'id or name')
    .option('--after <sequence>', 'begin after the event with this number', wholeNumber(0), 0);
  withOutput(withNamespace(withCoordinator(command))).action(async (name: string, options: WatchOptions) => {
    using connection = connect(options);
    // By its id from here on: a later job of the same name is another job.
    const { id, namespace } = await connection.get({ job: name, namespace: options.namespace });
    const listener = printingListener(options.output);
    throwUnlessSucceeded(await followJob(connection, { job: id, namespace }, listener, { after: options.after }));
    end(EXIT.ok);
  });
}

function printingListener(format: OutputFormat): JobListener {
  return {
    event: (event, json) => {
      const text =
        format === 'json' ? json : format === 'yaml' ? `---\n${stringify(event).trimEnd()}` : describeEvent(event);
      process.stdout.write(`${text}\n`);
    },
    progress: () => undefined,
    away: (why) => note(`the coordinator is away, trying again: ${why}`),
  };
}
