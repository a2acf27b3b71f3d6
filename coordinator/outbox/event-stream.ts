/**
 * What the outbox needs of a JetStream stream, and nothing of NATS: so the logic that makes delivery exact can be
 * driven through lost acknowledgements, late writes and lost tails by a model of a stream (see job-lane.ts).
 *
 * Every call rejects with a SecateurError. `retryable: true` means that the connection or the server is in doubt (the
 * session ends and a new one starts over); `retryable: false` means that the server understood and refused, which
 * concerns this job only.
 */

import type { JobEvent } from '../../shared/events/job-event.ts';

export interface StreamState {
  /** When the stream was created, as the server writes it: another value is another stream of the same name. */
  readonly createdAt: string;
  /** Stream sequence of the oldest message still there; lastSequence + 1 in a stream that was emptied. */
  readonly firstSequence: number;
  /** Stream sequence of the newest message ever stored. */
  readonly lastSequence: number;
  readonly subjects: readonly string[];
}

export interface StreamMessage {
  readonly streamSequence: number;
  /** The event's id, or undefined for a message that does not come from secateur. */
  readonly id: string | undefined;
}

export type AppendOutcome =
  /** Stored now. */
  | { readonly kind: 'stored'; readonly streamSequence: number }
  /** The server has seen this id within its duplicate window and kept the older message. */
  | { readonly kind: 'duplicate'; readonly streamSequence: number }
  /** The last message on the event's subject was another one than expected: nothing was stored. */
  | { readonly kind: 'moved' };

export interface EventStream {
  state(): Promise<StreamState>;
  /** The newest message whose subject matches `filter` (wildcards allowed), or undefined. */
  lastOn(filter: string): Promise<StreamMessage | undefined>;
  /** The message with that stream sequence, or undefined where it is gone or not yet there. */
  at(streamSequence: number): Promise<StreamMessage | undefined>;
  /**
   * Appends the event if, and only if, the newest message on its exact subject has stream sequence
   * `expectedOnSubject` (0: there is none). The comparison and the append are one step of the server.
   */
  append(event: JobEvent, expectedOnSubject: number): Promise<AppendOutcome>;
}

/** Whether a stream that listens to `patterns` receives everything that `filter` matches (NATS wildcards `*` and `>`). */
export function subjectsCover(patterns: readonly string[], filter: string): boolean {
  return patterns.some((pattern) => patternCovers(pattern.split('.'), filter.split('.')));
}

function patternCovers(pattern: readonly string[], filter: readonly string[]): boolean {
  for (const [index, wanted] of filter.entries()) {
    const given = pattern[index];
    if (given === undefined) return false;
    if (given === '>') return true;
    if (wanted === '>') return false;
    if (given !== '*' && given !== wanted) return false;
  }
  return pattern.length === filter.length;
}
