/** An event log on a disk in memory, for tests of those who read from one. */
import { EventLog, type EventLogOptions } from '../../coordinator/outbox/event-log.ts';
import { MemoryDisk } from './memory-disk.ts';

export const STATE_DIRECTORY = '/state';

export function emptyEventLog(options: Partial<EventLogOptions> = {}): EventLog {
  const disk = new MemoryDisk();
  disk.placeDirectory(STATE_DIRECTORY);
  return new EventLog({ disk: disk.mount(), stateDirectory: STATE_DIRECTORY, ...options });
}
