/**
 * A JobEvent as a CloudEvent 1.0 in structured JSON, and back.
 *
 * The envelope follows the CloudEvents specification 1.0.2 and its `sequence` extension; docs/events.md explains it to
 * watchers. Everything in the envelope is derived from the JobEvent, so the same event is the same bytes for ever:
 * publishing it a second time cannot say anything new.
 */

import { z } from 'zod';
import { SecateurError } from '../errors/secateur-error.ts';
import { assertPublishable, EVENT_NAME, EVENT_VERB, SEQUENCE_DIGITS } from './event-rules.ts';
import { EVENT_ENTITIES, type JobEvent, type JsonObject } from './job-event.ts';

/** The media type of one structured CloudEvent: the `content-type` header of every message. */
export const CLOUD_EVENT_MEDIA_TYPE = 'application/cloudevents+json';

/** The first token of every subject that secateur publishes on. */
export const SUBJECT_ROOT = 'secateur';

/** What a CloudEvents subject may hold of an entity's name: plain text, short, no spaces. */
const SUBJECT_DETAIL = /^[A-Za-z0-9._-]{1,200}$/;

export interface CloudEvent {
  readonly specversion: '1.0';
  /** `<job>:<sequence>`, also the message's Nats-Msg-Id. */
  readonly id: string;
  /** `/secateur/<namespace>/<job>`; source and id together are unique, as the specification asks. */
  readonly source: string;
  /** `secateur.<entity>.<verb>.v1`. */
  readonly type: string;
  /** What the event is about: `layer/12`, or only `layer` where the data names no single one. */
  readonly subject: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string;
  readonly datacontenttype: 'application/json';
  /** The event's number within its job, zero-padded to ten digits so that text order is number order. */
  readonly sequence: string;
  readonly data: JsonObject;
}

const INCOMING = z.object({
  specversion: z.literal('1.0'),
  id: z.string(),
  source: z.string(),
  type: z.string(),
  subject: z.string().optional(),
  time: z.string(),
  datacontenttype: z.literal('application/json'),
  sequence: z.string().regex(new RegExp(`^[0-9]{${SEQUENCE_DIGITS}}$`)),
  data: z.record(z.string(), z.json()),
});

/** The id of an event: `<job>:<sequence>`. Also what JetStream deduplicates by. */
export function eventId(job: string, sequence: number): string {
  return `${job}:${sequence}`;
}

/** The subject that an event is published on: `secateur.<namespace>.<job>.<entity>.<verb>`. */
export function natsSubject(event: Pick<JobEvent, 'namespace' | 'job' | 'entity' | 'verb'>): string {
  return `${SUBJECT_ROOT}.${event.namespace}.${event.job}.${event.entity}.${event.verb}`;
}

/** The subject filter that matches every event of one job and nothing else. */
export function natsJobFilter(namespace: string, job: string): string {
  return `${SUBJECT_ROOT}.${namespace}.${job}.>`;
}

/** Dresses an event. Throws `Internal` for an event that no subject or envelope could carry. */
export function toCloudEvent(event: JobEvent): CloudEvent {
  assertPublishable(event);
  return {
    specversion: '1.0',
    id: eventId(event.job, event.sequence),
    source: `/secateur/${event.namespace}/${event.job}`,
    type: `secateur.${event.entity}.${event.verb}.v1`,
    subject: subjectOf(event),
    time: new Date(event.atMs).toISOString(),
    datacontenttype: 'application/json',
    sequence: String(event.sequence).padStart(SEQUENCE_DIGITS, '0'),
    data: event.data,
  };
}

/**
 * The JobEvent inside a parsed CloudEvent.
 *
 * Takes anything, since a message on a subject can come from anybody. Unknown attributes are ignored, as the
 * specification asks. Throws `ArgumentInvalid` for what is not one of our events, with the attribute named.
 */
export function fromCloudEvent(value: unknown): JobEvent {
  const parsed = INCOMING.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw notOurs(issue?.path.join('.') || '(root)', issue?.message ?? 'a CloudEvent', '');
  }
  const { id, source, type, time, sequence: sequenceText, data } = parsed.data;

  const [, root, namespace = '', job = '', ...rest] = source.split('/');
  if (root !== 'secateur' || rest.length > 0 || !EVENT_NAME.test(namespace) || !EVENT_NAME.test(job)) {
    throw notOurs('source', '/secateur/<namespace>/<job>', source);
  }
  const sequence = Number(sequenceText);
  if (sequence < 1) throw notOurs('sequence', 'a number from 1', sequenceText);
  if (id !== eventId(job, sequence)) throw notOurs('id', eventId(job, sequence), id);

  const [product, entityText, verb = '', version, ...more] = type.split('.');
  const entity = EVENT_ENTITIES.find((known) => known === entityText);
  if (product !== 'secateur' || version !== 'v1' || more.length > 0 || !entity || !EVENT_VERB.test(verb)) {
    throw notOurs('type', 'secateur.<entity>.<verb>.v1 with a known entity', type);
  }
  const atMs = Date.parse(time);
  if (!Number.isSafeInteger(atMs) || atMs < 0) throw notOurs('time', 'an RFC 3339 time since 1970', time);

  return { namespace, job, sequence, atMs, entity, verb, data };
}

/** `layer/12` where the data says which layer, `layer` otherwise. */
function subjectOf(event: JobEvent): string {
  const which = event.data[event.entity];
  if (typeof which !== 'number' && typeof which !== 'string') return event.entity;
  const detail = String(which);
  return SUBJECT_DETAIL.test(detail) ? `${event.entity}/${detail}` : event.entity;
}

function notOurs(attribute: string, expected: string, found: string): SecateurError {
  const foundText = found === '' ? '' : `, found "${found.slice(0, 200)}"`;
  return new SecateurError(
    'ArgumentInvalid',
    `Not a secateur event: its attribute ${attribute} should be ${expected}${foundText}. Read only subjects below "${SUBJECT_ROOT}.".`,
    { details: { attribute, expected } },
  );
}
