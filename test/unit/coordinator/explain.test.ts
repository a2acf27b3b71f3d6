/** Every state that a user can get a job into says what is needed, what is there, and since when. */
import { describe, expect, it } from 'vitest';
import { ProgressTracker } from '../../../coordinator/api/progress.ts';
import { StatusChanges } from '../../../coordinator/api/status-changes.ts';
import type { Command, CoreEvent, TaskIdentity } from '../../../coordinator/core/events.ts';
import { explainWorker } from '../../../coordinator/core/explain.ts';
import { type CoordinatorState, INITIAL_STATE, type JobState, workerOf } from '../../../coordinator/core/state.ts';
import { step } from '../../../coordinator/core/step.ts';
import { fakeIntake, fakeManifest } from '../../simulation/cluster.ts';

const START_MS = Date.UTC(2026, 0, 1);

/** The real core, told what happens second by second. */
class Told {
  state: CoordinatorState = INITIAL_STATE;
  nowMs = START_MS;
  betweenMs = 1_000;
  commands: readonly Command[] = [];

  tell(event: CoreEvent): void {
    this.nowMs += this.betweenMs;
    const result = step(this.state, event, this.nowMs);
    this.state = result.state;
    this.commands = result.commands;
  }

  submit(job: string): void {
    // One replica: the other workers may digest the source meanwhile.
    const base = fakeManifest({ propagate: 'pruned', stages: 1, replicas: 1 });
    const output = { ...base.spec.output, destination: `file:///${job}` };
    const manifest = { ...base, spec: { ...base.spec, output } };
    this.tell({ type: 'jobSubmitted', job, namespace: 'default', name: job, manifest });
  }

  attach(worker: string, version = '0.1.0', tasks: readonly TaskIdentity[] = []): void {
    const capabilities = { host: 'h', processId: 1, provider: 'cpu', threads: 1, memoryBytes: 1 } as const;
    const figures = {
      storageReadBytesPerSecond: 0,
      storageWriteBytesPerSecond: 0,
      computeFlops: 0,
      deviceMemoryBytes: 0,
    };
    this.tell({
      type: 'workerAttached',
      worker,
      incarnation: '1',
      capabilities: { ...capabilities, ...figures, version, engineVersion: '1.30.0' },
      tasks,
      holdings: [],
    });
  }

  intake(job: string): void {
    this.tell({ type: 'intakeSucceeded', job, life: this.job(job).resumes, intake: fakeIntake(2) });
  }

  failTask(code: 'StorageFull', message: string): void {
    const lease = Object.values(this.job('a').leases)[0];
    if (lease === undefined) throw new Error('no lease');
    const { task, attempt, epoch, worker } = lease;
    const failure = { code, message, details: {}, retryable: true };
    this.tell({
      type: 'taskFailed',
      worker,
      identity: { job: 'a', task, attempt, epoch },
      failure,
      holdings: null,
    });
  }

  job(id: string): JobState {
    return this.state.jobs[id] as JobState;
  }

  get said(): string {
    const { phase, reason, message } = this.job('a');
    return `${phase} ${reason}: ${message}`;
  }

  does(worker: string): string {
    const known = workerOf(this.state, worker);
    return known === undefined ? 'unknown' : explainWorker(this.state, known);
  }
}

function planned(): Told {
  const told = new Told();
  told.submit('a');
  told.intake('a');
  return told;
}

describe('a job says', () => {
  it('that it needs a worker where there is none, and since when', () => {
    const told = planned();
    expect(told.said).toBe('Planning WaitingForWorker: needs one worker that takes tasks; there: none');
    const { sinceMs } = told.job('a');
    told.tell({ type: 'tick' });
    expect(told.job('a').sinceMs).toBe(sinceMs);
  });

  it('that the workers there are drain', () => {
    const told = new Told();
    told.attach('w1');
    told.tell({ type: 'workerDraining', worker: 'w1' });
    told.submit('a');
    told.intake('a');
    expect(told.said).toBe('Planning WaitingForWorker: needs one worker that takes tasks; there: w1 draining');
    expect(told.does('w1')).toBe('drains: takes no new work');
  });

  it('what it runs and where, and of many only some', () => {
    const told = planned();
    for (let n = 1; n <= 2; n++) told.attach(`w${n}`);
    expect(told.said).toMatch(/^Preparing Running: \S+ on w\d, \S+ on w\d$/);
    expect(told.does('w1')).toMatch(/^runs \S+$/);
  });

  it('which engine says nothing, about what, since when, and when it is ended', () => {
    const told = planned();
    told.attach('w1');
    const [lease] = Object.values(told.job('a').leases);
    if (lease === undefined) throw new Error('no lease');
    const { task, attempt, epoch } = lease;
    const silence = (worker: string, silentMs: number, of: number = attempt): void => {
      const identity = { job: 'a', task, attempt: of, epoch };
      told.tell({ type: 'engineSilence', worker, identity, silentMs, silentMaxMs: 900_000 });
    };
    const { state } = told;
    // Of another worker, of another attempt: nothing that counts.
    silence('w2', 7_000);
    silence('w1', 7_000, attempt + 1);
    expect(told.state).toBe(state);
    expect(told.said).toMatch(/^Preparing Running: /);
    told.nowMs = START_MS + 20_000 - told.betweenMs;
    silence('w1', 7_000);
    const words = 'engine has said nothing since 2026-01-01T00:00:13Z and is ended at 2026-01-01T00:15:13Z';
    expect(told.said).toBe(
      `Preparing EngineSilent: needs a word of an engine that runs a task; there: ${task} on w1, whose ${words}`,
    );
    expect(told.does('w1')).toBe(`runs ${task}; its ${words}`);
    expect(new ProgressTracker().of(told.job('a'), told.nowMs).remainingMs).toBe(-1);
    silence('w1', 0);
    expect(told.said).toMatch(/^Preparing Running: /);
    // A stream that was down for a moment changes nothing about it.
    silence('w1', 9_000);
    told.attach('w1', '0.1.0', [{ job: 'a', task, attempt, epoch }]);
    expect(told.said).toMatch(/^Preparing EngineSilent: /);
  });

  it('who is away, since when, and when its work is given to another', () => {
    const told = planned();
    told.attach('w1');
    told.attach('w2');
    told.tell({ type: 'workerDetached', worker: 'w1', incarnation: '1', leaving: false });
    expect(told.said).toMatch(
      /^Preparing Running: \S+ on w1 \(away\), \S+ on w2$|^Preparing Running: \S+ on w2, \S+ on w1 \(away\)$/,
    );
    const lost = planned();
    lost.attach('w1');
    lost.tell({ type: 'workerDetached', worker: 'w1', incarnation: '1', leaving: false });
    expect(lost.said).toMatch(
      /^Preparing WorkerAway: needs its workers back, or others; there: w1 away since 2026-01-01T00:00:04Z\. .* at 2026-01-01T00:00:10Z\.$/,
    );
    expect(lost.does('w1')).toMatch(/^no stream; .* at 2026-01-01T00:00:10Z\. \S+ is given to another then\.$/);
    lost.tell({ type: 'cancelRequested', job: 'a' });
    lost.tell({ type: 'resumeRequested', job: 'a' });
    lost.intake('a');
    expect(lost.said).toMatch(/WorkerAway: needs its workers back, or others; there: w1 away since/);
    expect(lost.does('w1')).toBe('no stream; it is forgotten at 2026-01-01T00:00:10Z.');
  });

  it('that it tries again, why, and when', () => {
    const told = planned();
    told.attach('w1');
    // All that it could run fails within the pause before the first of them is tried again.
    told.betweenMs = 100;
    while (Object.keys(told.job('a').leases).length > 0) told.failTask('StorageFull', '/out is full');
    expect(told.said).toMatch(
      /^Preparing WaitingToRetry: \S+ failed once, last on w1 \(StorageFull: \/out is full\); needs another attempt, at 2026-01-01T00:00:\d\dZ; there: w1 attached$/,
    );
    expect(told.does('w1')).toBe('idle: job a is Preparing (WaitingToRetry); no task is ready');
  });

  it('why a worker that could work is idle', () => {
    const told = planned();
    told.attach('w1');
    told.attach('w2');
    const base = told.job('a');
    const sharing = (shares: Record<string, [number, number][]>, over: Partial<JobState> = {}): void => {
      const stages = [{ firstLayer: 0, layerCount: 1, shares }];
      const job = { ...base, phase: 'Pruning' as const, leases: {}, stages, shunnedUntilMs: {}, ...over };
      told.state = { ...told.state, jobs: { a: job } };
    };
    sharing({ w2: [[0, 4]] }, { plan: { ...(base.plan as NonNullable<JobState['plan']>), replicasMax: null } });
    expect(told.does('w1')).toMatch(/^idle: it has no share of job a yet; it is given one at the next layer boundary/);
    expect(told.does('w2')).toMatch(/^idle: its share of job a is done as far as it can be; it waits for the others/);
    sharing({ w2: [[0, 4]] });
    expect(told.does('w1')).toBe(
      'idle: every stage of job a has its 1 replicas; it takes the place of one that leaves',
    );
    sharing({ w2: [[0, 4]] }, { shunnedUntilMs: { w1: 1_767_225_630_000 } });
    expect(told.does('w1')).toMatch(
      /^idle: a task of job a failed on it; others are preferred until 2026-01-01T00:00:30Z/,
    );
  });

  it('that only workers of another version are there', () => {
    const told = planned();
    const committed = { ...told.job('a'), phase: 'Pruning' as const, stages: [], retries: {} };
    committed.layers = [{ status: 'committed', worker: 'w0' } as JobState['layers'][number]];
    committed.versions = { version: '0.0.9', engineVersion: '1.22.0', provider: 'cpu' };
    told.state = { ...told.state, jobs: { a: committed } };
    told.attach('w1');
    expect(told.said).toContain('Pruning WaitingForVersion: needs a worker of the version that it was begun with');
    expect(told.said).toContain('secateur version was 0.0.9, is 0.1.0; engine version was 1.22.0, is 1.30.0');
    expect(told.said).toContain('there: w1 attached');
    expect(told.does('w1')).toBe('idle: job a was begun with other versions than its 0.1.0, engine 1.30.0');
  });

  it('whom it waits for in the queue, and how many are before it', () => {
    const told = planned();
    told.submit('b');
    told.submit('c');
    expect(told.job('b').message).toBe('needs the workers, one job at a time; there: job a has them (Planning)');
    told.attach('w1');
    expect(told.job('c').message).toBe(
      'needs the workers, one job at a time; there: job a has them (Preparing), and 1 more before it',
    );
  });

  it('nothing new while nothing happens: a tick fills no journal', () => {
    const told = planned();
    told.submit('b');
    told.attach('w1');
    told.tell({ type: 'workerDetached', worker: 'w1', incarnation: '1', leaving: false });
    const before = told.state;
    told.tell({ type: 'tick' });
    expect(told.state).toBe(before);
  });
});

describe('a watcher is told', () => {
  const at = (reason: string, message = '', phase = 'Pruning') => ({ phase, reason, message, sinceMs: 1 }) as JobState;

  it('at once where the job is, and a change when it has stayed for a second', () => {
    const changes = new StatusChanges();
    expect(changes.next(at('Running', 'a on w1'), 0)).toMatchObject({ reason: 'Running' });
    expect(changes.next(at('Running', 'b on w1'), 500)).toBeNull();
    expect(changes.next(at('WaitingForWorker'), 1_000)).toBeNull();
    expect(changes.next(at('Running'), 1_500)).toBeNull();
    expect(changes.next(at('WaitingForWorker'), 2_000)).toBeNull();
    expect(changes.next(at('WaitingForWorker'), 2_500)).toBeNull();
    expect(changes.next(at('WaitingForWorker'), 3_000)).toMatchObject({ reason: 'WaitingForWorker' });
    expect(changes.next(at('WaitingForWorker'), 9_000)).toBeNull();
  });

  it('that work goes on again, also where the reason changes with every task', () => {
    const changes = new StatusChanges();
    changes.next(at('WaitingForWorker'), 0);
    const told = [];
    for (let ms = 500; ms < 5_000; ms += 500) {
      told.push(changes.next(at(ms % 1_000 === 0 ? 'Running' : 'ReducingStatistics'), ms));
    }
    expect(told.filter((each) => each !== null)).toHaveLength(1);
  });
});
