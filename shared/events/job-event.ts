/** What a job tells the world: one entry of its gap-free sequence, before it is dressed as a CloudEvent. */

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

/** Everything an event can be about; docs/events.md lists the verbs of each. */
export const EVENT_ENTITIES = [
  'job',
  'calibration',
  'stage',
  'layer',
  'task',
  'worker',
  'evaluation',
  'checkpoint',
] as const;

export type EventEntity = (typeof EVENT_ENTITIES)[number];

export interface JobEvent {
  readonly namespace: string;
  /** The job's id: unique for ever, a valid NATS subject token. */
  readonly job: string;
  /** 1, 2, 3, … within the job, without gaps. */
  readonly sequence: number;
  /** Milliseconds since the epoch, by the coordinator's clock: an integer. */
  readonly atMs: number;
  readonly entity: EventEntity;
  /** Past tense, camelCase, letters only: submitted, committed, shardWritten. */
  readonly verb: string;
  readonly data: JsonObject;
}
