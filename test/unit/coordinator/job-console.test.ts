import { expect, it } from 'vitest';
import { consoleLines } from '../../../coordinator/logs/job-console.ts';
import type { JobEvent } from '../../../shared/events/job-event.ts';

function said(entity: JobEvent['entity'], verb: string, data: JobEvent['data']): string {
  const event = { namespace: 'default', job: 'job-1', sequence: 1, atMs: 0, entity, verb, data };
  return consoleLines(event)
    .map(({ level, message }) => `${level} ${message}`)
    .join('\n');
}

it('the coordinator’s log has the beginning and the end of each job, and what it is warned of', () => {
  expect(said('job', 'submitted', { source: 'file:///in', destination: 'file:///out' })).toBe(
    'info job job-1 submitted: file:///in to file:///out',
  );
  expect(said('job', 'planned', { layers: 4, workers: 1, warnings: ['short text'] })).toBe(
    'info job job-1 begins: 4 layers, 1 worker\nwarn job job-1 has a warning: short text',
  );
  expect(said('job', 'succeeded', { elapsedMs: 1_234.5 })).toBe('info job job-1 succeeded after 1.2 s');
  expect(said('job', 'failed', { code: 'NonFiniteValue', message: 'a NaN' })).toBe(
    'warn job job-1 failed: a NaN [NonFiniteValue]',
  );
  expect(said('job', 'cancelled', {})).toBe('info job job-1 was cancelled');
  expect(said('job', 'resumed', { committed: 3 })).toBe('info job job-1 is resumed: 3 layers are committed');
  expect(said('layer', 'committed', { layer: 3 })).toBe('');
});
