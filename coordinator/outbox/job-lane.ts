/**
 * Publishes one job's events to a stream: exactly once, in order, without gaps.
 *
 * The stream itself is asked where it stands; the duplicate window, acknowledgements and the cursor are only help.
 *
 * Invariants:
 * 1. Event n is offered only after event n - 1 was seen in the stream, or is known to have been there (cursor).
 * 2. Event n is offered with a compare-and-set on its exact subject, against a message that was seen to be older than
 *    event n. Had event n been stored meanwhile (a lost acknowledgement, bytes still under way from an older
 *    connection, a second coordinator), that subject would have moved and the server refuses.
 * 3. One event of a job is in flight at a time: from 1 and 2 follows exactly once and in order, without any clock.
 * 4. The cursor moves only after the stream was seen to hold the event.
 */

import { invariant, SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { eventId, natsJobFilter, natsSubject } from '../../shared/events/cloud-event.ts';
import type { JobEvent } from '../../shared/events/job-event.ts';
import { reach } from '../../shared/failpoint.ts';
import type { EventLog } from './event-log.ts';
import { type EventStream, type StreamMessage, type StreamState, subjectsCover } from './event-stream.ts';

/** Events taken from the log at a time; small, since one is in flight at a time anyway. */
const READ_LIMIT = 64;

/** Refusals without progress before a job waits: two may follow from one race, more means that something is odd. */
const MOVED_MAX = 3;

/** Where a job stands in the stream. */
export interface Cursor {
  /** The newest event that the stream acknowledged; 0 for none. */
  readonly sequence: number;
  /** Its stream sequence; 0 for none. */
  readonly streamSequence: number;
}

/** The part of the cursor file that a lane sees: entries belong to the stream of this session. */
export interface CursorBook {
  get(job: string): Cursor | undefined;
  set(job: string, cursor: Cursor): void;
}

export interface JobLaneOptions {
  readonly job: string;
  readonly log: EventLog;
  readonly stream: EventStream;
  readonly cursors: CursorBook;
  /** The stream that the session began with. */
  readonly createdAt: string;
}

export class JobLane {
  readonly #job: string;
  readonly #namespace: string;
  readonly #log: EventLog;
  readonly #stream: EventStream;
  readonly #cursors: CursorBook;
  readonly #createdAt: string;
  /** Sequence of the newest event known to be in the stream; undefined until the stream was asked. */
  #position: number | undefined;
  /** By subject: the stream sequence of its newest message, as the server told us in this session. */
  readonly #newestOnSubject = new Map<string, number>();

  constructor(options: JobLaneOptions) {
    const namespace = options.log.namespaceOf(options.job);
    invariant(namespace !== undefined, `job ${options.job} has a lane but no events`);
    this.#job = options.job;
    this.#namespace = namespace;
    this.#log = options.log;
    this.#stream = options.stream;
    this.#cursors = options.cursors;
    this.#createdAt = options.createdAt;
  }

  /** Whether the stream is known to hold everything that the log has of this job. */
  get settled(): boolean {
    return this.#position !== undefined && this.#position >= this.#log.lastSequence(this.#job);
  }

  /**
   * Publishes until the log has nothing more, or `ended()`. Rejects as EventStream does; call again to go on: what
   * became of an append without an answer shows at the next one, which the server then refuses.
   */
  async drain(ended: () => boolean): Promise<void> {
    let refusals = 0;
    while (!ended() && !this.settled) {
      this.#position ??= await this.#locate();
      for (const event of await this.#read(this.#position)) {
        if (ended()) return;
        if (await this.#publish(event)) {
          refusals = 0;
          continue;
        }
        // Nothing is taken for granted any more: the stream is asked again.
        this.#position = undefined;
        this.#newestOnSubject.clear();
        refusals += 1;
        if (refusals > MOVED_MAX) throw this.#contested(event);
        break;
      }
    }
  }

  /** A file of events that cannot be read is this job's trouble: the other jobs are published. */
  async #read(afterSequence: number): Promise<readonly JobEvent[]> {
    try {
      return await this.#log.read(this.#job, afterSequence, READ_LIMIT);
    } catch (thrown) {
      const { message } = toSecateurError(thrown);
      throw new SecateurError('Unavailable', `The events of job ${this.#job} cannot be published: ${message}`, {
        cause: thrown,
        details: { job: this.#job, afterSequence },
      });
    }
  }

  /** Offers one event. False where the stream has moved and must be asked again. */
  async #publish(event: JobEvent): Promise<boolean> {
    const expected = await this.#newestBefore(event);
    if (expected === undefined) return false;
    reach('coordinator.event-unpublished');
    const appended = this.#stream.append(event, expected);
    reach('coordinator.event-sent');
    const outcome = await appended;
    if (outcome.kind === 'moved') return false;
    reach('coordinator.event-published');
    this.#cursors.set(this.#job, { sequence: event.sequence, streamSequence: outcome.streamSequence });
    if (outcome.kind === 'stored') this.#newestOnSubject.set(natsSubject(event), outcome.streamSequence);
    else this.#newestOnSubject.clear();
    this.#position = event.sequence;
    return true;
  }

  /**
   * The newest message on the event's subject, as a stream sequence, after making sure that it is older than the event
   * (invariant 2). Undefined where the event, or a later one, is there already.
   */
  async #newestBefore(event: JobEvent): Promise<number | undefined> {
    const subject = natsSubject(event);
    const known = this.#newestOnSubject.get(subject);
    if (known !== undefined) return known;
    // Nothing of a job comes before its first event: an empty subject is right in any stream, new or old.
    if (event.sequence === 1) return 0;

    const newest = await this.#stream.lastOn(subject);
    if (newest === undefined) {
      // An empty subject would also be found in a stream that replaced ours, where the earlier events are missing.
      const state = await this.#stream.state();
      if (state.createdAt !== this.#createdAt) throw replaced(this.#createdAt, state.createdAt);
      return 0;
    }
    const sequence = this.#sequenceOf(newest);
    if (sequence !== undefined && sequence >= event.sequence) return undefined;
    return newest.streamSequence;
  }

  /** Asks the stream for the newest event of this job that it holds, or held and dropped. */
  async #locate(): Promise<number> {
    const state = await this.#stream.state();
    if (state.createdAt !== this.#createdAt) throw replaced(this.#createdAt, state.createdAt);
    const filter = natsJobFilter(this.#namespace, this.#job);
    if (!subjectsCover(state.subjects, filter)) throw notCovered(filter, state.subjects);

    const newest = await this.#stream.lastOn(filter);
    const stored = newest === undefined ? 0 : this.#sequenceOf(newest);
    if (stored === undefined) throw foreign(filter, newest);
    if (stored > this.#log.lastSequence(this.#job)) throw this.#ahead(stored);

    const cursor = this.#cursors.get(this.#job);
    if (cursor !== undefined && cursor.sequence > stored && !(await this.#wasLost(cursor, state))) {
      return cursor.sequence;
    }
    this.#cursors.set(this.#job, { sequence: stored, streamSequence: newest?.streamSequence ?? 0 });
    return stored;
  }

  /**
   * The cursor says that an event was acknowledged which is not there now. Either somebody let it go (the stream's
   * limits, a purge, a work queue): then it was delivered. Or the server lost its newest messages (it acknowledges
   * before they are safe on disk): then it must be sent again.
   */
  async #wasLost(cursor: Cursor, state: StreamState): Promise<boolean> {
    if (cursor.streamSequence < state.firstSequence) return false;
    if (cursor.streamSequence > state.lastSequence) return true;
    const there = await this.#stream.at(cursor.streamSequence);
    // Another message under the number that our event had: numbers were given out a second time.
    return there !== undefined && there.id !== eventId(this.#job, cursor.sequence);
  }

  #sequenceOf(message: StreamMessage): number | undefined {
    const prefix = eventId(this.#job, 0).slice(0, -1);
    if (message.id === undefined || !message.id.startsWith(prefix)) return undefined;
    const sequence = Number(message.id.slice(prefix.length));
    return Number.isSafeInteger(sequence) && sequence >= 1 ? sequence : undefined;
  }

  #ahead(stored: number): SecateurError {
    const last = this.#log.lastSequence(this.#job);
    return new SecateurError(
      'Unavailable',
      `The stream holds event ${stored} of job ${this.#job}, the journal ends at ${last}: the journal was restored from an older copy, or another coordinator uses this job's name. Nothing is published for this job until its journal passes ${stored}.`,
      { details: { job: this.#job, streamHolds: stored, journalEndsAt: last } },
    );
  }

  #contested(event: JobEvent): SecateurError {
    return new SecateurError(
      'Unavailable',
      `The stream refused event ${event.sequence} of job ${this.#job} ${MOVED_MAX + 1} times because its subject changed in between: another coordinator publishes this job. Stop one of the two.`,
      { details: { job: this.#job, sequence: event.sequence } },
    );
  }
}

/** The stream is not the one that the session began with: the session must begin again, for every job. */
export function replaced(expected: string, found: string): SecateurError {
  return new SecateurError(
    'Unavailable',
    `The stream was created again (${found} instead of ${expected}). Every job's events are published to it again.`,
    { retryable: true, details: { expected, found } },
  );
}

function notCovered(filter: string, subjects: readonly string[]): SecateurError {
  return new SecateurError(
    'Unavailable',
    `The stream does not receive ${filter}: its subjects are ${subjects.join(', ') || '(none)'}. Add "secateur.>" to its subjects (nats stream edit), or name another stream.`,
    { details: { filter, subjects } },
  );
}

function foreign(filter: string, message: StreamMessage | undefined): SecateurError {
  return new SecateurError(
    'Unavailable',
    `The newest message on ${filter} (stream sequence ${message?.streamSequence ?? 0}) does not come from secateur. Delete it (nats stream rmm) and keep other publishers off these subjects.`,
    { details: { filter, streamSequence: message?.streamSequence ?? 0 } },
  );
}
