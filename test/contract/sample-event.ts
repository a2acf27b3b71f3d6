/** Events for tests that need many: what they say depends on nothing but job and sequence. */

import type { JobEvent } from '../../shared/events/job-event.ts';

const KINDS = [
  ['job', 'started'],
  ['layer', 'calibrated'],
  ['layer', 'committed'],
  ['task', 'failed'],
  ['worker', 'attached'],
] as const;

export function sampleEvent(job: string, sequence: number): JobEvent {
  // The first event has a kind of its own; the others take turns, so that subjects repeat and interleave.
  const [entity, verb] = sequence === 1 ? (['job', 'submitted'] as const) : KINDS[sequence % KINDS.length]!;
  return {
    namespace: 'test',
    job,
    sequence,
    atMs: Date.UTC(2026, 0, 1) + sequence,
    entity,
    verb,
    data: { layer: sequence % 80, worker: `w-${sequence % 3}` },
  };
}
