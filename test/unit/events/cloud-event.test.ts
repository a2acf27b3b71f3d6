import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { fromCloudEvent, natsJobFilter, natsSubject, toCloudEvent } from '../../../shared/events/cloud-event.ts';
import { EVENT_ENTITIES, type JobEvent } from '../../../shared/events/job-event.ts';

const COMMITTED: JobEvent = {
  namespace: 'research',
  job: 'llama-7b-4f2a',
  sequence: 42,
  atMs: Date.UTC(2026, 0, 31, 23, 59, 59, 7),
  entity: 'layer',
  verb: 'committed',
  data: { layer: 12, sparsity: 0.5, sha256: 'ab' },
};

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/);
// A parsed "__proto__" is dropped on the way in: nobody names a field so, except to do harm.
const harmless = (value: unknown) => !JSON.stringify(value).includes('__proto__');
const anyEvent: fc.Arbitrary<JobEvent> = fc.record({
  namespace: name,
  job: name,
  sequence: fc.integer({ min: 1, max: 9_999_999_999 }),
  atMs: fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) }),
  entity: fc.constantFrom(...EVENT_ENTITIES),
  verb: fc.stringMatching(/^[a-z][A-Za-z]{0,63}$/),
  data: fc
    .dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }))
    .filter(harmless)
    .map((data) => JSON.parse(JSON.stringify(data))),
});

describe('a job event as a CloudEvent', () => {
  it('has every attribute that CloudEvents 1.0 and docs/events.md promise', () => {
    expect(toCloudEvent(COMMITTED)).toEqual({
      specversion: '1.0',
      id: 'llama-7b-4f2a:42',
      source: '/secateur/research/llama-7b-4f2a',
      type: 'secateur.layer.committed.v1',
      subject: 'layer/12',
      time: '2026-01-31T23:59:59.007Z',
      datacontenttype: 'application/json',
      sequence: '0000000042',
      data: { layer: 12, sparsity: 0.5, sha256: 'ab' },
    });
  });

  it('is published on a subject of its job', () => {
    expect(natsSubject(COMMITTED)).toBe('secateur.research.llama-7b-4f2a.layer.committed');
    expect(natsJobFilter('research', 'llama-7b-4f2a')).toBe('secateur.research.llama-7b-4f2a.>');
  });

  it('names what it is about only where the data does, in plain text', () => {
    expect(toCloudEvent({ ...COMMITTED, data: {} }).subject).toBe('layer');
    expect(toCloudEvent({ ...COMMITTED, data: { layer: 'a b' } }).subject).toBe('layer');
    expect(toCloudEvent({ ...COMMITTED, entity: 'worker', data: { worker: 'gpu-0.rack7' } }).subject).toBe(
      'worker/gpu-0.rack7',
    );
  });

  it('comes back from its JSON as it was', () => {
    fc.assert(
      fc.property(anyEvent, (event) => {
        expect(fromCloudEvent(JSON.parse(JSON.stringify(toCloudEvent(event))))).toEqual(event);
      }),
    );
  });

  it('always has subject tokens that NATS takes literally, and attributes that CloudEvents allows', () => {
    fc.assert(
      fc.property(anyEvent, (event) => {
        const tokens = natsSubject(event).split('.');
        expect(tokens).toHaveLength(5);
        for (const token of tokens) expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
        const cloudEvent = toCloudEvent(event);
        for (const [attribute, value] of Object.entries(cloudEvent)) {
          expect(attribute).toMatch(/^[a-z0-9]{1,20}$/);
          if (attribute !== 'data') expect(value).toMatch(/^[\x21-\x7e]+$/);
        }
        expect(new URL(cloudEvent.source, 'http://host').pathname).toBe(cloudEvent.source);
        expect(cloudEvent.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      }),
    );
  });

  it('has a sequence whose text order is its number order, and an id that no other event has', () => {
    fc.assert(
      fc.property(anyEvent, anyEvent, (a, b) => {
        const [one, other] = [toCloudEvent(a), toCloudEvent(b)];
        expect(Math.sign(a.sequence - b.sequence)).toBe(
          one.sequence < other.sequence ? -1 : Number(one.sequence > other.sequence),
        );
        expect(one.id === other.id).toBe(a.job === b.job && a.sequence === b.sequence);
      }),
    );
  });

  it.each([
    ['a dot in the job', { job: 'a.b' }],
    ['a wildcard in the namespace', { namespace: '*' }],
    ['an empty job', { job: '' }],
    ['a verb with a dash', { verb: 'shard-written' }],
    ['sequence 0', { sequence: 0 }],
    ['a fraction of a millisecond', { atMs: 0.5 }],
  ])('is refused with %s', (_what, change) => {
    expect(() => toCloudEvent({ ...COMMITTED, ...change })).toThrow(SecateurError);
  });

  it.each([
    ['no object', 'text', '(root)'],
    ['another specification', { specversion: '0.3' }, 'specversion'],
    ['another source', { source: '/other/research/llama-7b-4f2a' }, 'source'],
    ['a source with one part more', { source: '/secateur/research/llama-7b-4f2a/x' }, 'source'],
    ['an id of another job', { id: 'other:42' }, 'id'],
    ['an id of another event', { id: 'llama-7b-4f2a:43' }, 'id'],
    ['a type of another version', { type: 'secateur.layer.committed.v2' }, 'type'],
    ['an unknown entity', { type: 'secateur.rumour.heard.v1' }, 'type'],
    ['a time that is none', { time: 'yesterday' }, 'time'],
    ['a sequence that is not padded', { sequence: '42' }, 'sequence'],
    ['data that is no object', { data: 7 }, 'data'],
  ])('is not read from %s, and the attribute is named', (_what, change, attribute) => {
    const value = typeof change === 'string' ? change : { ...toCloudEvent(COMMITTED), ...change };
    expect(() => fromCloudEvent(value)).toThrow(
      expect.objectContaining({ code: 'ArgumentInvalid', details: expect.objectContaining({ attribute }) }),
    );
  });

  it('is read although it has attributes that we do not know', () => {
    expect(fromCloudEvent({ ...toCloudEvent(COMMITTED), traceparent: '00-x' })).toEqual(COMMITTED);
  });
});
