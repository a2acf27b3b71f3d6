/** Options that several verbs share, and how their values are read. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { OUTPUT_FORMATS, type OutputFormat } from './render/output.ts';

export const DEFAULT_COORDINATOR = '127.0.0.1:7070';

export interface CoordinatorOptions {
  readonly coordinator?: string;
}

export interface NamespaceOptions {
  /** Empty: all. */
  readonly namespace: string;
}

export interface OutputOptions {
  readonly output: OutputFormat;
}

/** Takes the exit code of a verb that has ended. */
export type EndVerb = (exitCode: number) => void;

export function withCoordinator(command: Command): Command {
  return command.addOption(
    new Option('--coordinator <host:port>', `the coordinator's address (default: ${DEFAULT_COORDINATOR})`)
      .env('SECATEUR_COORDINATOR')
      .argParser(parseAddress),
  );
}

export function withNamespace(command: Command): Command {
  return command.addOption(new Option('--namespace <name>', 'look only at jobs of this namespace').default('', 'all'));
}

export function withOutput(command: Command): Command {
  return command.addOption(
    new Option('-o, --output <format>', 'how data is printed').choices(OUTPUT_FORMATS).default('table'),
  );
}

export function withSet(command: Command, what = 'set a field of the manifest; may be given again'): Command {
  return command.addOption(new Option('--set <path=value>', what).argParser(collect).default([], 'none'));
}

export function providerOption(): Option {
  return new Option('--provider <provider>', 'what to compute on').choices(['auto', 'cpu', 'cuda']).default('auto');
}

export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** A parser of whole numbers from `minimum` on. */
export function wholeNumber(minimum: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= minimum)) throw new InvalidArgumentError(`Expected a whole number, ${minimum} or more.`);
    return value;
  };
}

export function parseAddress(text: string): string {
  const port = /^(?:\[[0-9A-Fa-f:.]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(text)?.[1];
  if (port === undefined || Number(port) > 65535) {
    throw new InvalidArgumentError(`Expected host:port, such as ${DEFAULT_COORDINATOR}.`);
  }
  return text;
}
