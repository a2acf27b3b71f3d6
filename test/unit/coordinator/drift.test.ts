/** What a job does not go on after: every input and every program that is not as it was, by name. */
import { describe, expect, it } from 'vitest';
import {
  adviceFor,
  describeDrift,
  describeVersionDrift,
  fitsVersions,
  knownInputs,
  undigestedChanges,
} from '../../../coordinator/core/drift.ts';
import type { FileIntake, JobIntake, JobState, WorkerState } from '../../../coordinator/core/state.ts';
import { fakeIntake } from '../../simulation/cluster.ts';

const file = (over: Partial<FileIntake> = {}): FileIntake => ({
  file: 'a.safetensors',
  sizeBytes: 100,
  mtimeMs: 1_000,
  ctimeMs: 2_000,
  ...over,
});
const intake = (over: Partial<JobIntake> = {}): JobIntake => ({
  ...fakeIntake(2),
  model: { hiddenSize: 64 } as unknown as JobIntake['model'],
  shards: [file()],
  auxiliaryFiles: [file({ file: 'tokenizer.json', sha256: 'a'.repeat(64) })],
  calibrationFiles: [file({ file: '/data/a.txt' })],
  ...over,
});
const DIGEST = { before: 'b'.repeat(64), now: 'c'.repeat(64) };

describe('describeDrift', () => {
  it('finds nothing where nothing is different, whatever the order of files', () => {
    const two = [file(), file({ file: 'b.safetensors' })];
    expect(describeDrift(intake({ shards: two }), intake({ shards: [...two].reverse() }))).toEqual([]);
  });

  it.each<[string, Partial<JobIntake>, string]>([
    ['the size of a shard', { shards: [file({ sizeBytes: 101 })] }, 'size of a.safetensors was 100, is 101'],
    [
      'the time of a shard',
      { shards: [file({ mtimeMs: 3_000 })] },
      'modification time of a.safetensors was 1970-01-01T00:00:01.000Z, is 1970-01-01T00:00:03.000Z',
    ],
    [
      'a shard that was put back with its old time',
      { shards: [file({ ctimeMs: 3_000 })] },
      'status time of a.safetensors was 1970-01-01T00:00:02.000Z, is 1970-01-01T00:00:03.000Z',
    ],
    ['a shard that is gone', { shards: [] }, 'a.safetensors was there, is absent'],
    [
      'another tokenizer of the same size and time',
      { auxiliaryFiles: [file({ file: 'tokenizer.json', sha256: DIGEST.now })] },
      'SHA-256 of tokenizer.json was aaaaaaaaaaaa…, is cccccccccccc…',
    ],
    [
      'a file that has come',
      { auxiliaryFiles: [...intake().auxiliaryFiles, file({ file: 'merges.txt' })] },
      'merges.txt was absent, is there',
    ],
    [
      'the calibration text',
      { calibrationFiles: [file({ file: '/data/a.txt', sizeBytes: 5 })] },
      'size of /data/a.txt was 100, is 5',
    ],
    ['a field of the configuration', { model: { hiddenSize: 128 } as never }, 'config hiddenSize was 64, is 128'],
    ['the shapes', { outside: [] }, 'tensors outside the layers was [{"name"'],
  ])('names %s', (_, over, expected) => {
    const drift = describeDrift(intake(), intake(over));
    expect(drift).toHaveLength(1);
    expect(drift[0]).toContain(expected);
  });

  it('forgives a file that was touched and is the same, by its digest', () => {
    const before = intake({ shards: [file({ sha256: DIGEST.before })] });
    const touched = (sha256: string) => intake({ shards: [file({ mtimeMs: 9, ctimeMs: 9, sha256 })] });
    expect(describeDrift(before, touched(DIGEST.before))).toEqual([]);
    expect(describeDrift(before, touched(DIGEST.now))).toEqual([
      'SHA-256 of a.safetensors was bbbbbbbbbbbb…, is cccccccccccc…',
    ]);
  });

  it('shows two times that differ by less than a microsecond as two', () => {
    const [drift = ''] = describeDrift(
      intake({ shards: [file({ mtimeMs: 1_795_600_856_872.125 })] }),
      intake({ shards: [file({ mtimeMs: 1_795_600_856_872.1252 })] }),
    );
    const [, was, is] = /was (\S+), is (\S+)$/.exec(drift) ?? [];
    expect(was).toMatch(/^2026-11-25T10:00:56\.8721\d{3}Z$/);
    expect(was).not.toBe(is);
  });

  it('advises to put back only what a digest from before can be held against', () => {
    const digested = (digestedMs: number) => intake({ shards: [file({ sha256: DIGEST.before, digestedMs })] });
    const touched = intake({ shards: [file({ ctimeMs: 3_000 })] });
    expect(undigestedChanges(intake(), intake())).toEqual([]);
    expect(undigestedChanges(intake(), touched)).toEqual(['a.safetensors']);
    expect(undigestedChanges(digested(2_500), touched)).toEqual([]);
    expect(undigestedChanges(digested(3_500), touched), 'taken after the change').toEqual(['a.safetensors']);
    expect(undigestedChanges(intake(), intake({ shards: [] }))).toEqual(['a.safetensors']);
    expect(adviceFor([])).toMatch(/^Put them back, or submit a new job with another destination/);
    expect(adviceFor(['a.safetensors'])).toMatch(
      /of a\.safetensors: .* putting files back does not help\. Submit a new job/,
    );
  });

  it('of an older journal, which knows no status times, goes by what it knows', () => {
    const { ctimeMs: _, ...older } = file();
    expect(describeDrift(intake({ shards: [older] }), intake())).toEqual([]);
  });

  it('knows the digests that tasks have found since the intake', () => {
    const known = knownInputs({
      intake: intake(),
      digests: { 'a.safetensors': { sha256: DIGEST.before, atMs: 1 } },
      evaluation: [],
      calibration: {
        inputDigests: [DIGEST.now],
        samples: 1,
        sequenceLength: 1,
        file: { name: 'ids', sha256: '', sizeBytes: 0 },
        atMs: 1,
      },
    });
    expect(known.shards[0]?.sha256).toBe(DIGEST.before);
    expect(known.calibrationFiles[0]?.sha256).toBe(DIGEST.now);
  });
});

const capabilities = (version: string, engineVersion: string) => ({ version, engineVersion, provider: 'cpu' }) as never;
const worker = (id: string, version: string, engineVersion: string, attached = true): WorkerState => ({
  id,
  incarnation: '1',
  capabilities: capabilities(version, engineVersion),
  attached,
  draining: false,
  dismissed: false,
  sinceMs: 0,
});
const begun: Pick<JobState, 'versions'> = {
  versions: { version: '0.1.0', engineVersion: '1.22.0', provider: 'cpu' },
};
const fresh: Pick<JobState, 'versions'> = { versions: null };

describe('describeVersionDrift', () => {
  it('names both versions of the engine and of secateur', () => {
    expect(describeVersionDrift(begun, [worker('w3', '0.2.0', '1.30.0')])).toEqual([
      'secateur version was 0.1.0, is 0.2.0',
      'engine version was 1.22.0, is 1.30.0',
    ]);
    expect(describeVersionDrift(begun, [worker('w3', '0.1.0', '1.30.0')])).toEqual([
      'engine version was 1.22.0, is 1.30.0',
    ]);
  });

  it('has no objection where one worker fits, where nothing is begun, and where nobody is there to ask', () => {
    const other = worker('w3', '0.2.0', '1.30.0');
    expect(describeVersionDrift(begun, [other, worker('w4', '0.1.0', '1.22.0')])).toEqual([]);
    expect(describeVersionDrift(fresh, [other])).toEqual([]);
    expect(describeVersionDrift(begun, [])).toEqual([]);
    expect(describeVersionDrift(begun, [worker('w3', '0.2.0', '1.30.0', false)])).toEqual([]);
  });

  it('counts the pair of both versions', () => {
    expect(fitsVersions(begun, { version: '0.1.0', engineVersion: '1.22.0', provider: 'cpu' })).toBe(true);
    expect(fitsVersions(begun, { version: '0.1.0', engineVersion: '1.30.0', provider: 'cpu' })).toBe(false);
    expect(fitsVersions(begun, { version: '0.1.0', engineVersion: '1.22.0', provider: 'cuda' })).toBe(false);
    expect(fitsVersions(begun, { version: '0.2.0', engineVersion: '1.22.0', provider: 'cpu' })).toBe(false);
    expect(fitsVersions(fresh, { version: '0.2.0', engineVersion: '1.30.0', provider: 'cpu' })).toBe(true);
  });
});
