/** What a worker says of its processor: what decides which kernels the runtime takes, and nothing else. */
import { describe, expect, it } from 'vitest';
import { instructionSet } from '../../../worker/engine/instruction-set.ts';

const LINUX = { platform: 'linux', arch: 'x64' } as const;

describe('the instruction set', () => {
  it.each([
    ['avx512f', 'fpu sse2 avx f16c avx2 fma avx512f avx512dq'],
    ['avx2', 'fpu sse2 avx avx2 fma'],
    ['avx', 'fpu sse2 avx'],
    ['sse2', 'fpu sse2'],
  ])('is %s where that is the widest', async (expected, flags) => {
    const text = `processor\t: 0\nmodel name\t: some avx512f words\nflags\t\t: ${flags}\n\nprocessor\t: 1\n`;
    expect(await instructionSet(LINUX, async () => text)).toBe(expected);
  });

  it('is the architecture elsewhere', async () => {
    const none = async (): Promise<string> => Promise.reject(new Error('no such file'));
    expect(await instructionSet({ platform: 'darwin', arch: 'arm64' }, none)).toBe('arm64');
    expect(await instructionSet({ platform: 'linux', arch: 'arm64' }, none)).toBe('arm64');
  });

  it('of this machine is one of those', async () => {
    expect(await instructionSet()).toMatch(/^(avx512f|avx2|avx|sse2|[a-z]+\d*)$/);
  });
});
