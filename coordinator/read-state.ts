/** What a state folder tells to a process that is not its coordinator, whether one runs there or not. Nothing is written. */
import type { CoordinatorState } from './core/state.ts';
import { SYSTEM_DISK } from './journal/disk.ts';
import { Journal } from './journal/journal.ts';
import { EventLog } from './outbox/event-log.ts';
import { replayJournal } from './replay.ts';

export interface RecordedState {
  readonly state: CoordinatorState;
  readonly events: EventLog;
  /** When the journal was written last; 0 where nothing has happened yet. */
  readonly atMs: number;
}

/** @throws SourceMissing, JournalCorrupt */
export async function readState(stateDirectory: string): Promise<RecordedState> {
  const events = new EventLog({ disk: SYSTEM_DISK, stateDirectory });
  const { state, atMs } = await replayJournal(await Journal.read(SYSTEM_DISK, stateDirectory), events, false);
  return { state, events, atMs };
}
