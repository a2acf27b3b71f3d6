/** From what a journal holds to the state that it amounts to; every event on the way is told to the event log. */
import { type CoordinatorState, INITIAL_STATE } from './core/state.ts';
import { step } from './core/step.ts';
import type { Replay } from './journal/journal.ts';
import type { EventLog } from './outbox/event-log.ts';

export interface Replayed {
  readonly state: CoordinatorState;
  /** The journal's time; 0 where nothing has happened yet. */
  readonly atMs: number;
}

/**
 * @param maySpill whether events may go to the state folder's files: only its coordinator writes there
 * @throws JournalCorrupt where an event file lacks what the checkpoint says
 */
export async function replayJournal(
  { checkpoint, records }: Replay,
  events: EventLog,
  maySpill: boolean,
): Promise<Replayed> {
  if (checkpoint !== null) await events.restore(checkpoint.events);
  let state = checkpoint?.state ?? INITIAL_STATE;
  let atMs = checkpoint?.lastMs ?? 0;
  for (const record of records) {
    const result = step(state, record.event, record.atMs);
    state = result.state;
    atMs = record.atMs;
    for (const event of result.events) events.append(event);
    if (maySpill && events.isWindowFull) await events.spill();
  }
  return { state, atMs };
}
