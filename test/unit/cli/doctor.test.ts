/** The doctor on this machine, and with services that are not there. */
import { describe, expect, it } from 'vitest';
import { checkKernel, checkSharedMemory } from '../../../cli/doctor/check-kernel.ts';
import { checkNode, checkProcessor } from '../../../cli/doctor/check-machine.ts';
import { checkCoordinator, checkNats } from '../../../cli/doctor/check-services.ts';

describe('doctor', () => {
  it('finds this machine fit: node, SIMD, shared memory, the kernel against its reference', async () => {
    for (const finding of [checkNode(), await checkProcessor(), checkSharedMemory(), await checkKernel()]) {
      expect(finding).toMatchObject({ status: 'ok', advice: '' });
    }
  });

  it('fails a coordinator and a NATS server that nobody runs, with the address and what to do', async () => {
    const findings = [await checkCoordinator('127.0.0.1:1'), await checkNats('nats://127.0.0.1:1')];
    for (const finding of findings) {
      expect(finding.status).toBe('fail');
      expect(finding.found).toContain('127.0.0.1:1');
      expect(finding.advice).not.toBe('');
    }
  });
});
