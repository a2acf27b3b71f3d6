/**
 * A simulated engine: it runs the tasks of the wire in simulated time, on the arithmetic of model.ts.
 *
 * Invariants:
 *  1. It is strict: a task that names hidden states or files which it has not gets `InputsMissing`, never a guess.
 *  2. What it writes is written as the real engine writes: temp file, fsync, rename, fsync of the folder.
 *  3. It dies with its agent, a moment later; what it has under way on the disk until then takes effect.
 */
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { contains, countOf, lowest, membersOf, setOfMembers } from '../../shared/microbatch-set.ts';
import type { CountOutliersTask__Output } from '../../shared/rpc/generated/secateur/v1/CountOutliersTask.ts';
import type { EvaluateTask__Output } from '../../shared/rpc/generated/secateur/v1/EvaluateTask.ts';
import type { FileRef, FileRef__Output } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { HandOverTask__Output } from '../../shared/rpc/generated/secateur/v1/HandOverTask.ts';
import type { MeasureErrorTask__Output } from '../../shared/rpc/generated/secateur/v1/MeasureErrorTask.ts';
import type { PassTask__Output } from '../../shared/rpc/generated/secateur/v1/PassTask.ts';
import type { PrepareEvaluationTask__Output } from '../../shared/rpc/generated/secateur/v1/PrepareEvaluationTask.ts';
import type { PruneTask__Output } from '../../shared/rpc/generated/secateur/v1/PruneTask.ts';
import type { SnapshotFile } from '../../shared/rpc/generated/secateur/v1/SnapshotFile.ts';
import type { Task__Output } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import { rangesOf, setOfRanges } from '../../shared/rpc/microbatch-ranges.ts';
import { hessianFileName, snapshotFileName } from '../../shared/storage/staging-names.ts';
import type { Engine, EngineListener } from '../../worker/agent/engine.ts';
import type { HeldStates } from '../../worker/engine/hidden-store.ts';
import type { EngineReady, FromEngine, Outcome } from '../../worker/engine/messages.ts';
import { readStaged, type SimulatedDisk } from './disk.ts';
import {
  calibrationContent,
  digestOf,
  embed,
  forward,
  likelihoodOf,
  outliersOf,
  productsOf,
  prunedLayer,
  sourceLayer,
  statisticOf,
  textContent,
  windowsOf,
} from './model.ts';
import { SimulatedProcess, type SimulatedTime } from './time.ts';

const READY_MS = 300;
/** Between engine and agent. */
const PIPE_MS = 0.1;
/** Preparing, digesting and pruning take between this and as long as a pass. */
const SMALL_TASK_MS = 40;

export interface EngineSettings {
  readonly time: SimulatedTime;
  readonly agent: SimulatedProcess;
  /** The files of the job, which every worker reaches. */
  readonly shared: SimulatedDisk;
  /** One sample through one layer. */
  readonly sampleMs: number;
  readonly engineVersion: string;
  readonly random: () => number;
  /** Tasks that kill every engine that runs them, by name. */
  readonly isPoisoned: (task: string) => boolean;
  /** For a broken engine: hidden states that are not there are made up. */
  readonly guesses: boolean;
  /** For a broken engine: whatever stands in a file is taken for what was written there. */
  readonly looksAtNoDigest: boolean;
}

export class SimulatedEngine implements Engine {
  readonly ready: Promise<EngineReady>;
  readonly processId: number;
  readonly process: SimulatedProcess;
  /** What it was given and has not answered yet. */
  task: Task__Output | null = null;
  private readonly settings: EngineSettings;
  private readonly listener: EngineListener;
  /** Boundary → microbatch → one hash a sample. */
  private readonly held = new Map<number, Map<number, string[]>>();
  private isYielding = false;
  private turn: Promise<void>;

  constructor(settings: EngineSettings, processId: number, listener: EngineListener) {
    this.settings = settings;
    this.listener = listener;
    this.processId = processId;
    this.process = new SimulatedProcess(settings.time, `${settings.agent.name}/engine`);
    settings.agent.onEnd(() => settings.time.after(settings.random() * 50, null, () => this.process.kill()));
    const { engineVersion } = settings;
    this.ready = new Promise((resolve) => {
      settings.agent.after(READY_MS, () => resolve({ provider: 'cpu', engineVersion, figures: null }));
    });
    this.turn = this.sleep(READY_MS);
  }

  run(task: Task__Output): void {
    this.task = task;
    this.turn = this.turn.then(() => this.perform(task));
  }

  yield(): void {
    this.isYielding = true;
  }

  kill(): void {
    this.end('it was ended by SIGKILL');
  }

  /** Hidden states vanish without a word. */
  forget(): void {
    this.held.clear();
  }

  /** It dies by itself. */
  crash(): void {
    this.end('it was ended by SIGSEGV; its last words: simulated');
  }

  private end(why: string): void {
    if (!this.process.isAlive) return;
    this.process.kill();
    this.settings.agent.after(5, () => this.listener.ended(why));
  }

  private say(message: FromEngine): void {
    if (this.process.isAlive) this.settings.agent.after(PIPE_MS, () => this.listener.message(message));
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.process.after(ms, resolve);
    });
  }

  private async perform(task: Task__Output): Promise<void> {
    const job = task.identity?.job ?? '';
    try {
      if (this.settings.isPoisoned(task.identity?.task ?? '')) {
        await this.sleep(SMALL_TASK_MS);
        this.crash();
      }
      const outcome = await this.dispatch(task);
      this.task = null;
      this.say({ type: 'succeeded', outcome, job, holdings: this.holdings() });
    } catch (thrown) {
      const { code, message, retryable, details } = toSecateurError(thrown);
      this.task = null;
      this.say({ type: 'failed', code, message, retryable, details, job, holdings: this.holdings() });
    }
  }

  private dispatch(task: Task__Output): Promise<Outcome> {
    if (task.pass) return this.runPass(task, task.pass);
    if (task.prune) return this.runPrune(task, task.prune);
    if (task.handOver) return this.runHandOver(task, task.handOver);
    if (task.prepareCalibration) return this.runCalibration(task);
    if (task.prepareEvaluation) return this.runPrepareEvaluation(task, task.prepareEvaluation);
    if (task.evaluate) return this.runEvaluate(task, task.evaluate);
    if (task.measureError) return this.runMeasureError(task, task.measureError);
    if (task.countOutliers) return this.runCountOutliers(task.countOutliers);
    if (task.digestSource) return this.runDigest(task.digestSource.file as FileRef__Output);
    throw new Error(`a task of an unknown kind: ${task.spec}`);
  }

  private async runCalibration(task: Task__Output): Promise<Outcome> {
    const { samples = 0, sequenceLength = 0, output } = task.prepareCalibration ?? {};
    await this.smallTask(1);
    const file = await this.commit(task, output?.name ?? '', calibrationContent(samples));
    return { prepareCalibration: { file, samples, sequenceLength, inputs: [{ sha256: digestOf('a.txt') }] } };
  }

  private async runPrepareEvaluation(task: Task__Output, text: PrepareEvaluationTask__Output): Promise<Outcome> {
    await this.smallTask(1);
    const index = Number(text.file?.name);
    const windows = windowsOf(index);
    const file = await this.commit(task, text.output?.name ?? '', textContent(index, windows));
    const { sequenceLength } = text;
    return { prepareEvaluation: { file, windows, sequenceLength, input: { sha256: digestOf(`text ${index}`) } } };
  }

  private async runEvaluate(
    task: Task__Output,
    { ids: file, layers, windows, sequenceLength }: EvaluateTask__Output,
  ): Promise<Outcome> {
    const ids = await this.read(task, file as FileRef__Output);
    const members = [...membersOf(setOfRanges(windows))];
    const weights: string[] = [];
    const ms = this.settings.sampleMs * members.length;
    for (const [layer, { tensors }] of layers.entries()) {
      if (this.isYielding) return { evaluate: { done: [], nll: [], tokens: 0, computeMs: 0 } };
      weights.push(await this.weightsOf(task, { layer, tensors }));
      await this.throughLayer(layer, layers.length, members.length, sequenceLength);
    }
    const nll = members.map((window) => likelihoodOf(this.settings.engineVersion, ids, window, weights));
    const tokens = members.length * sequenceLength * (layers.length + 1);
    return { evaluate: { done: windows, nll, tokens, computeMs: ms * layers.length } };
  }

  private async runMeasureError(task: Task__Output, measure: MeasureErrorTask__Output): Promise<Outcome> {
    const { ids, windows, committed } = measure;
    const content = await this.read(task, ids as FileRef__Output);
    const samples = [...membersOf(setOfRanges(windows))];
    const rows = samples.map((sample) => ({ sample, error: [] as number[], output: [] as number[] }));
    for (const [layer, { tensors }] of committed.entries()) {
      if (this.isYielding) return { measureError: { done: [], error: [], output: [], computeMs: 0 } };
      const weights = await this.weightsOf(task, { layer, tensors });
      await this.throughLayer(layer, committed.length, samples.length, measure.sequenceLength);
      for (const { sample, error, output } of rows) {
        error.push(likelihoodOf(this.settings.engineVersion, content, sample, [weights]));
        output.push(1);
      }
    }
    const error = rows.flatMap((row) => row.error);
    const output = rows.flatMap((row) => row.output);
    return { measureError: { done: windows, error, output, computeMs: this.settings.sampleMs * samples.length } };
  }

  /** Windows one after the other, each of which is told, as the real engine does. */
  private async throughLayer(layer: number, layers: number, windows: number, tokens: number): Promise<void> {
    for (let window = 1; window <= windows; window++) {
      await this.sleep(this.settings.sampleMs);
      const done = (layer * windows + window) * tokens;
      this.say({ type: 'progress', done, total: layers * windows * tokens, unit: 'tokens' });
    }
  }

  private smallTask(samples: number): Promise<void> {
    const { random, sampleMs } = this.settings;
    return this.sleep(SMALL_TASK_MS + random() * samples * sampleMs);
  }

  private async runDigest(file: FileRef__Output): Promise<Outcome> {
    await this.smallTask(1);
    return { digestSource: { file: { ...file, sha256: digestOf(file.name) } } };
  }

  private async runCountOutliers({ statistics, samples }: CountOutliersTask__Output): Promise<Outcome> {
    await this.smallTask(samples);
    const outliers = outliersOf(Buffer.from(statistics[0]?.float64 ?? []).toString());
    return { countOutliers: { outliers, weights: 10, computeMs: SMALL_TASK_MS } };
  }

  private async runPrune(task: Task__Output, prune: PruneTask__Output): Promise<Outcome> {
    await this.smallTask(prune.samples);
    const sum = Buffer.from(prune.statistics[0]?.float64 ?? []).toString();
    const products = await this.readHessians(task, prune);
    const { sparsity = 0 } = prune.linears[0] ?? {};
    const content = prunedLayer(prune.layer, sum, products, sparsity);
    const file = await this.commit(task, prune.output?.name ?? '', content);
    const pruned = sparsity > 0;
    const tensors = prune.tensors.map(({ name }) => ({ name, elements: 10, zeros: pruned ? 5 : 0, pruned }));
    return { prune: { file, tensors, pruneMs: SMALL_TASK_MS, commitMs: 1 } };
  }

  /** Of every sample once, or of none. As worker/engine/hessian-files.ts: the coordinator is told which file is wrong. */
  private async readHessians(task: Task__Output, { layer, hessians, samples }: PruneTask__Output): Promise<string[]> {
    const found = new Map<number, string>();
    for (const file of hessians) {
      let content: string;
      try {
        content = await this.read(task, file);
      } catch (thrown) {
        const details = { layer, hessian: file.name };
        throw new SecateurError('InputsMissing', `${file.name}: ${toSecateurError(thrown).message}`, {
          retryable: true,
          details,
        });
      }
      for (const line of content.split('\n')) {
        const [sample, products] = line.split(' ') as [string, string];
        if (found.has(Number(sample))) throw new SecateurError('Internal', `sample ${sample} has products twice`);
        found.set(Number(sample), products);
      }
    }
    if (hessians.length > 0 && found.size !== samples)
      throw new SecateurError('Internal', `expected products of ${samples} samples; found ${found.size}`);
    return [...found.values()];
  }

  private async runPass(task: Task__Output, pass: PassTask__Output): Promise<Outcome> {
    const { microbatch: size, sequenceLength } = contextOf(task);
    const weights = await this.weightsOf(task, pass);
    const microbatches = setOfRanges(pass.microbatches);
    const snapshots: SnapshotFile[] = [];
    const products: string[] = [];
    const sum = Buffer.from(pass.sums[0]?.float64 ?? []).toString();
    const computing = { count: 0, samples: 0, computeMs: 0 };
    for (const microbatch of membersOf(microbatches)) {
      if (this.isYielding) break;
      const states = await this.inputOf(task, pass, microbatch);
      const ms = this.settings.sampleMs * states.length;
      await this.sleep(ms);
      if (pass.statistics) this.sayStatistics(pass.layer, microbatch * size, states);
      if (pass.hessian)
        for (const [offset, state] of states.entries()) {
          const { engineVersion } = this.settings;
          products.push(`${microbatch * size + offset} ${productsOf(engineVersion, pass.layer, sum, state)}`);
        }
      const boundary = pass.hidden ? pass.layer + 1 : pass.layer;
      const next = pass.hidden ? states.map((state) => forward(this.settings.engineVersion, weights, state)) : states;
      if (pass.hidden && contains(setOfRanges(pass.write), microbatch))
        snapshots.push(await this.writeSnapshot(task, boundary, microbatch, next, pass.suffix));
      this.held.get(pass.layer)?.delete(microbatch);
      if (!contains(setOfRanges(pass.drop), microbatch)) this.hold(boundary, microbatch, next);
      computing.count += 1;
      computing.samples += states.length;
      computing.computeMs += ms;
      const total = countOf(microbatches) * size * sequenceLength;
      this.say({ type: 'progress', done: computing.samples * sequenceLength, total, unit: 'tokens' });
    }
    const done = rangesOf(lowest(microbatches, computing.count));
    const { computeMs } = computing;
    const hessian =
      products.length > 0
        ? await this.commit(task, hessianFileName(pass.layer, pass.suffix), products.join('\n'))
        : null;
    return { pass: { tokens: computing.samples * sequenceLength, computeMs, done, snapshots, hessian } };
  }

  private sayStatistics(layer: number, first: number, states: readonly string[]): void {
    const { engineVersion } = this.settings;
    for (const [offset, state] of states.entries())
      this.say({
        type: 'statistics',
        layer,
        sample: first + offset,
        float32: Buffer.from(statisticOf(engineVersion, layer, state)),
      });
  }

  private async runHandOver(task: Task__Output, handOver: HandOverTask__Output): Promise<Outcome> {
    const { boundary, suffix } = handOver;
    const snapshots: SnapshotFile[] = [];
    for (const microbatch of membersOf(setOfRanges(handOver.microbatches))) {
      const states = this.heldAt(boundary, microbatch);
      snapshots.push(await this.writeSnapshot(task, boundary, microbatch, states, suffix));
      this.held.get(boundary)?.delete(microbatch);
    }
    return { handOver: { snapshots } };
  }

  private async writeSnapshot(
    task: Task__Output,
    boundary: number,
    microbatch: number,
    states: readonly string[],
    suffix: string,
  ): Promise<SnapshotFile> {
    const file = await this.commit(task, snapshotFileName(boundary, microbatch, suffix), states.join('\n'));
    const snapshot = { boundary, microbatch, file };
    this.say({ type: 'snapshot', snapshot });
    return snapshot;
  }

  private hold(boundary: number, microbatch: number, states: string[]): void {
    const held = this.held.get(boundary) ?? new Map<number, string[]>();
    held.set(microbatch, states);
    this.held.set(boundary, held);
  }

  private heldAt(boundary: number, microbatch: number): string[] {
    const states = this.held.get(boundary)?.get(microbatch);
    if (states !== undefined) return states;
    if (this.settings.guesses) return ['a guess'];
    const what = `microbatch ${microbatch} at boundary ${boundary}`;
    throw new SecateurError('InputsMissing', `expected ${what} in memory; it is not there`, { retryable: true });
  }

  /** The layer's content, from its committed file or as the source has it. */
  private async weightsOf(task: Task__Output, pass: Pick<PassTask__Output, 'layer' | 'tensors'>): Promise<string> {
    const file = pass.tensors[0]?.file;
    if (file?.root !== 'FILE_ROOT_STAGING') return sourceLayer(pass.layer);
    return this.read(task, file);
  }

  private async inputOf(task: Task__Output, pass: PassTask__Output, microbatch: number): Promise<string[]> {
    const { snapshot, embed: ids } = pass.input ?? {};
    if (snapshot) {
      const file = snapshot.files.find((each) => each.microbatch === microbatch)?.file;
      return (await this.readSnapshot(task, file, pass.layer, microbatch)).split('\n');
    }
    if (!ids) return this.heldAt(pass.layer, microbatch);
    const calibration = await this.read(task, ids.calibration as FileRef__Output);
    const { microbatch: size, samples } = contextOf(task);
    const [first, end] = [microbatch * size, Math.min((microbatch + 1) * size, samples)];
    return Array.from({ length: end - first }, (_, offset) => embed(calibration, first + offset));
  }

  /** As worker/engine/snapshot.ts: whatever is wrong with the file, the coordinator is told which one. */
  private async readSnapshot(
    task: Task__Output,
    file: FileRef__Output | null | undefined,
    boundary: number,
    microbatch: number,
  ): Promise<string> {
    try {
      if (!file) throw new Error('a snapshot names its file');
      return await this.read(task, file);
    } catch (thrown) {
      const details = { boundary, microbatch };
      const message = `microbatch ${microbatch} at boundary ${boundary}: ${toSecateurError(thrown).message}`;
      throw new SecateurError('InputsMissing', message, { retryable: true, details });
    }
  }

  private holdings(): HeldStates[] {
    return [...this.held]
      .filter(([, held]) => held.size > 0)
      .map(([boundary, held]) => ({
        boundary,
        microbatches: setOfMembers(held.keys()),
      }))
      .sort((a, b) => a.boundary - b.boundary);
  }

  private async read(task: Task__Output, file: FileRef__Output): Promise<string> {
    const path = `${contextOf(task).stagingDirectory}/${file.name}`;
    const { shared, looksAtNoDigest } = this.settings;
    return readStaged(shared, this.process, path, file, looksAtNoDigest);
  }

  private async commit(task: Task__Output, name: string, content: string): Promise<FileRef> {
    const path = `${contextOf(task).stagingDirectory}/${name}`;
    await this.settings.shared.writeAtomic(this.process, path, content);
    return { root: 'FILE_ROOT_STAGING', name, sizeBytes: content.length, sha256: digestOf(content) };
  }
}

function contextOf(task: Task__Output): NonNullable<Task__Output['context']> {
  if (!task.context) throw new Error('a task has its context');
  return task.context;
}
