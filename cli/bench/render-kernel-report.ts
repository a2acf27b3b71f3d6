/** What `secateur bench kernel` prints for a person. Pure. */
import { renderTable } from '../render/table.ts';
import type { HardFigure, KernelFigure, KernelReport } from './measure-kernel.ts';

const MEBIBYTE = 1024 * 1024;

export function renderKernelReport(report: KernelReport): string {
  const { machine, columns, model } = report;
  const data: Readonly<Record<KernelFigure['data'], string>> = {
    chunk: `${report.chunkBytes / MEBIBYTE} MiB a thread`,
    memory: `${report.largeBytes / MEBIBYTE} MiB`,
  };
  const seconds = (nsPerWeight: number): string => ((nsPerWeight * model.weights) / 1e9).toFixed(1);
  const figures = renderTable<KernelFigure>(
    [
      { title: 'WEIGHTS', value: ({ dtype }) => dtype },
      { title: 'ZEROED', value: ({ selection }) => selection },
      { title: 'FROM', value: (figure) => data[figure.data] },
      { title: 'THREADS', value: ({ threads }) => String(threads), align: 'right' },
      { title: 'NS A WEIGHT', value: ({ nsPerWeight }) => nsPerWeight.toFixed(2), align: 'right' },
      { title: 'COPY', value: ({ copyNsPerWeight }) => copyNsPerWeight.toFixed(2), align: 'right' },
      { title: 'COPIES', value: ({ copies }) => copies.toFixed(1), align: 'right' },
      {
        title: `${model.weights / 1e9}E9 WEIGHTS`,
        value: (figure) => `${seconds(figure.nsPerWeight)} s`,
        align: 'right',
      },
    ],
    report.figures,
  );
  const hardRows = renderTable<HardFigure>(
    [
      { title: 'HARD ROWS', value: ({ rows }) => rows },
      { title: 'WEIGHTS', value: ({ dtype }) => dtype },
      { title: 'NS A WEIGHT', value: ({ nsPerWeight }) => nsPerWeight.toFixed(2), align: 'right' },
      { title: 'COPIES', value: ({ copies }) => copies.toFixed(1), align: 'right' },
    ],
    report.hardRows,
  );
  return [
    `${machine.cpu}, ${machine.cores} cores, load ${machine.load.toFixed(1)}, Node ${machine.node}; rows of ${columns} columns`,
    '',
    figures,
    '',
    hardRows,
    '',
    `A model of ${model.weights / 1e9}e9 weights, BF16, 50 %, from memory, ${model.threads} thread(s): ${model.seconds.toFixed(1)} s;`,
    `the paper of Wanda took ${model.paperSeconds} s on NVIDIA A6000s. Forward passes and files are in neither.`,
  ].join('\n');
}
