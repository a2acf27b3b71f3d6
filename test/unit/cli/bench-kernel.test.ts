/** `secateur bench kernel`: what it prints, not how fast anything is. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { KernelReport } from '../../../cli/bench/measure-kernel.ts';
import { renderKernelReport } from '../../../cli/bench/render-kernel-report.ts';
import { createProgram, runCommandLine } from '../../../cli/program.ts';

let stdout: string;
let stderr: string;

beforeEach(() => {
  stdout = '';
  stderr = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += text;
    return true;
  });
});

afterEach(() => {
  vi.restoreAllMocks();
});

describe('secateur bench kernel -o json', () => {
  it('has every dtype and selection from a chunk and from memory, on one thread and on all, beside a copy', async () => {
    expect(await runCommandLine(['bench', 'kernel', '--threads', '2', '--mebibytes', '4', '-o', 'json'])).toBe(0);
    const report = JSON.parse(stdout) as KernelReport;
    const cases = report.figures.map((figure) => [figure.dtype, figure.selection, figure.data, figure.threads].join());
    const expected = ['BF16', 'F16', 'F32'].flatMap((dtype) =>
      ['50 %', '2:4', '4:8'].flatMap((selection) =>
        ['chunk', 'memory'].flatMap((data) => [1, 2].map((threads) => [dtype, selection, data, threads].join())),
      ),
    );
    expect(cases).toEqual(expected);
    expect(report.hardRows.map(({ dtype, rows }) => `${dtype} ${rows}`)).toContain('BF16 60 % dead columns');
    expect(report.hardRows).toHaveLength(15);
    for (const { nsPerWeight, copyNsPerWeight, copies } of [...report.figures, ...report.hardRows]) {
      expect(nsPerWeight).toBeGreaterThan(0);
      expect(copyNsPerWeight).toBeGreaterThan(0);
      expect(copies).toBe(nsPerWeight / copyNsPerWeight);
    }
    const last = report.figures.find(({ data, threads }) => data === 'memory' && threads === 2);
    expect(report.model).toEqual({
      weights: 65e9,
      threads: 2,
      seconds: expect.closeTo((last as { nsPerWeight: number }).nsPerWeight * 65, 9),
      paperSeconds: 5.6,
    });
    expect(report.largeBytes).toBe(4 * 1024 * 1024);
    expect(stderr).toContain('measuring');
  });
});

describe('wrong arguments', () => {
  it('more than the kernel has memory for is refused before anything is measured', async () => {
    expect(await runCommandLine(['bench', 'kernel', '--mebibytes', '5000'])).toBe(2);
    expect(stderr).toBe(
      'error: --mebibytes: expected at most 1536, since weights and their copy share a memory of 4 GiB; found 5000. [ArgumentInvalid]\n',
    );
  });

  it('bench alone prints its subcommands', async () => {
    expect(await runCommandLine(['bench'])).toBe(2);
    expect(stderr).toContain('kernel [options]');
  });
});

describe('docs/cli.md', () => {
  it('has every option', () => {
    const page = readFileSync(new URL('../../../docs/cli.md', import.meta.url), 'utf8');
    const bench = createProgram(() => undefined).commands.find((command) => command.name() === 'bench');
    const kernel = bench?.commands.find((command) => command.name() === 'kernel');
    expect(kernel?.options.length).toBeGreaterThan(2);
    for (const { flags } of kernel?.options ?? []) expect(page).toContain(flags);
  });
});

describe('the table', () => {
  it('has a line for each figure, with the seconds for 65e9 weights, and the hard rows below', () => {
    const times = { nsPerWeight: 0.4, copyNsPerWeight: 0.1, copies: 4 };
    const report: KernelReport = {
      machine: { cpu: 'a processor', cores: 2, load: 0.5, node: 'v24.0.0' },
      columns: 8192,
      chunkBytes: 1 << 20,
      largeBytes: 1 << 29,
      figures: [
        { dtype: 'BF16', selection: '50 %', data: 'chunk', threads: 1, ...times },
        { dtype: 'BF16', selection: '50 %', data: 'memory', threads: 2, ...times },
      ],
      hardRows: [{ dtype: 'F16', rows: 'all zero', ...times }],
      model: { weights: 65e9, threads: 2, seconds: 26, paperSeconds: 5.6 },
    };
    expect(renderKernelReport(report)).toBe(
      [
        'a processor, 2 cores, load 0.5, Node v24.0.0; rows of 8192 columns',
        '',
        'WEIGHTS  ZEROED  FROM            THREADS  NS A WEIGHT  COPY  COPIES  65E9 WEIGHTS',
        'BF16     50 %    1 MiB a thread        1         0.40  0.10     4.0        26.0 s',
        'BF16     50 %    512 MiB               2         0.40  0.10     4.0        26.0 s',
        '',
        'HARD ROWS  WEIGHTS  NS A WEIGHT  COPIES',
        'all zero   F16             0.40     4.0',
        '',
        'A model of 65e9 weights, BF16, 50 %, from memory, 2 thread(s): 26.0 s;',
        'the paper of Wanda took 5.6 s on NVIDIA A6000s. Forward passes and files are in neither.',
      ].join('\n'),
    );
  });
});
