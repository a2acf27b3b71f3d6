/** What a job takes over from an earlier one: nothing is computed twice, and nothing is taken over that is not the same. */
import { describe, expect, it } from 'vitest';
import type { Command, CoreEvent, TaskFailure, TaskOutcome } from '../../../coordinator/core/events.ts';
import {
  type CoordinatorState,
  type HessianPart,
  type HiddenStates,
  INITIAL_STATE,
  type JobIntake,
  type JobState,
  type ReusedCopies,
  type WorkerCapabilities,
} from '../../../coordinator/core/state.ts';
import { step } from '../../../coordinator/core/step.ts';
import type { PassSpec, TaskSpec } from '../../../coordinator/core/task.ts';
import type { JobEvent } from '../../../shared/events/job-event.ts';
import type { Manifest } from '../../../shared/manifest/schema.ts';
import { countOf, membersOf } from '../../../shared/microbatch-set.ts';
import { intakeOf, manifestOf } from '../../simulation/model.ts';

const LAYERS = 3;
const WINDOWS = 4;
const SPARSEGPT = { method: 'sparsegpt' } as const;
const stored = (name: string) => ({ name, sizeBytes: 1, sha256: name });

interface JobOptions {
  readonly reuse?: string;
  readonly isReusable?: false;
  readonly keepsHessians?: true;
  readonly propagate?: 'pruned' | 'dense';
  readonly spec?: Partial<Manifest['spec']>;
  readonly pruning?: object;
  readonly intake?: Partial<JobIntake>;
  readonly copies?: ReusedCopies | null;
  /** What goes wrong with a task, the first time that it does; null: nothing. */
  readonly fails?: (spec: TaskSpec) => Partial<TaskFailure> | null;
}

/** The real core with one worker that does at once what it is told. */
class Story {
  state: CoordinatorState = INITIAL_STATE;
  readonly events: JobEvent[] = [];
  readonly dropped: string[] = [];
  readonly removed: string[] = [];
  readonly tasks = new Map<string, TaskSpec[]>();
  readonly journal: { event: CoreEvent; atMs: number }[] = [];
  private nowMs = 1_000;
  private readonly commands: Command[] = [];
  private options: JobOptions = {};
  private hasFailed = false;
  private held: HiddenStates[] = [];

  take(event: CoreEvent): void {
    this.nowMs += 1;
    const result = step(this.state, event, this.nowMs);
    this.journal.push({ event, atMs: this.nowMs });
    this.state = result.state;
    this.events.push(...result.events);
    this.commands.push(...result.commands);
  }

  attach(version = '1'): void {
    const capabilities = { host: 'h', processId: 1, provider: 'cpu', threads: 1, memoryBytes: 1e9, version } as const;
    const rates = {
      storageReadBytesPerSecond: 0,
      storageWriteBytesPerSecond: 0,
      computeFlops: 0,
      deviceMemoryBytes: 0,
    };
    this.take({
      type: 'workerAttached',
      worker: 'w',
      incarnation: version,
      capabilities: { ...capabilities, ...rates, engineVersion: '1' } satisfies WorkerCapabilities,
      tasks: [],
      holdings: [],
    });
  }

  /** Submits a job and lets everything run its course. */
  run(id: string, options: JobOptions = {}): JobState {
    this.options = options;
    this.hasFailed = false;
    this.held = [];
    const { propagate = 'dense', reuse, isReusable = true, keepsHessians } = options;
    const model = {
      samples: 4,
      microbatch: 1,
      propagate,
      stages: 1,
      replicas: 1,
      snapshotInterval: LAYERS,
      texts: 2,
      method: 'wanda' as const,
    };
    const { spec, ...rest } = manifestOf(model, { name: id, shardBytesMax: 1_000 });
    const output = { ...spec.output, destination: `file:///${id}` };
    const pruning = { ...spec.pruning, ...options.pruning };
    const manifest = { ...rest, spec: { ...spec, output, ...options.spec, pruning } };
    this.take({
      type: 'jobSubmitted',
      job: id,
      namespace: 'default',
      name: id,
      manifest,
      ...(reuse === undefined ? {} : { reuse }),
      ...(isReusable ? { isReusable } : {}),
      ...(keepsHessians === undefined ? {} : { keepsHessians }),
    });
    for (let command = this.commands.shift(); command !== undefined; command = this.commands.shift())
      this.carryOut(command);
    expect(this.job(id).phase, this.job(id).message).toBe('Succeeded');
    return this.job(id);
  }

  job(id: string): JobState {
    return this.state.jobs[id] as JobState;
  }

  told(id: string, verb: string): JobEvent['data'] | undefined {
    return this.events.find((event) => event.job === id && event.verb === verb)?.data;
  }

  passes(id: string): PassSpec[] {
    return (this.tasks.get(id) ?? []).filter((spec) => spec.kind === 'pass');
  }

  /** What was told of an entity of the job, each once, in the order of its first time. */
  verbs(id: string, entity: string): string[] {
    return [
      ...new Set(this.events.filter((each) => each.job === id && each.entity === entity).map(({ verb }) => verb)),
    ];
  }

  kinds(id: string): Set<string> {
    return new Set(
      (this.tasks.get(id) ?? []).map((spec) => (spec.kind === 'evaluate' ? `evaluate ${spec.weights}` : spec.kind)),
    );
  }

  private carryOut(command: Command): void {
    if (command.kind === 'dropKept') this.dropped.push([command.job, command.only].join(' ').trim());
    if (command.kind === 'removeStaged') this.removed.push(...command.names);
    if (!('job' in command) && command.kind !== 'assign') return;
    switch (command.kind) {
      case 'intake': {
        const intake = { ...intakeOf({ layers: LAYERS, texts: 2 }), ...this.options.intake };
        const copies = this.options.copies === undefined ? this.copies() : this.options.copies;
        const about = { type: 'intakeSucceeded', job: command.job, life: 0, intake } as const;
        return this.take(copies === null ? about : { ...about, copies });
      }
      case 'reduceStatistics': {
        const { job, layer } = command;
        return this.take({ type: 'statisticsReduced', job, life: 0, layer, file: stored(`sums-${layer}`) });
      }
      case 'assembleShard': {
        const { job, shard } = command;
        return this.take({ type: 'shardAssembled', job, life: 0, shard, file: { ...stored('s'), file: 's' } });
      }
      case 'publishCheckpoint':
        return this.take({ type: 'checkpointPublished', job: command.job, life: 0, files: [] });
      case 'assign': {
        const { identity, spec, worker } = command;
        this.tasks.set(identity.job, [...(this.tasks.get(identity.job) ?? []), spec]);
        const failure = this.hasFailed ? null : (this.options.fails?.(spec) ?? null);
        if (failure !== null) {
          this.hasFailed = true;
          const whole = { code: 'StorageFull', message: '', details: {}, retryable: true, ...failure } as const;
          this.take({ type: 'taskFailed', worker, identity, failure: whole, holdings: null });
          // The pause before the next attempt.
          this.nowMs += 60_000;
          return this.take({ type: 'tick' });
        }
        if (spec.kind === 'pass') this.held = heldAfter(spec);
        const holdings = this.held;
        return this.take({ type: 'taskSucceeded', worker, identity, outcome: outcomeOf(spec), holdings });
      }
    }
  }

  /** As effects/kept-files.ts makes them. */
  private copies(): ReusedCopies | null {
    const kept = this.options.reuse === undefined ? undefined : this.state.jobs[this.options.reuse]?.kept;
    if (kept === undefined) return null;
    const texts = kept.evaluation.map((_, text) => stored(`text-${text}-copy`));
    const copied = ({ microbatches, file }: HessianPart) => ({ microbatches, file: stored(`${file.name}-copy`) });
    return {
      calibration: stored('ids-copy'),
      texts,
      sums: kept.sums.map((sums) => sums && stored(`${sums.name}-copy`)),
      ...(kept.hessians === undefined
        ? {}
        : { hessians: kept.hessians.map((held) => held?.parts.map(copied) ?? null) }),
    };
  }
}

function heldAfter(spec: Extract<TaskSpec, { kind: 'pass' }>): HiddenStates[] {
  return [{ boundary: spec.hidden ? spec.layer + 1 : spec.layer, microbatches: spec.microbatches }];
}

function outcomeOf(spec: TaskSpec): TaskOutcome {
  switch (spec.kind) {
    case 'prepareCalibration': {
      const calibration = { inputDigests: ['a'], samples: 4, sequenceLength: 8, file: stored('ids') };
      return { kind: 'prepareCalibration', calibration };
    }
    case 'digestSource':
      return { kind: 'digestSource', sha256: spec.shard };
    case 'prune': {
      const tensors = [{ name: 'w', elements: 10, zeros: 5, pruned: true }];
      return { kind: 'prune', file: stored('layer'), tensors, pruneMs: 1, commitMs: 1 };
    }
    case 'prepareEvaluation': {
      const ids = stored(`text-${spec.text}`);
      return { kind: 'prepareEvaluation', ids, inputDigest: 'd', windows: WINDOWS, sequenceLength: 8 };
    }
    case 'evaluate': {
      const nll = [...membersOf(spec.windows)].map((window) => (spec.weights === 'source' ? 7 : 14) + window);
      return { kind: 'evaluate', done: spec.windows, nll, tokens: 8 * (LAYERS + 1) * nll.length, computeMs: 1 };
    }
    case 'measureError': {
      const samples = [...membersOf(spec.windows)].map(() => ({ error: [1, 1, 1], output: [2, 2, 2] }));
      return { kind: 'measureError', done: spec.windows, samples, computeMs: 1 };
    }
    case 'pass': {
      const statistics = spec.statistics ? stored('samples') : null;
      const tokens = countOf(spec.microbatches) * 8;
      const spent = { computeMs: 1, loadMs: 1, snapshotMs: 0, bytesRead: 40, peakResidentBytes: 1 };
      const hessian = spec.hessian ? { hessian: stored(`hessian-${spec.layer}`) } : {};
      return { kind: 'pass', tokens, spent, done: spec.microbatches, snapshots: [], statistics, ...hessian };
    }
    case 'countOutliers':
      return { kind: 'countOutliers', outliers: spec.layer, weights: 100, computeMs: 1 };
    case 'handOver':
      return { kind: 'handOver', snapshots: [] };
  }
}

function hessiansIn(names: readonly string[]): string[] {
  return names.filter((name) => name.startsWith('hessian')).sort();
}

function dataOf(story: Story, id: string): JobEvent['data'] {
  const data = story.told(id, 'reused');
  if (data === undefined) throw new Error(`${id} told nothing of what it took over`);
  return data;
}

/** A job that others may take over, done. */
function begun(options: JobOptions = {}): Story {
  const story = new Story();
  story.attach();
  story.run('a', options);
  return story;
}

describe('a job that may take over the work of an earlier one', () => {
  it('propagated dense in both, only prunes and measures what it pruned, and says what it took over', () => {
    const story = begun();
    const b = story.run('b', { reuse: 'a', spec: { qualityGate: { maxPerplexityRatio: 100 } } });
    expect([...story.kinds('b')].sort()).toEqual(['evaluate committed', 'measureError', 'prune']);
    expect(story.told('b', 'reused')).toMatchObject({
      from: 'a',
      calibration: true,
      layers: LAYERS,
      dense: [{ perplexity: expect.any(Number) }, { perplexity: expect.any(Number) }],
    });
    const dense = (id: string) => story.events.filter((each) => each.job === id && each.data.model === 'dense');
    expect(dense('a').map(({ data }) => data.perplexity)).toEqual(
      (dataOf(story, 'b').dense as unknown as { perplexity: number }[]).map(({ perplexity }) => perplexity),
    );
    expect(b.workDone).toBe(b.workTotal);
    expect(b.reuse?.status).toBe('taken');
    expect(b.calibration?.file.name).toBe('ids-copy');
    expect(story.told('b', 'succeeded')).toMatchObject({ tokensAgain: 0 });
  });

  it('computes what the layers behind pruned ones are calibrated on; windows and dense likelihoods are shared', () => {
    for (const [first, second] of [
      ['pruned', 'pruned'],
      ['dense', 'pruned'],
      ['pruned', 'dense'],
    ] as const) {
      const story = begun({ propagate: first });
      const b = story.run('b', { reuse: 'a', propagate: second });
      expect([...story.kinds('b')].sort()).toEqual(['evaluate committed', 'measureError', 'pass', 'prune']);
      expect(story.told('b', 'reused')).toMatchObject({ calibration: true, layers: 0 });
      expect(b.workDone).toBe(b.workTotal);
    }
  });

  it('passes on the sums that it has no use for itself, since it keeps every weight', () => {
    const story = begun();
    const keepAll = intakeOf({ layers: LAYERS, texts: 2 }).layers.map(({ linears, tensors }) => ({
      linears: linears.map((linear) => ({ ...linear, choice: { kind: 'keepAll' as const } })),
      tensors,
    }));
    story.run('b', { reuse: 'a', intake: { layers: keepAll } });
    expect(story.told('b', 'reused')).toMatchObject({ layers: 0 });
    story.run('c', { reuse: 'b' });
    expect(story.told('c', 'reused')).toMatchObject({ from: 'b', layers: LAYERS });
    expect(story.kinds('c')).not.toContain('pass');
  });

  it('takes the sums of those layers that have any', () => {
    const story = begun();
    const copies = { calibration: stored('c'), texts: [stored('t'), stored('u')], sums: [stored('s'), null, null] };
    story.run('b', { reuse: 'a', copies });
    expect(story.told('b', 'reused')).toMatchObject({ layers: 1 });
    const calibrated = story.events.filter((event) => event.job === 'b' && event.verb === 'calibrated');
    expect(calibrated.map(({ data }) => data.layer)).toEqual([1, 2]);
  });

  it('that solves by Hessians takes the sums over, and measures but the Hessians', () => {
    const story = begun();
    const b = story.run('b', { reuse: 'a', pruning: SPARSEGPT });
    expect(story.told('b', 'reused')).toMatchObject({ layers: LAYERS, hessians: 0 });
    expect(story.passes('b').every(({ hessian, statistics }) => hessian && !statistics)).toBe(true);
    expect(story.verbs('b', 'layer')).toEqual(['correlated', 'committed']);
    expect(b.workDone).toBe(b.workTotal);
    expect(story.told('b', 'succeeded')).toMatchObject({ tokensAgain: 0 });
  });

  it.each([
    ['other weights', { intake: { shards: [{ file: 'a.safetensors', sizeBytes: 100, mtimeMs: 2 }] } }, 'shards'],
    [
      'another text',
      { intake: { calibrationFiles: [{ file: '/a.txt', sizeBytes: 11, mtimeMs: 1 }] } },
      'calibrationFiles',
    ],
    ['another model', { intake: { model: { hiddenSize: 12 } as JobIntake['model'] } }, 'model'],
    [
      'another seed',
      { spec: { calibration: { text: ['file:///a.txt'], samples: 4, sequenceLength: 8, seed: 1, microbatch: 1 } } },
      'spec.calibration',
    ],
  ] as const)('takes nothing over from %s, and says why', (_, options, field) => {
    const story = begun();
    story.run('b', { reuse: 'a', ...(options as JobOptions) });
    expect(story.told('b', 'reused')).toEqual({ epoch: 0, from: 'a', why: [`${field}: not those of a`] });
    expect(story.kinds('b')).toContain('prepareCalibration');
  });

  it('takes nothing over from what another version computed', () => {
    const story = begun();
    story.attach('2');
    story.run('b', { reuse: 'a' });
    expect(story.told('b', 'reused')).toMatchObject({ why: ['versions: not those of a'] });
  });

  it('measures texts anew where the texts, but not the calibration, are others; the microbatch is no difference', () => {
    const story = begun();
    const calibration = { text: ['file:///a.txt'], samples: 4, sequenceLength: 8, seed: 0, microbatch: 2 };
    story.run('b', {
      reuse: 'a',
      spec: { calibration },
      intake: { evaluationFiles: [{ file: '/text-0.txt', sizeBytes: 1, mtimeMs: 1 }] },
    });
    expect(story.told('b', 'reused')).toMatchObject({ calibration: true, layers: LAYERS, dense: [] });
    expect(story.kinds('b')).toContain('prepareEvaluation');
    expect(story.kinds('b')).not.toContain('prepareCalibration');
  });

  it('computes everything where nothing is kept, or what was kept is gone', () => {
    for (const [first, second] of [
      [{ isReusable: false }, {}],
      [{}, { copies: null }],
    ] as [JobOptions, JobOptions][]) {
      const story = begun(first);
      story.run('b', { reuse: 'a', ...second });
      expect(story.told('b', 'reused')).toMatchObject({ why: ['it keeps nothing that could be taken over'] });
      expect(story.kinds('b')).toContain('prepareCalibration');
    }
  });
});

describe('Hessians', () => {
  const keeping = { pruning: SPARSEGPT, keepsHessians: true } as const;

  it('that a job was asked to keep serve every later one: it only prunes', () => {
    const story = begun(keeping);
    expect(hessiansIn(story.removed)).toEqual([]);
    const b = story.run('b', { reuse: 'a', pruning: { ...SPARSEGPT, sparsity: 0.7 } });
    expect([...story.kinds('b')].sort()).toEqual(['evaluate committed', 'measureError', 'prune']);
    expect(story.told('b', 'reused')).toMatchObject({ layers: LAYERS, hessians: LAYERS });
    expect(b.workDone).toBe(b.workTotal);
    // It was asked to keep none: they go with its commits, and those of the other when it has taken its place.
    expect(hessiansIn(story.removed)).toEqual([0, 1, 2].map((layer) => `hessian-${layer}-copy`));
    expect(b.kept?.hessians).toBeUndefined();
    expect(story.dropped).toEqual(['a']);
  });

  it('go through a job that has no use for them, to the one behind it', () => {
    const story = begun(keeping);
    const b = story.run('b', { reuse: 'a', keepsHessians: true });
    expect(story.kinds('b')).not.toContain('pass');
    expect(b.kept?.hessians?.map((held) => held?.parts.map(({ file }) => file.name))).toEqual(
      [0, 1, 2].map((layer) => [`hessian-${layer}-copy`]),
    );
    story.run('c', { reuse: 'b', pruning: SPARSEGPT });
    expect(story.told('c', 'reused')).toMatchObject({ layers: LAYERS, hessians: LAYERS });
    expect(story.kinds('c')).not.toContain('pass');
  });

  it('are kept by nobody who was not asked to, nor where they depend on what was pruned', () => {
    for (const options of [{ pruning: SPARSEGPT }, { ...keeping, propagate: 'pruned' }] as const) {
      const story = begun(options);
      expect(story.job('a').kept?.hessians?.filter((held) => held !== null) ?? []).toEqual([]);
      expect(hessiansIn(story.removed)).toEqual([0, 1, 2].map((layer) => `hessian-${layer}`));
    }
  });

  it('of layers beyond four times the bytes of the source go, and are measured again', () => {
    const shards = [{ file: 'a.safetensors', sizeBytes: 0.5, mtimeMs: 1 }];
    const story = begun({ ...keeping, intake: { shards } });
    expect(hessiansIn(story.removed)).toEqual(['hessian-2']);
    story.run('b', { reuse: 'a', pruning: SPARSEGPT, intake: { shards } });
    expect(story.told('b', 'reused')).toMatchObject({ layers: LAYERS, hessians: 2 });
    expect(story.passes('b').map(({ layer, hessian }) => [layer, hessian])).toEqual([
      [0, false],
      [1, false],
      [2, true],
    ]);
    expect(story.job('b').workDone).toBe(story.job('b').workTotal);
  });

  it('are not taken over where one is gone, where microbatches are others, or where other linears lose weights', () => {
    const calibration = { text: ['file:///a.txt'], samples: 4, sequenceLength: 8, seed: 0, microbatch: 2 };
    const wider = intakeOf({ layers: LAYERS, texts: 2 }).layers.map(({ linears, tensors }) => ({
      linears: [...linears, ...linears.map((linear) => ({ ...linear, tensor: 'other', statistic: 'y' }))],
      tensors,
    }));
    const part = (layer: number) => [{ microbatches: [[0, 4]] as const, file: stored(`h-${layer}`) }];
    const copies = {
      calibration: stored('c'),
      texts: [stored('t'), stored('u')],
      sums: [stored('s'), stored('s'), stored('s')],
      hessians: [part(0), null, part(2)],
    };
    for (const [options, hessians] of [
      [{ copies }, 2],
      [{ spec: { calibration } }, 0],
      [{ intake: { layers: wider } }, 0],
    ] as [JobOptions, number][]) {
      const story = begun(keeping);
      story.run('b', { reuse: 'a', pruning: SPARSEGPT, ...options });
      expect(story.told('b', 'reused')).toMatchObject({ layers: LAYERS, hessians });
      expect(story.passes('b').filter(({ hessian }) => hessian)).not.toEqual([]);
      expect(story.job('b').layers.every(({ status }) => status === 'committed')).toBe(true);
    }
  });

  it('of which one turns out to be damaged have its samples measured again', () => {
    const story = begun(keeping);
    const fails = (spec: TaskSpec) =>
      spec.kind === 'prune' && spec.layer === 1
        ? ({ code: 'InputsMissing', details: { layer: 1, hessian: 'hessian-1-copy' } } as const)
        : null;
    story.run('b', { reuse: 'a', pruning: SPARSEGPT, fails });
    expect(story.passes('b').map(({ layer, hessian }) => [layer, hessian])).toEqual([
      [0, false],
      [1, true],
    ]);
    expect(story.verbs('b', 'layer')).toEqual(['committed', 'correlated']);
  });

  it('that are only kept go first when a disk is full', () => {
    const full = (layer: number) => (spec: TaskSpec) => (spec.kind === 'prune' && spec.layer === layer ? {} : null);
    const story = begun({ ...keeping, fails: full(2) });
    expect(hessiansIn(story.removed)).toEqual(['hessian-0', 'hessian-1', 'hessian-2']);
    expect(story.job('a').kept?.hessians).toBeUndefined();

    const other = begun(keeping);
    const b = other.run('b', { reuse: 'a', keepsHessians: true, fails: full(0) });
    expect(hessiansIn(other.removed)).toEqual([0, 1, 2].map((layer) => `hessian-${layer}-copy`));
    // Whichever name is left, the bytes stay.
    expect(other.dropped).toEqual(['b hessians', 'a hessians', 'a']);
    expect(b.kept?.hessians).toBeUndefined();
  });
});

describe('what a job keeps for later ones', () => {
  it('goes when a later one has taken its place, and only then', () => {
    const story = begun();
    story.run('b', { reuse: 'a', isReusable: false });
    expect(story.job('a').kept).toBeDefined();
    expect(story.job('b').kept).toBeUndefined();
    story.run('c', { reuse: 'a' });
    expect(story.job('a').kept).toBeUndefined();
    expect(story.job('c').kept).toBeDefined();
    expect(story.dropped).toEqual(['a']);
    expect(story.run('d', { reuse: 'c' }).kept?.sums.map((sums) => sums?.name)).toEqual(
      [0, 1, 2].map((layer) => `sums-${layer}-copy-copy`),
    );
  });

  it('is kept of the latest few only', () => {
    const story = begun();
    for (let count = 0; count < 9; count++) story.run(`b${count}`);
    expect(story.dropped).toEqual(['a', 'b0']);
    expect(Object.values(story.state.jobs).filter(({ kept }) => kept !== undefined)).toHaveLength(8);
  });

  it('is asked to go once more when a coordinator starts, which may have died before it had', () => {
    const story = begun();
    story.run('b', { reuse: 'a' });
    story.run('c', { isReusable: false });
    const commands = step(story.state, { type: 'coordinatorStarted' }, 1e9).commands;
    expect(commands.filter(({ kind }) => kind === 'dropKept')).toEqual([{ kind: 'dropKept', job: 'a' }]);
  });

  it('is the same after a replay of the journal', () => {
    const story = begun({ pruning: SPARSEGPT, keepsHessians: true });
    story.run('b', { reuse: 'a', pruning: SPARSEGPT });
    let state = INITIAL_STATE;
    for (const { event, atMs } of story.journal) state = step(state, JSON.parse(JSON.stringify(event)), atMs).state;
    expect(JSON.parse(JSON.stringify(state))).toEqual(JSON.parse(JSON.stringify(story.state)));
  });
});
