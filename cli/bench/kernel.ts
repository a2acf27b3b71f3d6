/** `secateur bench kernel`: how fast this machine chooses weights, beside a copy of the same bytes. */
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { EXIT, SecateurError } from '../../shared/errors/secateur-error.ts';
import { type EndVerb, type OutputOptions, wholeNumber, withOutput } from '../options.ts';
import { note, printData } from '../render/output.ts';
import { measureKernel } from './measure-kernel.ts';
import { renderKernelReport } from './render-kernel-report.ts';

interface BenchKernelOptions extends OutputOptions {
  readonly threads?: number;
  readonly mebibytes: number;
}

const MEBIBYTE = 1024 * 1024;
/** Weights and their copy share a memory of 4 GiB. */
const MEBIBYTES_MAX = 1536;

export function addBenchKernel(bench: Command, end: EndVerb): void {
  const command = bench
    .command('kernel')
    .summary('time the choice of weights beside a copy')
    .description(
      'Times the prune kernel in nanoseconds a weight: from a chunk that a cache holds and from memory, on one thread and on all, beside a copy of the same bytes. Needs twice the memory of --mebibytes.',
    )
    .option('--threads <n>', 'threads beside one (default: the cores)', wholeNumber(1))
    .option('--mebibytes <n>', 'size of the weights that no cache holds', wholeNumber(1), 512);
  withOutput(command).action(async (options: BenchKernelOptions) => {
    const { threads = availableParallelism(), mebibytes } = options;
    if (mebibytes > MEBIBYTES_MAX) {
      throw new SecateurError(
        'ArgumentInvalid',
        `--mebibytes: expected at most ${MEBIBYTES_MAX}, since weights and their copy share a memory of 4 GiB; found ${mebibytes}.`,
      );
    }
    note('measuring, half a minute on a quiet machine');
    const report = await measureKernel({ threads, largeBytes: mebibytes * MEBIBYTE });
    printData(options.output, report, () => renderKernelReport(report));
    end(EXIT.ok);
  });
}
