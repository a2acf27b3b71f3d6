import { describe, expect, it } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { locateErrors } from '../../../shared/manifest/parse-manifest.ts';

const TEXT = `apiVersion: secateur/v1
spec:
  model: { source: /nope }
  pruning:
    include:
      - "*"
      - "nope.*"
`;

function located(errors: string[], set: string[] = []): SecateurError {
  const thrown = new SecateurError('ManifestInvalid', errors.join('\n'), { details: { errors } });
  return locateErrors(thrown, TEXT, 'job.yaml', set) as SecateurError;
}

describe('mistakes that only the model or the files show', () => {
  it('get the line and column of what is wrong, from top to bottom', () => {
    const error = located(['spec.pruning.include[1]: matches no linear', 'spec.model.source: nothing there']);
    expect(error.message.split('\n')).toEqual([
      'job.yaml:3:20: spec.model.source: nothing there',
      'job.yaml:7:9: spec.pruning.include[1]: matches no linear',
    ]);
    expect(error.code).toBe('ManifestInvalid');
  });

  it('get the --set that brought them', () => {
    expect(located(['spec.model.source: nothing there'], ['spec.model.source=/other']).message).toBe(
      '--set spec.model.source=/other: spec.model.source: nothing there',
    );
  });

  it('stay as they are where they name no path of the manifest, and so does every other error', () => {
    const plain = new SecateurError('StorageFull', 'no space');
    expect(locateErrors(plain, TEXT, 'job.yaml', [])).toBe(plain);
    const other = new SecateurError('CheckpointInvalid', 'x', { details: { errors: ['model.norm.weight: absent'] } });
    expect(locateErrors(other, TEXT, 'job.yaml', [])).toBe(other);
    expect(locateErrors('text', TEXT, 'job.yaml', [])).toBe('text');
  });
});
