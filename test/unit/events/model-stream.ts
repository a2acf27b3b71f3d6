/**
 * A model of a JetStream stream with faults, driven by a seed: answers that are lost after the message was stored,
 * messages that are lost, messages that arrive long after they were given up, tails that a crash takes away, streams
 * that are deleted and made again, evictions. It has no duplicate window at all, so nothing hides a second publication.
 */

import type {
  AppendOutcome,
  EventStream,
  StreamMessage,
  StreamState,
} from '../../../coordinator/outbox/event-stream.ts';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { eventId, natsSubject } from '../../../shared/events/cloud-event.ts';
import type { JobEvent } from '../../../shared/events/job-event.ts';

interface Stored {
  readonly streamSequence: number;
  readonly subject: string;
  readonly id: string;
}

export interface Faults {
  /** Each in [0, 1]: how often. */
  readonly lostAnswer: number;
  readonly lostMessage: number;
  readonly lateMessage: number;
}

export class ModelStream implements EventStream {
  createdAt = 'stream-1';
  subjects: readonly string[] = ['secateur.>'];
  messages: Stored[] = [];
  faults: Faults = { lostAnswer: 0, lostMessage: 0, lateMessage: 0 };
  readonly #random: () => number;
  readonly #underway: Array<() => void> = [];
  #lastSequence = 0;
  #evicted = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  async state(): Promise<StreamState> {
    this.#arrivals();
    const first = this.messages[0]?.streamSequence ?? this.#lastSequence + 1;
    return {
      createdAt: this.createdAt,
      firstSequence: Math.max(first, this.#evicted + 1),
      lastSequence: this.#lastSequence,
      subjects: this.subjects,
    };
  }

  async lastOn(filter: string): Promise<StreamMessage | undefined> {
    this.#arrivals();
    return this.messages.findLast(({ subject }) =>
      filter.endsWith('.>') ? subject.startsWith(filter.slice(0, -1)) : subject === filter,
    );
  }

  async at(streamSequence: number): Promise<StreamMessage | undefined> {
    return this.messages.find((message) => message.streamSequence === streamSequence);
  }

  async append(event: JobEvent, expectedOnSubject: number): Promise<AppendOutcome> {
    this.#arrivals();
    const fate = this.#random();
    const { lostAnswer, lostMessage, lateMessage } = this.faults;
    if (fate < lostMessage) throw lost();
    if (fate < lostMessage + lateMessage) {
      this.#underway.push(() => this.#store(event, expectedOnSubject));
      throw lost();
    }
    const outcome = this.#store(event, expectedOnSubject);
    if (fate < lostMessage + lateMessage + lostAnswer) throw lost();
    return outcome;
  }

  /** A crash of the server takes the newest `count` messages, which it had acknowledged. */
  loseTail(count: number): void {
    this.messages = this.messages.slice(0, Math.max(0, this.messages.length - count));
    this.#lastSequence = Math.max(this.#evicted, this.messages.at(-1)?.streamSequence ?? 0);
  }

  /** The stream's limits let the oldest `count` messages go. */
  evict(count: number): void {
    this.#evicted = this.messages.splice(0, count).at(-1)?.streamSequence ?? this.#evicted;
  }

  recreate(): void {
    this.createdAt = `${this.createdAt}+`;
    this.messages = [];
    this.#lastSequence = 0;
    this.#evicted = 0;
  }

  #store(event: JobEvent, expectedOnSubject: number): AppendOutcome {
    const subject = natsSubject(event);
    const newest = this.messages.findLast((message) => message.subject === subject)?.streamSequence ?? 0;
    if (newest !== expectedOnSubject) return { kind: 'moved' };
    this.#lastSequence += 1;
    this.messages.push({ streamSequence: this.#lastSequence, subject, id: eventId(event.job, event.sequence) });
    return { kind: 'stored', streamSequence: this.#lastSequence };
  }

  /** What is under way arrives at any time, in any order. */
  #arrivals(): void {
    while (this.#underway.length > 0 && this.#random() < 0.3) {
      const [arrival] = this.#underway.splice(Math.floor(this.#random() * this.#underway.length), 1);
      arrival?.();
    }
  }
}

function lost(): SecateurError {
  return new SecateurError('Unavailable', 'the answer did not come', { retryable: true });
}
