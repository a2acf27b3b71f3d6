/** Tables, units, the progress line, an event's line: all pure functions to text. */
import { describe, expect, it } from 'vitest';
import { describeEvent } from '../../../cli/render/event-line.ts';
import { jobView, renderJob } from '../../../cli/render/job-view.ts';
import { drawProgress } from '../../../cli/render/progress-line.ts';
import { renderFields, renderTable } from '../../../cli/render/table.ts';
import { formatVerifyCommand } from '../../../cli/run/shell-commands.ts';
import { logLine } from '../../../cli/text-log.ts';
import type { JsonObject } from '../../../shared/events/job-event.ts';
import type { Job__Output } from '../../../shared/rpc/generated/secateur/v1/Job.ts';
import { showBytes, showCount, showDuration, showShare, showShort } from '../../../shared/units.ts';

describe('units', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '0.98 KiB'],
    [1536, '1.50 KiB'],
    [130_000_000_000, '121.1 GiB'],
  ])('shows %d bytes as %s', (sizeBytes, shown) => expect(showBytes(sizeBytes)).toBe(shown));

  it.each([
    [-5, '0 ms'],
    [830, '830 ms'],
    [12_340, '12.3 s'],
    [59_990, '1m 00s'],
    [245_000, '4m 05s'],
    [7_620_000, '2h 07m'],
    [273_600_000, '3d 04h'],
  ])('shows %d ms as %s', (durationMs, shown) => expect(showDuration(durationMs)).toBe(shown));

  it('shows rates short, counts exact and shares as percent', () => {
    expect([0.5, 850, 12_345, 4_560_000].map(showShort)).toEqual(['0.5', '850', '12.3k', '4.56M']);
    expect(showCount(12_582_912)).toBe('12 582 912');
    expect(showShare(0.5)).toBe('50.00 %');
  });
});

describe('tables', () => {
  it('line their columns up, numbers on the right, without blanks at the end', () => {
    const columns = [
      { title: 'NAME', value: (row: { name: string; size: number }) => row.name },
      { title: 'SIZE', value: (row: { name: string; size: number }) => String(row.size), align: 'right' as const },
    ];
    expect(
      renderTable(columns, [
        { name: 'a', size: 5 },
        { name: 'long', size: 12345 },
      ]),
    ).toBe('NAME   SIZE\na         5\nlong  12345');
    expect(renderTable(columns, [])).toBe('NAME  SIZE');
  });

  it('let no control character of a value steer the terminal', () => {
    expect(renderFields([['message', 'red\u001B[31m\r!\nsecond']])).toBe(
      'message  red\uFFFD[31m\uFFFD!\n         second',
    );
  });
});

describe('the progress line', () => {
  const progress = {
    layersCommitted: 12,
    layerCount: 80,
    workDone: 173,
    workTotal: 1000,
    tokensPerSecond: 12_345,
    remainingMs: 245_000,
    activity: 'prune-00012',
  };

  it('shows layer, bar, share, speed, time left and what runs', () => {
    expect(drawProgress(progress, 100)).toBe(
      'layer 12/80  [##--------------]  17.3 %  12.3k tokens/s  ETA 4m 05s  prune-00012',
    );
  });

  it('leaves out what is not known yet', () => {
    const unknown = { ...progress, layerCount: 0, workTotal: 0, tokensPerSecond: 0, remainingMs: -1 };
    expect(drawProgress({ ...unknown, activity: 'reads the headers' }, 100)).toBe('reads the headers');
  });

  it('is never wider than the terminal, and gives the bar up first', () => {
    for (let width = 1; width < 120; width++) expect(drawProgress(progress, width).length).toBeLessThanOrEqual(width);
    expect(drawProgress(progress, 60)).not.toContain('[');
  });

  it('is full only when all is done', () => {
    expect(drawProgress({ ...progress, workDone: 999.99 }, 100)).toContain('-]  99.9 %');
    expect(drawProgress({ ...progress, workDone: 1000 }, 100)).toContain('#]  100.0 %');
  });
});

describe('an event as a line', () => {
  const line = (data: JsonObject): string =>
    describeEvent({
      specversion: '1.0',
      id: 'job-1:42',
      source: '/secateur/default/job-1',
      type: 'secateur.layer.calibrated.v1',
      subject: 'layer',
      time: '2026-01-31T23:59:59.007Z',
      datacontenttype: 'application/json',
      sequence: '0000000042',
      data,
    });

  it('shows the speed of each worker, and no number longer than anybody reads', () => {
    const worker = (name: string) => ({ worker: name, tokens: 51_200, computeMs: 593.278, tokensPerSecond: 86_303.2 });
    const shown = '{worker=w1 tokens=51200 computeMs=593ms tokensPerSecond=86.3k}';
    expect(line({ share: 0.12345678, workers: [worker('w1')] })).toMatch(
      new RegExp(`share=0.123 workers=\\[${shown}\\]$`),
    );
    expect(line({ workers: Array.from({ length: 40 }, () => worker('w1')) })).toMatch(/\}, 32 more\]$/);
  });

  it('numbers a lease as a lease: as an attempt it would be the eleventh of its task', () => {
    expect(line({ task: 'prune-00012', attempt: 11 })).toMatch(/task=prune-00012 lease=11$/);
  });

  it('keeps details and warnings whole, and cuts other long texts', () => {
    const long = 'x'.repeat(100);
    expect(line({ details: { file: long }, warnings: [long] })).toMatch(
      new RegExp(`details={file=${long}} warnings=\\[${long}\\]$`),
    );
    expect(line({ destination: long })).toMatch(/x…$/);
  });

  it('has time, number, name and data, with units, and keeps messages whole', () => {
    const line = describeEvent({
      specversion: '1.0',
      id: 'job-1:42',
      source: '/secateur/default/job-1',
      type: 'secateur.task.failed.v1',
      subject: 'task/prune-00012',
      time: '2026-01-31T23:59:59.007Z',
      datacontenttype: 'application/json',
      sequence: '0000000042',
      data: { epoch: 3, task: 'prune-00012', sizeBytes: 1536, elapsedMs: 830, message: 'm'.repeat(80) },
    });
    expect(line).toBe(
      `23:59:59  #42  task.failed  task=prune-00012 sizeBytes=1.50KiB elapsedMs=830ms message=${'m'.repeat(80)}`,
    );
  });
});

describe('a job', () => {
  const job = {
    id: 'job-1',
    namespace: 'default',
    destination: 'file:///out',
    phase: 'Failed',
    reason: 'SourceChanged',
    message: 'the model has changed',
    failure: { code: 'SourceChanged', message: 'the model has changed', detailsJson: '{}' },
    endedMs: 0,
    progress: { layersCommitted: 0, layerCount: 4, remainingMs: -1 },
    manifestJson: '',
    planJson: '',
    stages: [],
    submittedMs: 0,
    sinceMs: 0,
  } as unknown as Job__Output;

  it('that has failed says why once', () => {
    expect(renderJob(job, 0).match(/the model has changed/g)).toHaveLength(1);
  });

  it('has null, as data, where there is nothing to say yet', () => {
    expect(jobView(job)).toMatchObject({ endedMs: null, progress: { remainingMs: null, layerCount: 4 } });
    expect(jobView({ ...job, endedMs: 5 })).toMatchObject({ endedMs: 5 });
  });
});

describe('other lines', () => {
  it('give the verify command so that a shell takes it', () => {
    expect(formatVerifyCommand('/out/a b', "/models/it's")).toBe(
      "npx secateur verify '/out/a b' --source '/models/it'\\''s'",
    );
  });

  it('give a log line its time, level and fields', () => {
    expect(logLine(0, 'warn', 'away', { worker: 'w1', attempt: 2, job: undefined })).toBe(
      '1970-01-01T00:00:00.000Z warn  away worker=w1 attempt=2\n',
    );
  });
});
