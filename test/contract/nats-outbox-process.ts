/**
 * A process with an outbox in it, for a test that kills it: `node nats-outbox-process.ts <url> <cursorFile> <count>`
 * publishes `count` events of the job "killed", made the same way in every run, and then idles.
 */

import { NatsOutbox } from '../../coordinator/outbox/nats-outbox.ts';
import { emptyEventLog } from '../support/empty-event-log.ts';
import { sampleEvent } from './sample-event.ts';

const [servers, cursorFile, count] = process.argv.slice(2);
if (servers === undefined || cursorFile === undefined || count === undefined) {
  throw new Error('usage: nats-outbox-process.ts <url> <cursorFile> <count>');
}
const log = emptyEventLog();
for (let sequence = 1; sequence <= Number(count); sequence += 1) log.append(sampleEvent('killed', sequence));
await NatsOutbox.start({ servers, cursorFile, log });
setInterval(() => {}, 60_000);
