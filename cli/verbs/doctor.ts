/** `secateur doctor`: is this machine fit to prune, and what is to be done if it is not. */
import type { Command } from 'commander';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import type { Finding } from '../doctor/finding.ts';
import {
  type CoordinatorOptions,
  collect,
  type EndVerb,
  type OutputOptions,
  withCoordinator,
  withOutput,
} from '../options.ts';
import { printData } from '../render/output.ts';
import { renderTable } from '../render/table.ts';

interface DoctorOptions extends CoordinatorOptions, OutputOptions {
  readonly nats?: readonly string[];
}

export function addDoctor(program: Command, end: EndVerb): void {
  const command = program
    .command('doctor')
    .summary('check this machine')
    .description('Checks what this machine needs to prune. A coordinator and NATS are checked where they are named.')
    .option('--nats <url>', 'NATS server to reach; may be given again', collect);
  withOutput(withCoordinator(command)).action(async (options: DoctorOptions) => {
    const findings = await examine(options);
    printData(options.output, findings, () => renderFindings(findings));
    end(findings.some((finding) => finding.status === 'fail') ? EXIT.failure : EXIT.ok);
  });
}

/** One after the other: a check of memory is of no use while others use it. */
async function examine(options: DoctorOptions): Promise<Finding[]> {
  const machine = await import('../doctor/check-machine.ts');
  const kernel = await import('../doctor/check-kernel.ts');
  const engine = await import('../doctor/check-engine.ts');
  const services = await import('../doctor/check-services.ts');
  const findings = [
    machine.checkNode(),
    await machine.checkProcessor(),
    machine.checkMemory(),
    await machine.checkDisk(process.cwd()),
    await machine.checkTemporaryFolder(),
    kernel.checkSharedMemory(),
    await kernel.checkKernel(),
    await engine.checkCpuEngine(),
    await engine.checkCudaEngine(),
  ];
  for (const server of options.nats ?? []) findings.push(await services.checkNats(server));
  if (options.coordinator !== undefined) findings.push(await services.checkCoordinator(options.coordinator));
  return findings;
}

function renderFindings(findings: readonly Finding[]): string {
  return renderTable(
    [
      { title: 'CHECK', value: (finding) => finding.check },
      { title: 'STATUS', value: (finding) => finding.status },
      { title: 'FOUND', value: (finding) => finding.found },
      { title: 'WHAT TO DO', value: (finding) => finding.advice },
    ],
    findings,
  );
}
