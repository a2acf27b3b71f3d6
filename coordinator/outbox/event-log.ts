/**
 * The coordinator's events in memory, one list a job, rebuilt by the replay of the journal.
 *
 * It is what every way of watching reads from: the NATS outbox, the Watch call of the API. Consumers pull and hold
 * nothing but a cursor (job, sequence), so a slow or absent consumer costs the coordinator nothing.
 *
 * Invariants:
 * 1. A job's events are numbered 1, 2, 3, … : the event with sequence s stands at index s - 1.
 * 2. An event never changes and never goes away while the job is listed.
 * 3. A job keeps the namespace of its first event.
 * 4. A listener is told after the event can be read, and whatever it throws never reaches the coordinator.
 */

import { invariant, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { assertPublishable } from '../../shared/events/event-rules.ts';
import type { JobEvent } from '../../shared/events/job-event.ts';

export type EventListener = (event: JobEvent) => void;
export type Unsubscribe = () => void;

export class EventLog {
  readonly #events = new Map<string, JobEvent[]>();
  readonly #listeners = new Set<EventListener>();

  /**
   * Adds the next event of its job. Call it only with what the journal already holds.
   * Throws `Internal` where the sequence has a gap or a repetition, or the event could not be published.
   */
  append(event: JobEvent): void {
    assertPublishable(event);
    const known = this.#events.get(event.job);
    const expected = (known?.length ?? 0) + 1;
    invariant(
      event.sequence === expected,
      `event ${event.entity}.${event.verb} of job ${event.job} has sequence ${event.sequence}, expected ${expected}`,
    );
    const namespace = known?.[0]?.namespace ?? event.namespace;
    invariant(
      event.namespace === namespace,
      `event ${event.job}:${event.sequence} is in namespace ${event.namespace}, its job in ${namespace}`,
    );
    if (known === undefined) this.#events.set(event.job, [event]);
    else known.push(event);
    this.#tell(event);
  }

  /** At most `limit` events of a job with a sequence above `afterSequence`, in order; none for an unknown job. */
  read(job: string, afterSequence: number, limit: number): readonly JobEvent[] {
    invariant(
      Number.isSafeInteger(afterSequence) && afterSequence >= 0,
      `a cursor is a sequence, not ${afterSequence}`,
    );
    invariant(Number.isSafeInteger(limit) && limit >= 1, `a limit is a count from 1, not ${limit}`);
    return this.#events.get(job)?.slice(afterSequence, afterSequence + limit) ?? [];
  }

  /** The ids of all jobs, in the order of their first events. */
  jobs(): readonly string[] {
    return [...this.#events.keys()];
  }

  /** The sequence of a job's newest event; 0 for an unknown job. */
  lastSequence(job: string): number {
    return this.#events.get(job)?.length ?? 0;
  }

  /** Has `listener` called after each append, synchronously: it should note that there is more, and return. */
  subscribe(listener: EventListener): Unsubscribe {
    // Wrapped, so that one function subscribed twice is two subscriptions, each with its own end.
    const entry: EventListener = (event) => listener(event);
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  #tell(event: JobEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (thrown) {
        // Invariant 4. Not silent either: Node prints a process warning with its stack.
        process.emitWarning(toSecateurError(thrown));
      }
    }
  }
}
