/** `secateur watch JOB`: every event of a job, from the first or after a given one, until the job ends. */
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import type { Job__Output } from '../../shared/rpc/generated/secateur/v1/Job.ts';
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
import { BACK, describeAway, describeStatus } from '../render/status-line.ts';
import { needsJob, type StateOptions, stateDirectoryOf, withState } from '../state-options.ts';

interface WatchOptions extends CoordinatorOptions, NamespaceOptions, OutputOptions, StateOptions {
  readonly after: number;
}

export function addWatch(program: Command, end: EndVerb): void {
  const command = program
    .command('watch')
    .summary("print a job's events until it ends")
    .description(
      'Prints one event a line until the job ends, and ends as the job did: exit code 0 where it succeeded. With -o json each line is a CloudEvent. With --state or --manifest the recorded events are read from the state folder.',
    )
    .argument('[job]', 'id or name; with --state or --manifest, the latest where left out')
    .option('--after <sequence>', 'begin after the event with this number', wholeNumber(0), 0);
  withState(withOutput(withNamespace(withCoordinator(command)))).action(
    async (name: string | undefined, options: WatchOptions) => {
      const directory = await stateDirectoryOf(options);
      throwUnlessSucceeded(
        directory === null ? await watchLive(needsJob(name), options) : await readBack(directory, name, options),
      );
      end(EXIT.ok);
    },
  );
}

async function watchLive(name: string, options: WatchOptions): Promise<Job__Output> {
  using connection = connect(options);
  // By its id from here on: a later job of the same name is another job.
  const { id, namespace } = await connection.get({ job: name, namespace: options.namespace });
  return await followJob(connection, { job: id, namespace }, printingListener(options.output), {
    after: options.after,
  });
}

/** Every event that is recorded. Loaded only here: most verbs start faster without the coordinator's code. */
async function readBack(directory: string, name: string | undefined, options: WatchOptions): Promise<Job__Output> {
  const { RecordedJobs } = await import('../recorded-jobs.ts');
  const recorded = await RecordedJobs.open(directory);
  const job = recorded.get(name, options.namespace);
  const { event } = printingListener(options.output);
  for await (const json of recorded.events(job.id, options.after)) event(JSON.parse(json) as CloudEvent, json);
  return job;
}

function printingListener(format: OutputFormat): JobListener {
  return {
    event: (event, json) => {
      const text =
        format === 'json' ? json : format === 'yaml' ? `---\n${stringify(event).trimEnd()}` : describeEvent(event);
      process.stdout.write(`${text}\n`);
    },
    progress: () => undefined,
    // Events are the data; this is what is said about them.
    status: (status) => note(describeStatus(status)),
    away: (why) => note(describeAway(why)),
    back: () => note(BACK),
  };
}
