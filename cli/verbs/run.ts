/** `secateur run MANIFEST`: a whole job on this machine. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { jobsFolder } from '../../coordinator/state-folder.ts';
import { EXIT, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { destinationPath, sourcePath } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { throwUnlessSucceeded } from '../follow-job.ts';
import { withManifest } from '../load-manifest.ts';
import {
  collect,
  type EndVerb,
  type OutputOptions,
  parseAddress,
  providerOption,
  wholeNumber,
  withOutput,
  withSet,
} from '../options.ts';
import { listenerFor } from '../render/job-listener.ts';
import { note, printData } from '../render/output.ts';
import { exitCodeOf } from '../report-error.ts';
import { formatLogsCommand } from '../run/shell-commands.ts';
import { defaultStateDirectory } from '../run/state-directory.ts';
import { renderSummary, summarizeRun } from '../run/summary.ts';
import { readProvenance } from '../verify/provenance-file.ts';

/** What ends a run with these before its job has begun stands in no log. */
const REFUSED: ReadonlySet<number> = new Set([EXIT.usage, EXIT.input, EXIT.conflict]);

interface RunVerbOptions extends OutputOptions {
  readonly set: readonly string[];
  readonly workers: number;
  readonly state?: string;
  readonly provider: string;
  readonly threads?: number;
  readonly nats?: readonly string[];
  readonly listen: string;
}

export function addRun(program: Command, end: EndVerb): void {
  const command = program
    .command('run')
    .summary('prune a model on this machine')
    .description(
      'Prunes a model on this machine: a coordinator and its workers, in one command. Interrupted or failed, the same command goes on.',
    )
    .argument('<manifest>', 'YAML file')
    .option('--workers <n>', 'worker processes', wholeNumber(1), 2)
    .option('--threads <n>', 'threads of each worker (default: the cores, split among them)', wholeNumber(1))
    .addOption(providerOption())
    .option('--state <dir>', 'folder to go on from (default: one a destination, in $XDG_STATE_HOME/secateur/runs)')
    .option('--nats <url>', 'NATS server that events are published to; may be given again', collect)
    .option('--listen <host:port>', "address of the coordinator's API", parseAddress, '127.0.0.1:0');
  withOutput(withSet(command)).action(async (file: string, options: RunVerbOptions) => {
    end(await run(file, options));
  });
}

function run(file: string, options: RunVerbOptions): Promise<number> {
  return withManifest(file, options.set, (manifest) => runManifest(manifest, options));
}

async function runManifest(manifest: Manifest, options: RunVerbOptions): Promise<number> {
  const { runJob } = await import('../run/run-job.ts');
  const stateDirectory = resolve(options.state ?? defaultStateDirectory(manifest, process.env));
  const outcome = await runJob({
    manifest,
    stateDirectory,
    listen: options.listen,
    nats: options.nats ?? [],
    workers: options.workers,
    threads: options.threads ?? null,
    provider: options.provider,
    listener: listenerFor(process.stderr),
  }).catch((thrown: unknown) => {
    if (!REFUSED.has(exitCodeOf(toSecateurError(thrown).code))) noteLogs(stateDirectory);
    throw thrown;
  });
  if (outcome.kind === 'interrupted' || outcome.job.phase !== 'Succeeded') noteLogs(stateDirectory);
  if (outcome.kind === 'interrupted') {
    note('interrupted: what is committed stays; the same command goes on');
    return EXIT.interrupted;
  }
  throwUnlessSucceeded(outcome.job);
  const output = destinationPath(manifest.spec.output.destination);
  const summary = summarizeRun(await readProvenance(output), output, sourcePath(manifest.spec.model.source));
  printData(options.output, summary, () => renderSummary(summary));
  return EXIT.ok;
}

/** Where a job has said anything yet. */
function noteLogs(stateDirectory: string): void {
  if (existsSync(jobsFolder(stateDirectory))) note(`its logs: ${formatLogsCommand(stateDirectory)}`);
}
