/**
 * Whatever dies, wherever: the job succeeds, with the bytes of a quiet run, no layer committed twice, and every event
 * told once and in order, over NATS as well.
 *
 * One cluster of supervised processes runs a job for every failpoint: whoever comes past it first ends by SIGKILL and is
 * started again. Then jobs during which NATS dies, a write fails, and, as many as SECATEUR_KILL_RANDOM says, anybody dies
 * at a random moment; SECATEUR_KILL_SEED repeats a choice of victims and moments. `npm run test:kill` is the long form;
 * its table, and the file that SECATEUR_KILL_REPORT names, say what each disturbance cost.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import { FAILPOINTS, type FailpointAction, type FailpointName } from '../../shared/failpoint.ts';
import { TOKENS } from '../support/golden-tokens.ts';
import { flawsOf } from '../support/job-flaws.ts';
import { KillReport } from '../support/kill-report.ts';
import { findNatsServer } from '../support/nats-server.ts';
import { digestTree, type ManifestOptions } from '../support/secateur-process.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { type JobRun, type Side, SupervisedCluster } from '../support/supervised-cluster.ts';
import { LAYER_SIZE, writeWideVocabulary } from '../support/wide-vocabulary.ts';

const nats = await findNatsServer();
const withoutNats = nats.kind === 'none' ? ` (skipped: no nats-server: ${nats.why})` : '';
const randomKills = Number(process.env.SECATEUR_KILL_RANDOM ?? 6);
const seed = Number(process.env.SECATEUR_KILL_SEED ?? Date.now() % 1_000_000);

/** The long form: each write fails in both ways. */
const isLong = randomKills >= 30;
/** A failpoint that nobody comes past in so many jobs stands where nobody ever comes. */
const JOBS_MAX = 4;

/** One sees the files, the other goes through the coordinator. */
const WORKERS = { direct: ['--threads', '1'], remote: ['--threads', '1', '--storage', 'coordinator'] };
const COMMITTED = 'secateur.layer.committed.v1';

interface Point {
  readonly name: FailpointName;
  readonly side: Side;
  readonly moment: 'at once' | 'after a commit';
}

/** The journal is written to from the first moment on: its failpoints are armed in the middle of the job as well. */
const JOURNAL = /^coordinator\.journal-/;
/** Reached once in many jobs, and always again by a coordinator that was started again there: these have a journal of their own. */
const COMPACTION: readonly FailpointName[] = [
  'coordinator.journal-superseded',
  'coordinator.journal-compacted',
  'coordinator.journal-replaced',
];
/** Only where a worker is asked to leave: with tests of its own. */
const HAND_OVER: FailpointName = 'engine.hand-over-written';
/** Only of a method that needs Hessians: with a test of its own. */
const HESSIAN: FailpointName = 'engine.hessian-written';
/** Around each step of the outbox. */
const OUTBOX = (Object.keys(FAILPOINTS) as FailpointName[]).filter((name) =>
  /^coordinator\.(event|cursor)-/.test(name),
);
/** So long NATS, or the coordinator, is away while the others go on. */
const AWAY_MS = 300;
/** Passed for the first time before anything interesting has happened: armed only after that. */
const OFTEN =
  /^(storage\.|coordinator\.(event|cursor|result)-|agent\.|engine\.(task-begun|pass-microbatch|upload-sent-part))/;

function pointsOf(name: FailpointName): Point[] {
  const isStorage = name.startsWith('storage.');
  const sides: Side[] = isStorage
    ? ['coordinator', 'workers']
    : [name.startsWith('coordinator.') ? 'coordinator' : 'workers'];
  const usual = OFTEN.test(name) ? 'after a commit' : 'at once';
  const moments: Point['moment'][] = JOURNAL.test(name) ? ['at once', 'after a commit'] : [usual];
  return sides.flatMap((side) => moments.map((moment) => ({ name, side, moment })));
}

/**
 * What dies during one job. The long form: one at a time, so that the figures are of one cause. Else up to three: a worker,
 * and the coordinator early and late.
 */
function groups(): Point[][] {
  const names = (Object.keys(FAILPOINTS) as FailpointName[]).filter(
    (name) => !COMPACTION.includes(name) && name !== HAND_OVER && name !== HESSIAN,
  );
  const all = names.flatMap(pointsOf);
  const ofCoordinator = all.filter((point) => point.side === 'coordinator');
  const ofWorkers = all.filter((point) => point.side === 'workers');
  // In turn: a worker whose coordinator dies too often waits longer.
  if (isLong) return rows([ofCoordinator, ofWorkers]).flatMap((row) => row.map((point) => [point]));
  const half = Math.ceil(ofCoordinator.length / 2);
  return rows([ofCoordinator.slice(0, half), ofCoordinator.slice(half), ofWorkers]);
}

/** The first of each column, then the second of each, and so on until the longest ends. */
function rows<T>(columns: readonly (readonly T[])[]): T[][] {
  const count = Math.max(...columns.map((column) => column.length));
  return Array.from({ length: count }, (_, index) => columns.flatMap((column) => column.slice(index, index + 1)));
}

/** Durable steps at which a disk may be full or broken. */
const WRITES: readonly { readonly name: FailpointName; readonly side: Side }[] = [
  { name: 'coordinator.journal-unwritten', side: 'coordinator' },
  { name: 'coordinator.shard-copied-part', side: 'coordinator' },
  { name: 'coordinator.publish-prepared', side: 'coordinator' },
  { name: 'coordinator.publish-moved', side: 'coordinator' },
  { name: 'coordinator.cursor-unrenamed', side: 'coordinator' },
  { name: 'storage.atomic-unsynced', side: 'coordinator' },
  { name: 'storage.atomic-unsynced', side: 'workers' },
  { name: 'storage.staged-synced', side: 'coordinator' },
  { name: 'storage.staged-synced', side: 'workers' },
  { name: 'engine.linear-pruned', side: 'workers' },
];

/** In the work of the coordinator itself: one of each kind that is tried again. */
const EFFECTS: readonly FailpointName[] = [
  'coordinator.output-unclaimed',
  'coordinator.sums-reduced',
  'coordinator.shard-copied-part',
  'coordinator.publish-moved',
];

const NATS_DIES_AT = ['job.submitted', 'layer.calibrated', 'layer.committed', 'checkpoint.published'];

describe.skipIf(nats.kind === 'none')(`a job goes on whatever dies${withoutNats}`, () => {
  const report = new KillReport();
  let cluster: SupervisedCluster;
  let options: Partial<ManifestOptions>;
  let quiet: Record<string, string>;
  let quietBegun: number;
  let quietMs: number;

  beforeAll(async () => {
    if (nats.kind === 'none') return;
    cluster = await SupervisedCluster.start({ slowMs: 5, nats });
    await cluster.addWorkers(WORKERS);
    const source = cluster.bench.path('model');
    await writeWideVocabulary(source);
    // Two stages, so that hidden states are handed over.
    const calibration = { tokens: TOKENS, microbatch: 4 };
    options = { source, placement: { stages: 2 }, calibration, maxShardSize: LAYER_SIZE };
    const begunMs = performance.now();
    const run = await cluster.run(options);
    quietMs = performance.now() - begunMs;
    expect(run.job.phase, run.job.message).toBe('Succeeded');
    quiet = digestTree(run.output);
    quietBegun = run.begun;
    expect(flawsOf(run, quiet)).toEqual([]);
  });
  beforeEach(() => cluster.settle());
  afterEach(async () => {
    cluster.disarmAll();
    await cluster.cancelAll();
  });
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
    process.stdout.write(`\n${report.render()}\n`);
    report.write();
  });

  function judge(kind: string, point: string, atMs: number | null, run: JobRun, begun = quietBegun): void {
    expect(atMs, `nobody came past ${point}`).not.toBeNull();
    const flaws = flawsOf(run, quiet);
    report.add({ kind, point, atMs: atMs as number }, run, begun, flaws);
    expect(flaws).toEqual([]);
  }

  for (const group of groups()) {
    it(`SIGKILL at ${group.map(({ name, side, moment }) => `${name} of the ${side}, armed ${moment}`).join('; ')}`, async () => {
      const run = await runArmed(group, null);
      for (const { name, side } of group) {
        judge(`SIGKILL of ${victimOf(name, side)}`, `${name} ${side}`, cluster.firedAtMs(side, name), run);
      }
    });
  }

  it(`SIGKILL at ${COMPACTION.join(', ')}: the first job of a journal of its own`, async () => {
    await using fresh = await SupervisedCluster.start({ nats });
    await fresh.addWorkers({ direct: WORKERS.direct });
    for (const name of COMPACTION) fresh.arm('coordinator', name);
    const run = await fresh.run(options);
    for (const name of COMPACTION) judge('SIGKILL of coordinator', name, fresh.firedAtMs('coordinator', name), run);
  });

  for (const moment of NATS_DIES_AT) {
    it(`SIGKILL of NATS at ${moment}`, async () => {
      let restarted: Promise<void> | null = null;
      let atMs: number | null = null;
      const run = await cluster.run(options, (event) => {
        if (restarted !== null || !isFirst(event, `secateur.${moment}.v1`)) return;
        atMs = Date.now();
        restarted = restartNats();
      });
      await restarted;
      judge('SIGKILL of nats-server', moment, atMs, run);
    });
  }

  it.each(OUTBOX)('SIGKILL of NATS while the coordinator is at %s', async (name) => {
    let isArmed = false;
    const running = cluster.run(options, (event) => {
      if (isArmed || !isFirst(event, COMMITTED)) return;
      isArmed = true;
      cluster.arm('coordinator', name, 'PAUSE');
    });
    const { atMs } = await cluster.standsStill('coordinator', name);
    await cluster.nats?.kill();
    cluster.release('coordinator', name);
    await pause(AWAY_MS);
    await cluster.nats?.restart();
    judge('SIGKILL of nats-server', `${name} coordinator`, atMs, await running);
  });

  describe('while a worker leaves', () => {
    /** One stage for both, and many microbatches: each holds something to hand over. */
    const layout = { placement: {}, calibration: { tokens: TOKENS, microbatch: 1 } };
    let begun: number;
    beforeAll(async () => {
      const run = await cluster.run({ ...options, ...layout });
      expect(flawsOf(run, quiet)).toEqual([]);
      begun = run.begun;
    });

    /** One of two, in a job whose passes take long enough, is asked to leave after the second commit, and hands over. */
    async function judgeLeaving(
      kind: string,
      action: FailpointAction,
      disturb: (leaving: SupervisedCluster) => Promise<void>,
    ): Promise<void> {
      await using leaving = await SupervisedCluster.start({ nats, slowMs: 40 });
      await leaving.addWorkers(WORKERS);
      leaving.arm('workers', HAND_OVER, action);
      let isAsked = false;
      const running = leaving.run({ ...options, ...layout }, (event) => {
        if (isAsked || event.type !== COMMITTED || event.data.committed !== 2) return;
        isAsked = true;
        leaving.workers.get('direct')?.current.child.kill('SIGTERM');
      });
      const fired = action === null ? null : await leaving.standsStill('workers', HAND_OVER);
      await disturb(leaving);
      const run = await running;
      judge(kind, `${HAND_OVER} workers`, fired?.atMs ?? leaving.firedAtMs('workers', HAND_OVER), run, begun);
    }

    it('SIGKILL of an agent and its engine in the middle of a hand-over, after SIGTERM', async () => {
      await judgeLeaving('SIGKILL of a leaving worker', 'PAUSE', async (leaving) => {
        const engine = leaving.engineOf('direct');
        expect(leaving.fired('workers', HAND_OVER, 'PAUSE')?.processId).toBe(engine);
        leaving.workers.get('direct')?.kill();
        process.kill(engine as number, 'SIGKILL');
      });
    });

    it('SIGKILL of the engine alone in the middle of a hand-over, after SIGTERM', async () => {
      await judgeLeaving('SIGKILL of a leaving engine', null, async () => undefined);
    });

    it('SIGKILL of the coordinator while a worker hands over, after SIGTERM', async () => {
      await judgeLeaving('SIGKILL of coordinator in a hand-over', 'PAUSE', async (leaving) => {
        leaving.coordinator.kill();
        await pause(AWAY_MS);
        leaving.release('workers', HAND_OVER);
      });
    });
  });

  it('SIGKILL of an engine that has written Hessians, and of an agent while others are measured', async () => {
    const pruning = { method: 'sparsegpt', sparsity: 0.5 };
    const undisturbed = await cluster.run({ ...options, pruning });
    const expected = digestTree(undisturbed.output);
    expect(flawsOf(undisturbed, expected)).toEqual([]);
    cluster.arm('workers', HESSIAN);
    let isKilled = false;
    const run = await cluster.run({ ...options, pruning }, (event) => {
      if (isKilled || event.type !== 'secateur.layer.calibrated.v1' || event.data.layer !== 1) return;
      isKilled = true;
      cluster.workers.get('remote')?.kill();
    });
    const atMs = cluster.firedAtMs('workers', HESSIAN);
    expect(atMs, `nobody came past ${HESSIAN}`).not.toBeNull();
    const flaws = flawsOf(run, expected);
    report.add(
      { kind: 'SIGKILL of engine', point: `${HESSIAN} workers`, atMs: atMs as number },
      run,
      undisturbed.begun,
      flaws,
    );
    expect(flaws).toEqual([]);
  });

  for (const [index, { name, side }] of WRITES.entries()) {
    const errnos = ['EIO', 'ENOSPC'] as const;
    for (const errno of isLong ? errnos : errnos.slice(index % 2, (index % 2) + 1)) {
      it(`${errno} at ${name} of the ${side}: the job succeeds, or says what is wrong and can be resumed`, async () => {
        let run = await runArmed([{ name, side, moment: pointsOf(name).at(-1)?.moment ?? 'at once' }], errno);
        if (run.job.phase === 'Failed') {
          expect(run.job.failure?.code).toBe(errno === 'ENOSPC' ? 'StorageFull' : 'StorageFailed');
          expect(run.job.failure?.message).toContain(name);
          run = await cluster.resume(run);
        }
        judge(errno, `${name} ${side}`, cluster.firedAtMs(side, name, errno), run);
      });
    }
  }

  it.each(EFFECTS)('EIO at %s: what the coordinator does by itself is tried again', async (name) => {
    const run = await runArmed([{ name, side: 'coordinator', moment: 'at once' }], 'EIO');
    judge('EIO', `${name} coordinator`, cluster.firedAtMs('coordinator', name, 'EIO'), run);
    const tried = run.told.filter(({ type }) => type === 'secateur.job.effectFailed.v1').map(({ data }) => data);
    expect(tried).toMatchObject([{ failures: 1, code: 'StorageFailed', message: expect.stringContaining(name) }]);
  });

  const random = seededRandom(seed);
  for (let index = 0; index < randomKills; index++) {
    const victim = ['coordinator', 'agent', 'engine', 'nats-server'][Math.floor(random() * 4)] as string;
    const worker = random() < 0.5 ? 'direct' : 'remote';
    const share = random();
    it(`SIGKILL of ${victim === 'agent' || victim === 'engine' ? `the ${victim} of ${worker}` : victim} at ${share.toFixed(3)} of the job, ${index + 1} of seed ${seed}`, async () => {
      const running = cluster.run(options);
      await pause(share * quietMs);
      const atMs = Date.now();
      await kill(victim, worker);
      judge(`random SIGKILL of ${victim}`, `${victim} at ${share.toFixed(3)}`, atMs, await running);
    });
  }

  /** Who gets which task is not settled in advance: a job in which nobody came past a failpoint is followed by another. */
  async function runArmed(group: readonly Point[], errno: 'EIO' | 'ENOSPC' | null): Promise<JobRun> {
    for (let jobs = 1; ; jobs++) {
      const waiting = group.filter(({ name, side }) => cluster.firedAtMs(side, name, errno) === null);
      const arm = (moment: Point['moment']): void => {
        for (const point of waiting) if (point.moment === moment) cluster.arm(point.side, point.name, errno);
      };
      arm('at once');
      const run = await cluster.run(options, (event) => {
        if (isFirst(event, COMMITTED)) arm('after a commit');
      });
      const haveAllFired = group.every(({ name, side }) => cluster.firedAtMs(side, name, errno) !== null);
      if (haveAllFired || jobs === JOBS_MAX) return run;
      expect(flawsOf(run, quiet)).toEqual([]);
    }
  }

  async function restartNats(): Promise<void> {
    await cluster.nats?.kill();
    await cluster.nats?.restart();
  }

  async function kill(victim: string, worker: string): Promise<void> {
    const engine = cluster.engineOf(worker);
    if (victim === 'nats-server') await restartNats();
    else if (victim === 'coordinator') cluster.coordinator.kill();
    else if (victim === 'engine' && engine !== undefined) process.kill(engine, 'SIGKILL');
    else cluster.workers.get(worker)?.kill();
  }
});

function victimOf(name: FailpointName, side: Side): string {
  const [where = ''] = name.split('.');
  return where === 'storage' ? { coordinator: 'coordinator', workers: 'engine' }[side] : where;
}

function isFirst(event: CloudEvent, type: string): boolean {
  return event.type === type && (event.data.committed === undefined || event.data.committed === 1);
}
