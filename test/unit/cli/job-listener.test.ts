import { describe, expect, it } from 'vitest';
import { listenerFor } from '../../../cli/render/job-listener.ts';
import type { CloudEvent } from '../../../shared/events/cloud-event.ts';

/** What is written to a terminal, or to a file, of the events and outages of a job. */
function written(isTTY: boolean): string {
  let text = '';
  const stream = { isTTY, columns: 80, write: (chunk: string) => (text += chunk) };
  const listener = listenerFor(stream as unknown as NodeJS.WriteStream);
  const event = {
    type: 'secateur.job.planned.v1',
    time: '2026-01-31T23:59:59.007Z',
    sequence: '0000000002',
    data: { layers: 4, warnings: ['the text is \u001B[31mshort'] },
  } as unknown as CloudEvent;
  listener.event(event, '');
  listener.away('nobody listens');
  listener.back();
  return text;
}

describe('who follows a job', () => {
  it('on a terminal is told of what its plan warns of, and nothing steers the terminal', () => {
    expect(written(true)).toContain('warning: the text is \uFFFD[31mshort\n');
    expect(written(false)).toMatch(/job\.planned {2}layers=4 warnings=\[the text is \uFFFD\[31mshort\]/);
  });

  it.each([true, false])('is told when the coordinator goes, and when it is back (terminal: %s)', (isTTY) => {
    expect(written(isTTY)).toMatch(
      /the coordinator is away, trying again: nobody listens\n[^\n]*the coordinator is back\n/,
    );
  });
});
