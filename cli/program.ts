/** The verbs, and the one place where an error becomes a message and an exit code. */
import { Command, CommanderError } from 'commander';
import { EXIT } from '../shared/errors/secateur-error.ts';
import { nearestName } from '../shared/manifest/nearest-name.ts';
import { VERSION } from '../shared/version.ts';
import type { EndVerb } from './options.ts';
import { reportError } from './report-error.ts';
import { addBench } from './verbs/bench.ts';
import { addCancel } from './verbs/cancel.ts';
import { addCompare } from './verbs/compare.ts';
import { addCoordinator } from './verbs/coordinator.ts';
import { addDoctor } from './verbs/doctor.ts';
import { addGet } from './verbs/get.ts';
import { addLogs } from './verbs/logs.ts';
import { addPlan } from './verbs/plan.ts';
import { addReport } from './verbs/report.ts';
import { addResume } from './verbs/resume.ts';
import { addRun } from './verbs/run.ts';
import { addSubmit } from './verbs/submit.ts';
import { addVerify } from './verbs/verify.ts';
import { addWatch } from './verbs/watch.ts';
import { addWorker } from './verbs/worker.ts';
import { addWorkers } from './verbs/workers.ts';

/** In the order of the help text. */
const VERBS = [
  addRun,
  addCompare,
  addPlan,
  addVerify,
  addReport,
  addDoctor,
  addBench,
  addCoordinator,
  addWorker,
  addSubmit,
  addGet,
  addWatch,
  addLogs,
  addWorkers,
  addCancel,
  addResume,
];

const EXIT_CODE_HELP = `
Exit codes: 0 done, 1 failed, 2 wrong arguments or manifest, 3 wrong input, 4 conflict (exists, locked),
5 unavailable, 6 corrupt or not verified, 130 interrupted.`;

/** Never throws. @returns the exit code */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.ok;
  const program = createProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCode;
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) return reportError(thrown);
    // Commander has printed its message already.
    return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
}

/** @param end takes the exit code of the verb that ran */
export function createProgram(end: EndVerb): Command {
  const program = new Command('secateur')
    .description('Prunes large language models on a cluster: Wanda and other methods, layer by layer.')
    .version(VERSION, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .addHelpText('after', EXIT_CODE_HELP)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(withCode(text)) });
  for (const add of VERBS) add(program, end);
  addHelp(program);
  return program;
}

/** Commander's own answers a verb that it does not know with the help of the program, and no word about the verb. */
function addHelp(program: Command): void {
  program
    .command('help')
    .summary('print the help of a verb')
    .description('Prints the help of a verb, or of all.')
    .argument('[verb]')
    .action((verb: string | undefined) => {
      const verbs = new Map(program.commands.map((command) => [command.name(), command]));
      if (verb === undefined) return program.help();
      const command = verbs.get(verb);
      if (command !== undefined) return command.help();
      const nearest = nearestName(verb, verbs.keys());
      const hint = nearest === undefined ? '' : `\n(Did you mean ${nearest}?)`;
      return program.error(`error: unknown command '${verb}'${hint}`);
    });
}

/** Commander's messages in the form of all others: the code in brackets on the first line, its suggestion below. */
function withCode(text: string): string {
  const [first = '', ...rest] = text.trimEnd().split('\n');
  return `${[`${first} [ArgumentInvalid]`, ...rest].join('\n')}\n`;
}
