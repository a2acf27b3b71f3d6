/** An event as one line for people: `02:15:07  #42  layer.committed  layer=12 worker=w1 …`. Pure. */
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import type { JsonValue } from '../../shared/events/job-event.ts';
import { clean } from './table.ts';
import { showBytes, showDuration, showShare } from './units.ts';

const VALUE_LENGTH_MAX = 60;
/** A failure's message is what its line is for. */
const MESSAGE_KEYS: ReadonlySet<string> = new Set(['message', 'why', 'details', 'drift']);
/** Said with every event, of use to machines only. */
const KEYS_LEFT_OUT: ReadonlySet<string> = new Set(['epoch']);

export function eventName(event: Pick<CloudEvent, 'type'>): string {
  return event.type.replace(/^secateur\./, '').replace(/\.v\d+$/, '');
}

export function describeEvent(event: CloudEvent): string {
  const data = Object.entries(event.data)
    .filter(([key]) => !KEYS_LEFT_OUT.has(key))
    .map(([key, value]) => `${key}=${showValue(key, value)}`);
  const time = event.time.slice(11, 19);
  return [time, `#${Number(event.sequence)}`, eventName(event), data.join(' ')].join('  ').trimEnd();
}

function showValue(key: string, value: JsonValue): string {
  if (typeof value === 'number') {
    if (key.endsWith('Ms')) return showDuration(value).replace(' ', '');
    if (key.endsWith('Bytes')) return showBytes(value).replace(' ', '');
    if (key === 'sparsity') return showShare(value).replace(' ', '');
    return String(value);
  }
  const text = clean(typeof value === 'string' ? value : JSON.stringify(value));
  if (key === 'sha256') return text.slice(0, 12);
  return MESSAGE_KEYS.has(key) || text.length <= VALUE_LENGTH_MAX ? text : `${text.slice(0, VALUE_LENGTH_MAX - 1)}…`;
}
