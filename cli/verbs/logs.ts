/** `secateur logs [JOB]`: what its workers, their engines and the coordinator said. */
import { type Command, Option } from 'commander';
import { stringify } from 'yaml';
import { EXIT, SecateurError } from '../../shared/errors/secateur-error.ts';
import type { LogsResponse__Output } from '../../shared/rpc/generated/secateur/v1/LogsResponse.ts';
import { connect } from '../connection.ts';
import { followLogs } from '../follow-logs.ts';
import {
  type CoordinatorOptions,
  type EndVerb,
  type NamespaceOptions,
  type OutputOptions,
  withCoordinator,
  withNamespace,
  withOutput,
} from '../options.ts';
import { note, type OutputFormat } from '../render/output.ts';
import { BACK, describeAway } from '../render/status-line.ts';
import { clean } from '../render/table.ts';
import { needsJob, type StateOptions, stateDirectoryOf, withState } from '../state-options.ts';

interface LogsOptions extends CoordinatorOptions, NamespaceOptions, OutputOptions, StateOptions {
  readonly follow?: true;
  readonly worker: string;
}

export function addLogs(program: Command, end: EndVerb): void {
  const command = program
    .command('logs')
    .summary("print a job's logs")
    .description(
      "Prints what a job's workers, their engines and the coordinator said, by time. With -o json: one JSON object a line. With --state or --manifest it is read from the state folder, also after every process is gone.",
    )
    .argument('[job]', 'id or name; with --state or --manifest, the latest where left out')
    .addOption(new Option('-f, --follow', 'go on until the job ends').conflicts(['state', 'manifest']))
    .addOption(new Option('--worker <name>', 'only this worker').default('', 'all'));
  withState(withOutput(withNamespace(withCoordinator(command)))).action(
    async (job: string | undefined, options: LogsOptions) => {
      const directory = await stateDirectoryOf(options);
      const lines = linesOf(directory, job, options);
      let isEmpty = true;
      for await (const line of lines) {
        process.stdout.write(`${renderLine(options.output, line)}\n`);
        isEmpty = false;
      }
      if (isEmpty && options.worker !== '') throw await nothingOf(options, linesOf(directory, job, allOf(options)));
      end(EXIT.ok);
    },
  );
}

function linesOf(directory: string | null, job: string | undefined, options: LogsOptions): AsyncGenerator<Line> {
  return directory === null ? askedLines(needsJob(job), options) : recordedLines(directory, job, options);
}

function allOf({ follow: _, ...options }: LogsOptions): LogsOptions {
  return { ...options, worker: '' };
}

/** A worker of which there is no line is most often one whose name has a typing error. */
async function nothingOf({ worker }: LogsOptions, all: AsyncGenerator<Line>): Promise<SecateurError> {
  const names = new Set<string>();
  for await (const line of all) if (line.worker !== '') names.add(line.worker);
  const there = names.size === 0 ? 'of no worker' : `of ${[...names].sort().join(', ')}`;
  return new SecateurError('SourceMissing', `no line of worker "${worker}"; there are lines ${there}`, {
    details: { worker },
  });
}

type Line = Pick<LogsResponse__Output, 'worker' | 'source' | 'level' | 'atMs' | 'task' | 'message'>;

async function* askedLines(job: string, options: LogsOptions): AsyncGenerator<Line> {
  using connection = connect(options);
  const { namespace, worker } = options;
  if (options.follow !== true) return yield* connection.logs({ job, namespace, worker, follow: false });
  // By its id from here on: a later job of the same name is another job.
  const { id } = await connection.get({ job, namespace });
  const outages = { away: (why: string) => note(describeAway(why)), back: () => note(BACK) };
  yield* followLogs(connection, { job: id, namespace, worker }, outages);
}

/** Loaded only here: most verbs start faster without the coordinator's code. */
async function* recordedLines(
  directory: string,
  job: string | undefined,
  { namespace, worker }: LogsOptions,
): AsyncGenerator<Line> {
  const { RecordedJobs } = await import('../recorded-jobs.ts');
  yield* (await RecordedJobs.open(directory)).logs(job, namespace, worker);
}

function renderLine(format: OutputFormat, line: Line): string {
  if (format === 'json') return JSON.stringify(line);
  if (format === 'yaml') return `---\n${stringify(line).trimEnd()}`;
  const { atMs, level, worker, source, task, message } = line;
  const where = [worker, source, task].filter((part) => part !== '').join(' ');
  return message
    .split('\n')
    .map((text) => `${new Date(atMs).toISOString()} ${level.padEnd(5)} ${clean(where)}: ${clean(text)}`)
    .join('\n');
}
