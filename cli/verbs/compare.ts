/** `secateur compare MANIFEST`: methods and amounts side by side, by their perplexity. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { EXIT, SecateurError } from '../../shared/errors/secateur-error.ts';
import { LAYERWISE } from '../../shared/manifest/layerwise.ts';
import { METHOD_NAMES } from '../../shared/manifest/method-options.ts';
import { destinationPath } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { parsePattern } from '../../shared/manifest/sparsity-pattern.ts';
import { renderComparison } from '../compare/render-comparison.ts';
import { type Amount, parseMethod, type TrialMethod, trialsOf } from '../compare/trials.ts';
import { connect } from '../connection.ts';
import { withManifest } from '../load-manifest.ts';
import {
  type CoordinatorOptions,
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
import { defaultStateDirectory } from '../run/state-directory.ts';

interface CompareVerbOptions extends CoordinatorOptions, OutputOptions {
  readonly set: readonly string[];
  readonly methods: readonly TrialMethod[];
  readonly sparsity?: readonly number[];
  readonly patterns?: readonly string[];
  readonly keep?: true;
  readonly report?: string;
  readonly workers: number;
  readonly threads?: number;
  readonly provider: string;
  readonly state?: string;
}

export function addCompare(program: Command, end: EndVerb): void {
  const command = program
    .command('compare')
    .summary('compare methods and amounts by their perplexity')
    .description(
      'Prunes a model by several methods and amounts, one after the other, and sets their perplexities side by side. The manifest says the rest, and needs an evaluation. Interrupted, the same command goes on.',
    )
    .argument('<manifest>', 'YAML file')
    .requiredOption(
      '--methods <names>',
      `separated by commas: ${METHOD_NAMES.join(', ')}; with +owl, each layer has its own sparsity: wanda+owl`,
      parseMethods,
    )
    .option('--sparsity <shares>', 'separated by commas: 0.5,0.7', parseSparsities)
    .option('--patterns <patterns>', 'separated by commas: 2:4,4:8', parsePatterns)
    .option('--keep', 'publish every checkpoint (default: only the record of each, secateur.json)')
    .option('--report <dir>', 'folder of compare.json, compare.md and compare.svg (default: the destination)')
    .option('--workers <n>', 'worker processes', wholeNumber(1), 2)
    .option('--threads <n>', 'threads of each worker (default: the cores, split among them)', wholeNumber(1))
    .addOption(providerOption())
    .option('--state <dir>', 'folder to go on from (default: one a destination, in $XDG_STATE_HOME/secateur/runs)')
    .addOption(
      new Option('--coordinator <host:port>', 'compare on the workers of this coordinator').argParser(parseAddress),
    );
  withOutput(withSet(command)).action(async (file: string, options: CompareVerbOptions) => {
    end(await withManifest(file, options.set, (manifest) => compare(manifest, options)));
  });
}

async function compare(manifest: Manifest, options: CompareVerbOptions): Promise<number> {
  const amounts: Amount[] = [
    ...(options.sparsity ?? []).map((sparsity) => ({ sparsity })),
    ...(options.patterns ?? []).map((pattern) => ({ pattern })),
  ];
  if (amounts.length === 0) {
    throw new SecateurError('ArgumentInvalid', 'expected --sparsity, --patterns or both; found neither');
  }
  if (options.patterns !== undefined && options.methods.some(({ layerwise }) => layerwise !== null))
    note('methods with +owl go with --sparsity only: left out of the patterns');
  const trials = trialsOf(manifest, { methods: options.methods, amounts, keep: options.keep === true });
  const report = resolve(options.report ?? destinationPath(manifest.spec.output.destination));
  const listener = listenerFor(process.stderr);
  const compareOptions = { manifest, trials, report, listener };
  const { compareHere, compareThere } = await import('../compare/run-compare.ts');
  try {
    const comparison = await (async () => {
      if (options.coordinator === undefined) {
        const stateDirectory = resolve(options.state ?? defaultStateDirectory(manifest, process.env));
        const { workers, threads = null, provider } = options;
        return compareHere(compareOptions, { stateDirectory, workers, threads, provider, listener });
      }
      using connection = connect(options);
      return await compareThere(compareOptions, connection);
    })();
    listener.close();
    printData(options.output, comparison, () => renderComparison(comparison));
    note(`written to ${report}: compare.json, compare.md, compare.svg`);
    if (comparison.missing.length > 0) {
      note('interrupted: what is done stays; the same command goes on');
      return EXIT.interrupted;
    }
    return comparison.trials.some(({ failure }) => failure !== null) ? EXIT.failure : EXIT.ok;
  } finally {
    listener.close();
  }
}

function parseMethods(text: string): TrialMethod[] {
  return text.split(',').map((name) => {
    const method = parseMethod(name);
    if (method !== null) return method;
    throw new InvalidArgumentError(
      `"${name}" is no method. Known: ${METHOD_NAMES.join(', ')}, each also with ${LAYERWISE.map((each) => `+${each}`).join(', ')}.`,
    );
  });
}

function parseSparsities(text: string): number[] {
  return text.split(',').map((part) => {
    const value = /^(?:\d+(?:\.\d*)?|\.\d+)$/.test(part) ? Number(part) : Number.NaN;
    if (!(value >= 0 && value < 1)) throw new InvalidArgumentError(`"${part}" is no share from 0 to below 1.`);
    return value;
  });
}

function parsePatterns(text: string): string[] {
  const patterns = text.split(',');
  const wrong = patterns.find((pattern) => parsePattern(pattern) === undefined);
  if (wrong === undefined) return patterns;
  throw new InvalidArgumentError(`"${wrong}" is no pattern such as 2:4.`);
}
