/** An event's data as people read it, in `watch` and in logs. Pure. */
import type { JsonObject, JsonValue } from './job-event.ts';

/** Said with every event, of use to machines only. */
const KEYS_LEFT_OUT: ReadonlySet<string> = new Set(['epoch']);
/** The number of a lease counts the leases of a job: as an attempt of its task it would be read as its eleventh. */
const NAMES: ReadonlyMap<string, string> = new Map([['attempt', 'lease']]);

export function eventFacts(data: JsonObject): (readonly [name: string, value: JsonValue])[] {
  return Object.entries(data)
    .filter(([key]) => !KEYS_LEFT_OUT.has(key))
    .map(([key, value]) => [NAMES.get(key) ?? key, value] as const);
}

/** Three digits behind the point, or three that say something: 593.278, not 593.2781540000015; 0.0001, not 0. */
export function roundForReading(value: number): number {
  return Math.abs(value) < 1 ? Number(value.toPrecision(3)) : Math.round(value * 1000) / 1000;
}
