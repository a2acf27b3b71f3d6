/** `secateur bench`: how fast this machine is at what a job does. One file a subcommand, in cli/bench/. */
import type { Command } from 'commander';
import { addBenchKernel } from '../bench/kernel.ts';
import { addBenchModel } from '../bench/model.ts';
import type { EndVerb } from '../options.ts';

export function addBench(program: Command, end: EndVerb): void {
  const bench = program
    .command('bench')
    .summary('measure this machine')
    .description('Measures how fast this machine is at what a job does.')
    .helpCommand(false);
  addBenchKernel(bench, end);
  addBenchModel(bench, end);
}
