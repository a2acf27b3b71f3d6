/**
 * What makes a JobEvent publishable: its names must survive as NATS subject tokens, as parts of a URI and inside an
 * event's id, and its time must survive RFC 3339 with milliseconds.
 */

import { invariant } from '../errors/secateur-error.ts';
import { EVENT_ENTITIES, type JobEvent } from './job-event.ts';

/** Namespaces and job ids: no dot, star, angle bracket, colon, slash or space, so each is one NATS token as it stands. */
export const EVENT_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;

/** Verbs are camelCase letters: they stand between dots in both the subject and the CloudEvents type. */
export const EVENT_VERB = /^[a-z][A-Za-z]{0,63}$/;

/** The sequence travels as text of this many digits, so that text order is number order. */
export const SEQUENCE_DIGITS = 10;
const SEQUENCE_MAX = 10 ** SEQUENCE_DIGITS - 1;

/** The last instant that JavaScript's Date still writes with a four digit year, as RFC 3339 wants it. */
const AT_MS_MAX = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** Throws `Internal` where an event breaks a rule: events are made by the coordinator, so that is a programmer's error. */
export function assertPublishable(event: JobEvent): void {
  const { namespace, job, sequence, atMs, entity, verb } = event;
  invariant(EVENT_NAME.test(namespace), `event namespace "${namespace}" is not a name like ${EVENT_NAME.source}`);
  invariant(EVENT_NAME.test(job), `event job "${job}" is not a name like ${EVENT_NAME.source}`);
  invariant(
    Number.isSafeInteger(sequence) && sequence >= 1 && sequence <= SEQUENCE_MAX,
    `event sequence ${sequence} of job ${job} is not an integer from 1 to ${SEQUENCE_MAX}`,
  );
  invariant(
    Number.isSafeInteger(atMs) && atMs >= 0 && atMs <= AT_MS_MAX,
    `event time ${atMs} of ${job}:${sequence} is not whole milliseconds since the epoch`,
  );
  invariant(EVENT_ENTITIES.includes(entity), `event entity "${entity}" of ${job}:${sequence} is unknown`);
  invariant(
    EVENT_VERB.test(verb),
    `event verb "${verb}" of ${job}:${sequence} is not a name like ${EVENT_VERB.source}`,
  );
}
