/** `secateur coordinator`: the control plane as a process of its own. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import { collect, type EndVerb, parseAddress } from '../options.ts';
import { type LogFormat, logFormatOption, processLog } from '../process-log.ts';

interface CoordinatorVerbOptions {
  readonly state: string;
  readonly listen: string;
  readonly nats?: readonly string[];
  readonly natsCredentials?: string;
  readonly logFormat: LogFormat;
  readonly wait?: true;
}

export function addCoordinator(program: Command, end: EndVerb): void {
  program
    .command('coordinator')
    .summary('run a coordinator')
    .description(
      'Runs a coordinator until SIGTERM or Ctrl-C. What it knows is in its state folder: started again there, it goes on.',
    )
    .requiredOption('--state <dir>', 'folder of the journal; one coordinator a folder')
    .option('--wait', 'where another coordinator has the state folder, wait and take over when it ends')
    .option('--listen <host:port>', 'address of the API', parseAddress, '127.0.0.1:7070')
    .option('--nats <url>', 'NATS server that events are published to; may be given again', collect)
    .option('--nats-credentials <file>', 'NATS credentials')
    .addOption(logFormatOption())
    .action(async (options: CoordinatorVerbOptions) => {
      end(await serve(options));
    });
}

async function serve(options: CoordinatorVerbOptions): Promise<number> {
  const { startCoordinator } = await import('../../coordinator/main.ts');
  const { natsCredentials } = options;
  const log = processLog(options.logFormat);
  const coordinator = await startCoordinator({
    stateDirectory: resolve(options.state),
    listen: options.listen,
    nats:
      options.nats === undefined
        ? null
        : { servers: options.nats, ...(natsCredentials === undefined ? {} : { credentialsFile: natsCredentials }) },
    log,
    wait: options.wait === true,
  });
  const signal = Promise.withResolvers<NodeJS.Signals>();
  let isStopping = false;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      // The journal is whole at any moment: a second signal may end the process in the middle of the farewell.
      if (isStopping) process.exit(EXIT.interrupted);
      isStopping = true;
      signal.resolve(name);
    });
  }
  try {
    const name = await Promise.race([signal.promise, coordinator.failed]);
    log('info', `${name}: stops; jobs go on when a coordinator is started with this state folder`);
  } finally {
    await coordinator.stop();
  }
  return EXIT.ok;
}
