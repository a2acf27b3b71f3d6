/** What each worker did when: few spans, and no task left out of them. */
import { describe, expect, it } from 'vitest';
import type { TaskOutcome } from '../../../coordinator/core/events.ts';
import type { JobState, Lease, Span } from '../../../coordinator/core/state.ts';
import type { TaskSpec } from '../../../coordinator/core/task.ts';
import { type LeaseEnd, noteLease } from '../../../coordinator/core/timeline.ts';

const job = (workers: number): JobState =>
  ({ workersSeen: Object.fromEntries(Array.from({ length: workers }, (_, index) => [`w${index}`, {}])) }) as JobState;

const pass = (layer: number): TaskSpec =>
  ({ kind: 'pass', stage: 0, layer, statistics: true, hidden: false }) as unknown as TaskSpec;

function note(state: JobState, spec: TaskSpec, leasedMs: number, nowMs: number, end: LeaseEnd = 'done'): void {
  noteLease(state, { worker: 'w0', spec, leasedMs } as unknown as Lease, end, nowMs);
}

const total = (spans: readonly Span[], of: 'tasks' | 'busyMs' | 'failed' | 'lost'): number =>
  spans.reduce((sum, span) => sum + (span[of] ?? 0), 0);

describe('the timeline of a worker', () => {
  it('has one span for tasks of a kind at a layer that follow one another, and says what came of them', () => {
    const state = job(1);
    note(state, pass(0), 0, 10);
    note(state, pass(0), 12, 20, 'failed');
    note(state, pass(1), 20, 30);
    note(state, { kind: 'prune', stage: 0, layer: 1 }, 30, 31, 'lost');
    note(state, { kind: 'prepareCalibration' }, 40, 41);
    expect(state.timeline?.w0).toEqual([
      { kind: 'calibrate', layers: [0, 0], fromMs: 0, toMs: 20, busyMs: 18, tasks: 2, failed: 1 },
      { kind: 'calibrate', layers: [1, 1], fromMs: 20, toMs: 30, busyMs: 10, tasks: 1 },
      { kind: 'prune', layers: [1, 1], fromMs: 30, toMs: 31, busyMs: 1, tasks: 1, lost: 1 },
      { kind: 'prepare', fromMs: 40, toMs: 41, busyMs: 1, tasks: 1 },
    ]);
  });

  it('says what of a task its worker computed, and what it read and wrote, joined as well', () => {
    const state = job(1);
    const lease = (spec: TaskSpec, leasedMs: number) => ({ worker: 'w0', spec, leasedMs }) as unknown as Lease;
    const spent = { computeMs: 6, loadMs: 2, snapshotMs: 1, bytesRead: 0, peakResidentBytes: 0 };
    const passed = { kind: 'pass', spent } as unknown as TaskOutcome;
    noteLease(state, lease(pass(0), 0), 'done', 10, passed);
    noteLease(state, lease(pass(0), 10), 'done', 20, passed);
    const pruned = { kind: 'prune', pruneMs: 3, commitMs: 4 } as unknown as TaskOutcome;
    noteLease(state, lease({ kind: 'prune', stage: 0, layer: 0 }, 20), 'done', 30, pruned);
    expect(state.timeline?.w0).toMatchObject([
      { kind: 'calibrate', busyMs: 20, computeMs: 12, ioMs: 6 },
      { kind: 'prune', busyMs: 10, computeMs: 3, ioMs: 4 },
    ]);
  });

  it.each([
    [1, 8_192],
    [100, 81],
    [5_000, 16],
  ])('of one of %d workers has at most %d spans however long the job, every task in them', (workers, spansMax) => {
    const state = job(workers);
    const tasks = 20_000;
    for (let task = 0; task < tasks; task++) {
      note(
        state,
        pass(task % 80),
        10 * task,
        10 * task + 5,
        task % 10 === 0 ? 'failed' : task % 10 === 1 ? 'lost' : 'done',
      );
      expect(state.timeline?.w0?.length).toBeLessThanOrEqual(spansMax);
    }
    const spans = state.timeline?.w0 ?? [];
    expect(spans.length).toBeGreaterThanOrEqual(spansMax / 2 - 1);
    expect(['tasks', 'busyMs', 'failed', 'lost'].map((of) => total(spans, of as 'tasks'))).toEqual([
      tasks,
      5 * tasks,
      tasks / 10,
      tasks / 10,
    ]);
    for (const [index, span] of spans.entries()) {
      expect(span.fromMs).toBeGreaterThanOrEqual(spans[index - 1]?.toMs ?? 0);
    }
  });

  it('belongs to whoever has the name, whatever the name', () => {
    const state = job(1);
    noteLease(state, { worker: '__proto__', spec: pass(0), leasedMs: 0 } as unknown as Lease, 'done', 1);
    expect(Object.keys(state.timeline ?? {})).toEqual(['__proto__']);
  });
});
