/** An event as one line for people: `02:15:07  #42  layer.committed  layer=12 worker=w1 …`. Pure. */
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import { eventFacts, roundForReading } from '../../shared/events/event-facts.ts';
import type { JsonValue } from '../../shared/events/job-event.ts';
import { showBytes, showDuration, showShare, showShort } from '../../shared/units.ts';
import { clean } from './table.ts';

const VALUE_LENGTH_MAX = 60;
/** Of a list; the rest is counted. */
const ITEMS_MAX = 8;
/** A failure's message is what its line is for. */
const MESSAGE_KEYS: ReadonlySet<string> = new Set(['message', 'why', 'details', 'drift', 'warnings']);

export function eventName(event: Pick<CloudEvent, 'type'>): string {
  return event.type.replace(/^secateur\./, '').replace(/\.v\d+$/, '');
}

export function describeEvent(event: CloudEvent): string {
  const data = eventFacts(event.data).map(([key, value]) => `${key}=${showValue(key, value)}`);
  const time = event.time.slice(11, 19);
  return [time, `#${Number(event.sequence)}`, eventName(event), data.join(' ')].join('  ').trimEnd();
}

function showValue(key: string, value: JsonValue, isWhole = MESSAGE_KEYS.has(key)): string {
  if (typeof value === 'number') return showNumber(key, value);
  if (isArray(value)) {
    const shown = value.slice(0, ITEMS_MAX).map((item) => showValue(key, item, isWhole));
    const rest = value.length - shown.length;
    return `[${[...shown, ...(rest > 0 ? [`${rest} more`] : [])].join(', ')}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([name, each]) => `${clean(name)}=${showValue(name, each, isWhole)}`);
    return `{${fields.join(' ')}}`;
  }
  const text = clean(String(value));
  if (key === 'sha256') return text.slice(0, 12);
  return isWhole || text.length <= VALUE_LENGTH_MAX ? text : `${text.slice(0, VALUE_LENGTH_MAX - 1)}…`;
}

function showNumber(key: string, value: number): string {
  if (key.endsWith('Ms')) return showDuration(value).replace(' ', '');
  if (key.endsWith('Bytes')) return showBytes(value).replace(' ', '');
  if (key.endsWith('PerSecond')) return showShort(value);
  if (key === 'sparsity') return showShare(value).replace(' ', '');
  return String(roundForReading(value));
}

/** Narrows readonly arrays, which `Array.isArray` alone does not. */
function isArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
