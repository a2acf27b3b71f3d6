/** What a state folder tells to a process that is not its coordinator, whether one runs there or not. Nothing is written. */
import { type CoordinatorState, INITIAL_STATE } from './core/state.ts';
import { step } from './core/step.ts';
import { SYSTEM_DISK } from './journal/disk.ts';
import { Journal } from './journal/journal.ts';
import { EventLog } from './outbox/event-log.ts';

export interface RecordedState {
  readonly state: CoordinatorState;
  readonly events: EventLog;
  /** When the journal was written last; 0 where nothing has happened yet. */
  readonly atMs: number;
}

/** @throws SourceMissing, JournalCorrupt */
export async function readState(stateDirectory: string): Promise<RecordedState> {
  const { checkpoint, records } = await Journal.read(SYSTEM_DISK, stateDirectory);
  const events = new EventLog({ disk: SYSTEM_DISK, stateDirectory });
  if (checkpoint !== null) await events.restore(checkpoint.events);
  let state = checkpoint?.state ?? INITIAL_STATE;
  let atMs = checkpoint?.lastMs ?? 0;
  for (const record of records) {
    const result = step(state, record.event, record.atMs);
    state = result.state;
    atMs = record.atMs;
    for (const event of result.events) events.append(event);
  }
  return { state, events, atMs };
}
