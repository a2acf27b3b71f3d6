import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventLog } from '../../../coordinator/outbox/event-log.ts';
import { type Cursor, type CursorBook, JobLane } from '../../../coordinator/outbox/job-lane.ts';
import { EVENT_ENTITIES, type JobEvent } from '../../../shared/events/job-event.ts';
import { emptyEventLog, STATE_DIRECTORY } from '../../support/empty-event-log.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { ModelStream } from './model-stream.ts';

const VERBS = ['started', 'committed', 'failed'];

/** Mulberry32: one seed, one run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function logWith(count: number, random: () => number = () => 0, job = 'j'): EventLog {
  const log = emptyEventLog();
  for (let sequence = 1; sequence <= count; sequence += 1) log.append(eventOf(sequence, random, job));
  return log;
}

function eventOf(sequence: number, random: () => number, job = 'j'): JobEvent {
  const entity = EVENT_ENTITIES[Math.floor(random() * EVENT_ENTITIES.length)]!;
  const verb = VERBS[Math.floor(random() * VERBS.length)]!;
  return { namespace: 'n', job, sequence, atMs: sequence, entity, verb, data: {} };
}

const idsUpTo = (count: number, job = 'j') => Array.from({ length: count }, (_, index) => `${job}:${index + 1}`);
const idsIn = (stream: ModelStream) => stream.messages.map((message) => message.id);

/** A lane as a new session makes it; cursors about another stream are dropped, as the cursor file does. */
function laneOn(stream: ModelStream, log: EventLog, cursors: CursorBook = new Map<string, Cursor>(), job = 'j') {
  return new JobLane({ job, log, stream, cursors, createdAt: stream.createdAt });
}

const forEver = () => false;

describe('a lane of the outbox, against a stream without a duplicate window', () => {
  it('publishes every event once and in order, whatever is lost, late or answered never', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const random = seeded(seed);
        const stream = new ModelStream(random);
        stream.faults = { lostAnswer: 0.15, lostMessage: 0.1, lateMessage: 0.15 };
        const log = logWith(40, random);
        let lane = laneOn(stream, log);
        while (!lane.settled) {
          // A new lane with no cursors is a coordinator that crashed and came back without its file.
          await lane.drain(forEver).catch(() => {
            if (random() < 0.5) lane = laneOn(stream, log);
          });
        }
        expect(idsIn(stream)).toEqual(idsUpTo(40));
      }),
      { numRuns: 300 },
    );
  });

  it('publishes every event once and in order although two coordinators do it at once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const random = seeded(seed);
        const stream = new ModelStream(random);
        stream.faults = { lostAnswer: 0.1, lostMessage: 0.05, lateMessage: 0.1 };
        const log = logWith(30, random);
        const publish = async () => {
          let lane = laneOn(stream, log);
          while (!lane.settled) {
            await lane.drain(forEver).catch(() => {
              if (random() < 0.5) lane = laneOn(stream, log);
            });
          }
        };
        await Promise.all([publish(), publish()]);
        expect(idsIn(stream)).toEqual(idsUpTo(30));
      }),
      { numRuns: 200 },
    );
  });

  it('sends a lost tail again, also where other jobs took its numbers meanwhile', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 10 }),
        fc.integer({ min: 0, max: 10 }),
        fc.boolean(),
        async (lostCount, others, withCursors) => {
          const stream = new ModelStream(() => 1);
          const cursors = new Map<string, Cursor>();
          const log = logWith(10, seeded(lostCount));
          await laneOn(stream, log, cursors).drain(forEver);
          stream.loseTail(lostCount);
          if (others > 0) await laneOn(stream, logWith(others, seeded(1), 'other'), new Map(), 'other').drain(forEver);
          await laneOn(stream, log, withCursors ? cursors : new Map()).drain(forEver);
          expect(idsIn(stream).filter((id) => id.startsWith('j:'))).toEqual(idsUpTo(10));
        },
      ),
    );
  });

  it('does not send again what the limits of the stream let go', async () => {
    const stream = new ModelStream(() => 1);
    const cursors = new Map<string, Cursor>();
    const log = logWith(10, seeded(7));
    await laneOn(stream, log, cursors).drain(forEver);
    stream.evict(10);
    log.append(eventOf(11, seeded(7)));
    await laneOn(stream, log, cursors).drain(forEver);
    expect(idsIn(stream)).toEqual(['j:11']);
  });

  it('does not send again what somebody deleted, but goes on after it', async () => {
    const stream = new ModelStream(() => 1);
    const cursors = new Map<string, Cursor>();
    const log = logWith(5);
    await laneOn(stream, log, cursors).drain(forEver);
    await laneOn(
      stream,
      logWith(2, () => 0, 'other'),
      new Map(),
      'other',
    ).drain(forEver);
    stream.messages = stream.messages.filter((message) => !message.id.startsWith('j:'));
    // The oldest message left is not the reason why ours is missing.
    log.append(eventOf(6, () => 0));
    await laneOn(stream, log, cursors).drain(forEver);
    expect(idsIn(stream)).toEqual(['other:1', 'other:2', 'j:6']);
  });

  it('ends the session where the stream was made again, before anything wrong is stored', async () => {
    const stream = new ModelStream(() => 1);
    const log = logWith(5, seeded(3));
    const lane = laneOn(stream, log);
    await lane.drain(forEver);
    stream.recreate();
    // A subject that the job has not used yet: empty in the old stream and in the new one.
    log.append({ namespace: 'n', job: 'j', sequence: 6, atMs: 6, entity: 'job', verb: 'cancelled', data: {} });
    await expect(lane.drain(forEver)).rejects.toMatchObject({ code: 'Unavailable', retryable: true });
    expect(stream.messages).toEqual([]);
  });

  it('refuses a stream whose subjects do not receive the job, and says what to do', async () => {
    const stream = new ModelStream(() => 1);
    stream.subjects = ['secateur.other.>', 'orders.*'];
    await expect(laneOn(stream, logWith(1)).drain(forEver)).rejects.toMatchObject({
      code: 'Unavailable',
      retryable: false,
      message: expect.stringContaining('nats stream edit'),
    });
  });

  it('refuses to publish for a journal that is older than the stream, until the journal has caught up', async () => {
    const stream = new ModelStream(() => 1);
    await laneOn(stream, logWith(5)).drain(forEver);
    const older = logWith(3);
    const lane = laneOn(stream, older);
    await expect(lane.drain(forEver)).rejects.toMatchObject({ details: { streamHolds: 5, journalEndsAt: 3 } });
    for (const sequence of [4, 5, 6]) older.append(eventOf(sequence, () => 0));
    await lane.drain(forEver);
    expect(idsIn(stream)).toEqual(idsUpTo(6));
  });

  it('goes on by itself where another publisher went ahead', async () => {
    const stream = new ModelStream(() => 1);
    const log = logWith(3);
    const [one, other] = [laneOn(stream, log), laneOn(stream, log)];
    await one.drain(forEver);
    for (const sequence of [4, 5, 6]) log.append(eventOf(sequence, () => 0));
    await other.drain(forEver);
    log.append(eventOf(7, () => 0));
    await one.drain(forEver);
    expect(idsIn(stream)).toEqual(idsUpTo(7));
  });

  it('publishes from the job’s file what is no longer in memory; a damaged file is this job’s trouble only', async () => {
    const disk = new MemoryDisk();
    disk.placeDirectory(STATE_DIRECTORY);
    const log = new EventLog({ disk: disk.mount(), stateDirectory: STATE_DIRECTORY });
    for (let sequence = 1; sequence <= 200; sequence++) log.append(eventOf(sequence, seeded(sequence)));
    await log.spill();
    const file = `${STATE_DIRECTORY}/jobs/j/events.jsonl`;
    const whole = disk.contentOf(file) as Buffer;
    const damaged = Buffer.from(whole);
    damaged[damaged.indexOf('"sequence":150,')] = 0x21;
    disk.place(file, damaged);
    const stream = new ModelStream(() => 1);
    const lane = laneOn(stream, log);
    await expect(lane.drain(forEver)).rejects.toMatchObject({
      code: 'Unavailable',
      retryable: false,
      message: expect.stringContaining(file),
    });
    disk.place(file, whole);
    await lane.drain(forEver);
    expect(idsIn(stream)).toEqual(idsUpTo(200));
  });

  it('stops between two events when it is told to', async () => {
    const stream = new ModelStream(() => 1);
    const lane = laneOn(stream, logWith(5));
    await lane.drain(() => stream.messages.length === 2);
    expect(idsIn(stream)).toEqual(idsUpTo(2));
    expect(lane.settled).toBe(false);
  });
});
