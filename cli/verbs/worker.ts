/** `secateur worker`: one worker with its engine. */
import { mkdtemp } from 'node:fs/promises';
import { availableParallelism, hostname, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import { makeDirectory } from '../../shared/storage/make-directory.ts';
import { type EndVerb, parseAddress, providerOption, wholeNumber } from '../options.ts';
import { type LogFormat, logFormatOption, processLog } from '../process-log.ts';

interface WorkerVerbOptions {
  readonly coordinator: string;
  readonly name: string;
  readonly provider: 'auto' | 'cpu' | 'cuda';
  readonly device: number;
  readonly threads: number;
  readonly storage: 'auto' | 'direct' | 'coordinator';
  readonly cache?: string;
  readonly logFormat: LogFormat;
  readonly exitWhenOrphaned?: true;
}

export function addWorker(program: Command, end: EndVerb): void {
  program
    .command('worker')
    .summary('run a worker')
    .description(
      'Runs a worker until SIGTERM or Ctrl-C: the first ends the running task and leaves, the second leaves at once.',
    )
    .addOption(
      new Option('--coordinator <host:port>', "the coordinator's address")
        .env('SECATEUR_COORDINATOR')
        .argParser(parseAddress)
        .makeOptionMandatory(),
    )
    .option('--name <name>', 'stable over restarts, different for every worker', hostname())
    .addOption(providerOption())
    .option('--device <n>', 'number of the CUDA device', wholeNumber(0), 0)
    .option('--threads <n>', 'threads of the engine', wholeNumber(1), availableParallelism())
    .addOption(
      new Option('--storage <how>', 'how files are reached').choices(['auto', 'direct', 'coordinator']).default('auto'),
    )
    .option('--cache <dir>', 'where to keep files that come through the coordinator, while the worker runs')
    .addOption(logFormatOption())
    .addOption(new Option('--exit-when-orphaned', 'ignore Ctrl-C, and end when standard input closes').hideHelp())
    .action(async (options: WorkerVerbOptions) => {
      end(await serve(options));
    });
}

async function serve(options: WorkerVerbOptions): Promise<number> {
  const { startWorker } = await import('../../worker/main.ts');
  const { coordinator, name, provider, device, threads, storage, cache } = options;
  const worker = startWorker({
    coordinator,
    name,
    provider,
    deviceId: device,
    threads,
    storage,
    cacheDirectory: await cacheFolder(name, cache),
    log: processLog(options.logFormat),
  });
  let signals = 0;
  const leave = (): void => {
    signals += 1;
    if (signals === 1) worker.drain();
    else worker.stop();
  };
  process.on('SIGTERM', leave);
  if (options.exitWhenOrphaned === true) {
    // Ctrl-C reaches the whole group of processes; here the parent decides what it means. Its end closes the pipe.
    process.on('SIGINT', () => undefined);
    process.stdin.resume().on('close', () => worker.stop());
  } else {
    process.on('SIGINT', leave);
  }
  await worker.done;
  return EXIT.ok;
}

/** The worker removes this folder when it leaves: so it is never the one that the user named, but one inside. */
async function cacheFolder(worker: string, parent: string | undefined): Promise<string> {
  if (parent === undefined) return mkdtemp(join(tmpdir(), 'secateur-cache-'));
  // A folder that cannot be had is told now, not when the first file is to be kept there.
  await makeDirectory(resolve(parent), 'the cache folder (--cache)');
  return join(resolve(parent), `secateur-worker-${encodeURIComponent(worker)}`);
}
