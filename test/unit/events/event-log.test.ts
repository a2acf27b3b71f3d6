import { describe, expect, it } from 'vitest';
import { EventLog } from '../../../coordinator/outbox/event-log.ts';
import type { JobEvent } from '../../../shared/events/job-event.ts';

function event(job: string, sequence: number, change: Partial<JobEvent> = {}): JobEvent {
  return { namespace: 'n', job, sequence, atMs: sequence, entity: 'layer', verb: 'committed', data: {}, ...change };
}

function logOf(...events: JobEvent[]): EventLog {
  const log = new EventLog();
  for (const entry of events) log.append(entry);
  return log;
}

describe('the event log', () => {
  it('reads a job from a cursor, in order, at most as many as asked', () => {
    const log = logOf(event('a', 1), event('a', 2), event('b', 1), event('a', 3));
    expect(log.read('a', 0, 2).map((e) => e.sequence)).toEqual([1, 2]);
    expect(log.read('a', 2, 10).map((e) => e.sequence)).toEqual([3]);
    expect(log.read('a', 3, 10)).toEqual([]);
    expect(log.read('a', 99, 10)).toEqual([]);
    expect(log.read('unknown', 0, 10)).toEqual([]);
  });

  it('lists jobs in the order of their first events, with their last sequences', () => {
    const log = logOf(event('b', 1), event('a', 1), event('b', 2));
    expect(log.jobs()).toEqual(['b', 'a']);
    expect([log.lastSequence('b'), log.lastSequence('a'), log.lastSequence('c')]).toEqual([2, 1, 0]);
  });

  it.each([
    ['a gap', event('a', 3)],
    ['a repetition', event('a', 1)],
    ['a job that begins at 2', event('b', 2)],
    ['a job that changes its namespace', event('a', 2, { namespace: 'other' })],
    ['a name that no subject could carry', event('a', 2, { verb: 'un.fit' })],
  ])('refuses %s and stays as it was', (_what, wrong) => {
    const log = logOf(event('a', 1));
    expect(() => log.append(wrong)).toThrow(expect.objectContaining({ code: 'Internal' }));
    expect(log.lastSequence('a')).toBe(1);
    expect(log.jobs()).toEqual(['a']);
  });

  it('hands out lists that nobody can change it by', () => {
    const log = logOf(event('a', 1), event('a', 2));
    (log.read('a', 0, 10) as JobEvent[]).length = 0;
    (log.jobs() as string[]).length = 0;
    expect(log.read('a', 0, 10)).toHaveLength(2);
    expect(log.jobs()).toEqual(['a']);
  });

  it('tells listeners after the event can be read, until they unsubscribe', () => {
    const log = new EventLog();
    const heard: string[] = [];
    const listener = (e: JobEvent) => heard.push(`${e.sequence} of ${log.lastSequence('a')}`);
    const first = log.subscribe(listener);
    const second = log.subscribe(listener);
    log.append(event('a', 1));
    first();
    first();
    log.append(event('a', 2));
    second();
    log.append(event('a', 3));
    expect(heard).toEqual(['1 of 1', '1 of 1', '2 of 2']);
  });

  it('is not stopped by a listener that throws: the others hear, the caller does not', async () => {
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    const log = new EventLog();
    const heard: number[] = [];
    log.subscribe(() => {
      throw new Error('a listener broke');
    });
    log.subscribe((e) => heard.push(e.sequence));
    log.append(event('a', 1));
    expect(heard).toEqual([1]);
    expect((await warned).message).toBe('a listener broke');
  });
});
