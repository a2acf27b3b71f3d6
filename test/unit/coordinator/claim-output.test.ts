import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CoreEvent } from '../../../coordinator/core/events.ts';
import { INITIAL_STATE } from '../../../coordinator/core/state.ts';
import { step } from '../../../coordinator/core/step.ts';
import { claimOutput } from '../../../coordinator/effects/claim-output.ts';
import { jobPaths } from '../../../coordinator/effects/job-paths.ts';
import { StateLock } from '../../../coordinator/journal/state-lock.ts';
import { fakeManifest } from '../../simulation/cluster.ts';

describe('claiming an output directory', () => {
  let folder: string;
  const paths = (output: string) => jobPaths(join(folder, 'state'), 'job', join(folder, output));
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-claim-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('takes an absent or an empty directory, and takes it again for the same job', async () => {
    mkdirSync(join(folder, 'empty'));
    for (const output of ['deep/er/absent', 'empty']) {
      await claimOutput(paths(output), 'job');
      await claimOutput(paths(output), 'job');
      expect(existsSync(join(folder, output, '.secateur', 'job.json'))).toBe(true);
    }
  });

  it('refuses one that holds a file, naming it, and writes nothing into it', async () => {
    mkdirSync(join(folder, 'full'));
    writeFileSync(join(folder, 'full', 'weights.bin'), '');
    await expect(claimOutput(paths('full'), 'job')).rejects.toMatchObject({
      code: 'OutputExists',
      message: expect.stringContaining('weights.bin'),
    });
    expect(existsSync(join(folder, 'full', '.secateur'))).toBe(false);
  });

  it('refuses one that another job has claimed, naming the job', async () => {
    await claimOutput(paths('out'), 'first');
    await expect(claimOutput(paths('out'), 'second')).rejects.toMatchObject({
      code: 'OutputExists',
      message: expect.stringContaining('first'),
    });
  });

  it('refuses one inside the output or the staging of another job, however it is spelled, and one around it', async () => {
    await claimOutput(paths('deep/out'), 'first');
    symlinkSync(join(folder, 'deep/out'), join(folder, 'link'));
    for (const inside of ['sub', 'sub/of/it', '.secateur', '.secateur/layers', '.secateur/new']) {
      for (const output of [join('deep/out', inside), join('link', inside)]) {
        await expect(claimOutput(paths(output), 'second'), output).rejects.toMatchObject({
          code: 'OutputExists',
          message: expect.stringContaining(`it lies inside ${join(folder, 'deep/out')}, which job first writes to`),
        });
      }
    }
    expect(existsSync(join(folder, 'deep/out/sub'))).toBe(false);
    await expect(claimOutput(paths('deep'), 'second')).rejects.toMatchObject({ code: 'OutputExists' });
    await claimOutput(paths('deep/beside'), 'second');
  });

  it('takes a directory in which a crash left nothing but the beginning of a claim', async () => {
    mkdirSync(join(folder, 'begun', '.secateur', 'layers'), { recursive: true });
    writeFileSync(join(folder, 'begun', '.secateur', '.claim-0123'), '{"jo');
    await claimOutput(paths('begun'), 'job');
    await expect(claimOutput(paths('begun'), 'other')).rejects.toMatchObject({ code: 'OutputExists' });
  });

  it('tells a resumed job that its committed layers are gone, instead of beginning in an empty folder', async () => {
    await expect(claimOutput(paths('removed'), 'job', true)).rejects.toMatchObject({
      code: 'StorageFailed',
      message: expect.stringContaining('new job'),
    });
    expect(existsSync(join(folder, 'removed'))).toBe(false);
  });

  it.skipIf(process.platform !== 'linux')(
    'takes a disk that hiccups for no answer: it may be asked again',
    async () => {
      mkdirSync(join(folder, 'out'));
      // Reading it says EIO.
      symlinkSync('/proc/self/mem', join(folder, 'out', 'secateur.json'));
      await expect(claimOutput(paths('out'), 'job')).rejects.toMatchObject({ code: 'StorageFailed', retryable: true });
    },
  );

  it('of two jobs that race for one directory, exactly one has it', async () => {
    const results = await Promise.allSettled(['a', 'b', 'c'].map((job) => claimOutput(paths('raced'), job)));
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
  });

  it('refuses a file and a dangling link in the directory’s place', async () => {
    writeFileSync(join(folder, 'file'), '');
    symlinkSync('/nowhere/at/all', join(folder, 'link'));
    await expect(claimOutput(paths('file'), 'job')).rejects.toMatchObject({ code: 'OutputExists' });
    await expect(claimOutput(paths('link'), 'job')).rejects.toThrow();
  });
});

describe('a submission', () => {
  const submitted = (job: string, destination: string): CoreEvent => {
    const manifest = fakeManifest({ propagate: 'pruned', stages: 1 });
    const spec = { ...manifest.spec, output: { ...manifest.spec.output, destination } };
    return { type: 'jobSubmitted', job, namespace: 'default', name: job, manifest: { ...manifest, spec } };
  };

  it('inside the destination of a job that has not ended, or around it, is no job', () => {
    const first = step(INITIAL_STATE, submitted('first', 'file:///a/out'), 1).state;
    for (const overlapping of ['file:///a/out', 'file:///a/out/', 'file:///a/out/.secateur', 'file:///a', 'file:///']) {
      expect(Object.keys(step(first, submitted('second', overlapping), 2).state.jobs), overlapping).toEqual(['first']);
    }
    for (const beside of ['file:///a/out2', 'file:///a/other', 'file:///out']) {
      expect(Object.keys(step(first, submitted('second', beside), 2).state.jobs), beside).toEqual(['first', 'second']);
    }
  });
});

describe('the lock of a state folder', () => {
  it('is had by one at a time, and names who has it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'secateur-lock-'));
    const lock = StateLock.acquire(folder);
    expect(() => StateLock.acquire(folder)).toThrow(new RegExp(`process ${process.pid}`));
    lock.release();
    StateLock.acquire(folder).release();
    rmSync(folder, { recursive: true });
  });
});
