/** What `run` does about a job that it knows: every phase, with and without its claim, same manifest and another. */
import { describe, expect, it } from 'vitest';
import { decideRun, differingFields, type KnownJob } from '../../../cli/run/decide.ts';
import { defaultStateDirectory } from '../../../cli/run/state-directory.ts';
import type { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { parseManifest } from '../../../shared/manifest/parse-manifest.ts';
import { resolveLocations } from '../../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../../shared/manifest/schema.ts';

function manifest(sparsity: number, destination = '/out', pruning: object = { method: 'wanda' }): Manifest {
  const text = JSON.stringify({
    apiVersion: 'secateur/v1',
    kind: 'PruneJob',
    metadata: { name: 'job' },
    spec: {
      model: { source: '/model' },
      output: { destination },
      calibration: { text: ['/a.txt'] },
      pruning: { ...pruning, sparsity },
    },
  });
  return resolveLocations(parseManifest(text, 'test'), '/');
}

function job(phase: string, overrides: Partial<KnownJob> = {}): KnownJob {
  return { id: 'job-1', layersCommitted: 1, phase, manifest: manifest(0.5), ...overrides };
}

describe('decideRun', () => {
  it('begins anew where an ended job with another manifest has committed nothing', () => {
    expect(decideRun(manifest(0.6), [job('Failed', { layersCommitted: 0 })], 'job-1')).toEqual({
      kind: 'submit',
      cancelFirst: null,
      discardClaim: true,
    });
    expect(() => decideRun(manifest(0.6), [job('Pruning', { layersCommitted: 0 })], 'job-1')).toThrow();
  });

  it('submits where nothing is known, or only jobs of other destinations', () => {
    expect(decideRun(manifest(0.5), [], null)).toEqual({ kind: 'submit', cancelFirst: null });
    const other = job('Pruning', { manifest: manifest(0.5, '/elsewhere') });
    expect(decideRun(manifest(0.5), [other], null)).toEqual({ kind: 'submit', cancelFirst: null });
  });

  it('submits after a job that succeeded: the output, if it exists, is the coordinator’s to refuse', () => {
    expect(decideRun(manifest(0.5), [job('Succeeded')], null)).toEqual({ kind: 'submit', cancelFirst: null });
  });

  it.each(['Preparing', 'Pruning', 'Assembling'])('goes on with a job that was interrupted in %s', (phase) => {
    expect(decideRun(manifest(0.5), [job(phase)], 'job-1')).toEqual({ kind: 'continue', job: 'job-1' });
  });

  it.each(['Queued', 'Intake'])('goes on with a job that was interrupted in %s, before its claim', (phase) => {
    expect(decideRun(manifest(0.5), [job(phase)], null)).toEqual({ kind: 'continue', job: 'job-1' });
  });

  it.each(['Failed', 'Cancelled'])('resumes a job that is %s', (phase) => {
    expect(decideRun(manifest(0.5), [job(phase)], 'job-1')).toEqual({ kind: 'resume', job: 'job-1', phase });
  });

  it('begins anew where the destination was removed, and gives a job that would go on up first', () => {
    expect(decideRun(manifest(0.5), [job('Failed')], null)).toEqual({ kind: 'submit', cancelFirst: null });
    expect(decideRun(manifest(0.5), [job('Pruning')], null)).toEqual({ kind: 'submit', cancelFirst: 'job-1' });
    expect(decideRun(manifest(0.6), [job('Pruning')], null)).toEqual({ kind: 'submit', cancelFirst: 'job-1' });
    expect(decideRun(manifest(0.6), [job('Intake')], null)).toEqual({ kind: 'submit', cancelFirst: 'job-1' });
  });

  it.each(['Pruning', 'Failed', 'Cancelled'])(
    'refuses another manifest for the destination of a job in %s',
    (phase) => {
      let thrown: unknown;
      try {
        decideRun(manifest(0.6), [job(phase)], 'job-1');
      } catch (error) {
        thrown = error;
      }
      const { code, message } = thrown as SecateurError;
      expect(code).toBe('JobExists');
      expect(message).toContain('/out belongs to job job-1');
      expect(message).toContain('spec.pruning.sparsity was 0.5, is 0.6');
      expect(message).toContain('choose another destination');
    },
  );

  it('looks at the latest job of the destination', () => {
    const jobs = [job('Failed', { id: 'job-1' }), job('Cancelled', { id: 'job-2' })];
    expect(decideRun(manifest(0.5), jobs, 'job-2')).toMatchObject({ kind: 'resume', job: 'job-2' });
  });
});

describe('differingFields', () => {
  it('names an option of the method, also where a default stands for it', () => {
    const of = (before: object, now: object) =>
      differingFields(manifest(0.5, '/out', before), manifest(0.5, '/out', now));
    expect(of({ method: 'magnitude' }, { method: 'magnitude', scope: 'matrix' })).toEqual([]);
    expect(of({ method: 'magnitude' }, { method: 'magnitude', scope: 'row' })).toEqual([
      'spec.pruning.scope was "matrix", is "row"',
    ]);
    expect(of({ method: 'wanda' }, { method: 'wanda', variant: 'cumulative' })).toEqual([
      'spec.pruning.variant was not set, is "cumulative"',
    ]);
    expect(of({ method: 'ria' }, { method: 'ria', activationPower: 1 })).toEqual([
      'spec.pruning.activationPower was 0.5, is 1',
    ]);
    expect(of({ method: 'random' }, { method: 'random', seed: 7 })).toEqual(['spec.pruning.seed was 0, is 7']);
  });

  it('names every field, also where one has it and the other has not', () => {
    expect(differingFields({ a: { b: 1, c: [1, 2] } }, { a: { b: 2, c: [1, 3], d: 'x' } })).toEqual([
      'a.b was 1, is 2',
      'a.c[1] was 2, is 3',
      'a.d was not set, is "x"',
    ]);
    expect(differingFields({ a: [1] }, { a: { 0: 1 } })).toEqual(['a was [1], is {"0":1}']);
  });
});

describe('the state folder', () => {
  it('is one a destination, in XDG_STATE_HOME where that is absolute', () => {
    const of = (destination: string, home: string): string =>
      defaultStateDirectory(manifest(0.5, destination), { XDG_STATE_HOME: home });
    expect(of('/out', '/state')).toMatch(/^\/state\/secateur\/runs\/job-[0-9a-f]{8}$/);
    expect(of('/out', '/state')).toBe(of('/out/', '/state').replace(/\/$/, ''));
    expect(of('/out', '/state')).not.toBe(of('/out2', '/state'));
    expect(of('/out', 'relative')).toMatch(/\.local\/state\/secateur\/runs/);
  });
});
