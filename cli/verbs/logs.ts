/** `secateur logs JOB`: what its workers and their engines said. */
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import type { LogsResponse__Output } from '../../shared/rpc/generated/secateur/v1/LogsResponse.ts';
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
import type { OutputFormat } from '../render/output.ts';
import { clean } from '../render/table.ts';

interface LogsOptions extends CoordinatorOptions, NamespaceOptions, OutputOptions {
  readonly follow?: true;
  readonly worker: string;
}

export function addLogs(program: Command, end: EndVerb): void {
  const command = program
    .command('logs')
    .summary("print a job's logs")
    .description("Prints what a job's workers and engines said, by time. With -o json: one JSON object a line.")
    .argument('<job>', 'id or name')
    .option('-f, --follow', 'go on until the job ends')
    .option('--worker <name>', 'only this worker', '');
  withOutput(withNamespace(withCoordinator(command))).action(async (job: string, options: LogsOptions) => {
    using connection = connect(options);
    const { namespace, worker, output } = options;
    for await (const line of connection.logs({ job, namespace, worker, follow: options.follow === true })) {
      process.stdout.write(`${renderLine(output, line)}\n`);
    }
    end(EXIT.ok);
  });
}

function renderLine(format: OutputFormat, line: LogsResponse__Output): string {
  if (format === 'json') return JSON.stringify(line);
  if (format === 'yaml') return `---\n${stringify(line).trimEnd()}`;
  const { atMs, level, worker, source, task, message } = line;
  const where = [worker, source, task].filter((part) => part !== '').join(' ');
  return message
    .split('\n')
    .map((text) => `${new Date(atMs).toISOString()} ${level.padEnd(5)} ${clean(where)}: ${clean(text)}`)
    .join('\n');
}
