/** What a job tells the world: one entry of its gap-free sequence, before it is dressed as a CloudEvent. */

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

export type EventEntity = 'job' | 'calibration' | 'stage' | 'layer' | 'task' | 'worker' | 'checkpoint';

export interface JobEvent {
  readonly namespace: string;
  /** The job's id: unique for ever, a valid NATS subject token. */
  readonly job: string;
  /** 1, 2, 3, … within the job, without gaps. */
  readonly sequence: number;
  /** Milliseconds since the epoch, by the coordinator's clock. */
  readonly atMs: number;
  readonly entity: EventEntity;
  /** Past tense, lower case: submitted, started, committed, failed. */
  readonly verb: string;
  readonly data: JsonObject;
}
