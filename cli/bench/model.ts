/** `secateur bench model`: a synthetic model by the real path. */
import { type Command, Option } from 'commander';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import { SHAPE_NAMES, SHAPES, type ShapeName } from '../../shared/synthetic/shapes.ts';
import { type EndVerb, type OutputOptions, providerOption, wholeNumber, withOutput } from '../options.ts';
import { listenerFor } from '../render/job-listener.ts';
import { note, printData } from '../render/output.ts';

interface BenchModelVerbOptions extends OutputOptions {
  readonly shape: ShapeName;
  readonly layers?: number;
  readonly tokens: number;
  readonly workers: number;
  readonly threads?: number;
  readonly provider: string;
}

export function addBenchModel(bench: Command, end: EndVerb): void {
  const model = bench
    .command('model')
    .summary('prune a synthetic model by the real path')
    .description(
      'Prunes a model whose weights are made from a seed, by the real path: a coordinator, workers, engines. Nothing of it stays. Prints throughput, and memory of every process beside its bound.',
    )
    .addOption(new Option('--shape <shape>', 'its dimensions').choices(SHAPE_NAMES).default('llama-7b'))
    .option('--layers <n>', 'decoder layers (default: those of the shape)', wholeNumber(1))
    .option('--tokens <n>', 'calibration tokens, in samples of at most 128', wholeNumber(1), 256)
    .option('--workers <n>', 'worker processes', wholeNumber(1), 2)
    .option('--threads <n>', 'threads of each worker (default: the cores, split among them)', wholeNumber(1))
    .addOption(providerOption());
  withOutput(model).action(async (options: BenchModelVerbOptions) => {
    end(await runBenchModel(options));
  });
}

async function runBenchModel(options: BenchModelVerbOptions): Promise<number> {
  const { shape, layers = SHAPES[shape].layerCount, tokens, workers, threads = null, provider } = options;
  const { benchModel } = await import('../bench/bench-model.ts');
  const { renderModelFigures } = await import('../bench/model-figures.ts');
  const listener = listenerFor(process.stderr);
  const figures = await benchModel({ shape, layers, tokens, workers, threads, provider, listener });
  if (figures === null) {
    note('interrupted: nothing was measured');
    return EXIT.interrupted;
  }
  printData(options.output, figures, () => renderModelFigures(figures));
  return figures.processes.every(({ holds }) => holds) ? EXIT.ok : EXIT.failure;
}
