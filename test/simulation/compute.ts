/**
 * A simulated engine: it runs the tasks of the wire in simulated time, on the arithmetic of model.ts.
 *
 * Invariants:
 *  1. It is strict: a task that names hidden states or files which it has not gets `InputsMissing`, never a guess.
 *  2. What it writes is written as the real engine writes: temp file, fsync, rename, fsync of the folder.
 *  3. It dies with its agent, a moment later; what it has under way on the disk until then takes effect.
 */
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import type { FileRef__Output } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { PassTask__Output } from '../../shared/rpc/generated/secateur/v1/PassTask.ts';
import type { PruneTask__Output } from '../../shared/rpc/generated/secateur/v1/PruneTask.ts';
import type { Task__Output } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import type { Engine, EngineListener, EngineReady } from '../../worker/agent/engine.ts';
import type { FromEngine, Outcome, StageHolding } from '../../worker/engine/messages.ts';
import type { SimulatedDisk } from './disk.ts';
import { calibrationContent, digestOf, embed, forward, prunedLayer, sourceLayer, statisticOf } from './model.ts';
import { SimulatedProcess, type SimulatedTime } from './time.ts';

const READY_MS = 300;
/** Between engine and agent. */
const PIPE_MS = 0.1;
const SMALL_TASK_MS = 40;

export interface EngineSettings {
  readonly time: SimulatedTime;
  readonly agent: SimulatedProcess;
  /** The files of the job, which every worker reaches. */
  readonly shared: SimulatedDisk;
  /** One sample through one layer. */
  readonly sampleMs: number;
  readonly random: () => number;
  /** Tasks that kill every engine that runs them, by name. */
  readonly isPoisoned: (task: string) => boolean;
  /** For a broken engine: hidden states that are not there are made up. */
  readonly guesses: boolean;
}

export class SimulatedEngine implements Engine {
  readonly ready: Promise<EngineReady>;
  readonly processId: number;
  readonly process: SimulatedProcess;
  /** What it is computing now. */
  task: Task__Output | null = null;
  private readonly settings: EngineSettings;
  private readonly listener: EngineListener;
  /** Boundary → microbatch → one hash a sample. */
  private readonly held = new Map<number, Map<number, string[]>>();
  private readonly stages = new Map<number, number>();
  private turn: Promise<void>;

  constructor(settings: EngineSettings, processId: number, listener: EngineListener) {
    this.settings = settings;
    this.listener = listener;
    this.processId = processId;
    this.process = new SimulatedProcess(settings.time, `${settings.agent.name}/engine`);
    settings.agent.onEnd(() => settings.time.after(settings.random() * 50, null, () => this.process.kill()));
    this.ready = new Promise((resolve) => {
      settings.agent.after(READY_MS, () => resolve({ provider: 'cpu', engineVersion: '1' }));
    });
    this.turn = this.sleep(READY_MS);
  }

  run(task: Task__Output): void {
    this.turn = this.turn.then(() => this.perform(task));
  }

  kill(): void {
    this.end('it was ended by SIGKILL');
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
    this.task = task;
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
    if (task.prepareCalibration) return this.runCalibration(task);
    if (task.digestSource) return this.runDigest(task.digestSource.file as FileRef__Output);
    throw new Error(`a task of an unknown kind: ${task.spec}`);
  }

  private async runCalibration(task: Task__Output): Promise<Outcome> {
    const { samples = 0, sequenceLength = 0 } = task.prepareCalibration ?? {};
    await this.sleep(SMALL_TASK_MS);
    const file = await this.commit(task, 'calibration.safetensors', calibrationContent(samples));
    return { prepareCalibration: { file, samples, sequenceLength, inputs: [{ sha256: digestOf('a.txt') }] } };
  }

  private async runDigest(file: FileRef__Output): Promise<Outcome> {
    await this.sleep(SMALL_TASK_MS);
    return { digestSource: { file: { ...file, sha256: digestOf(file.name) } } };
  }

  private async runPrune(task: Task__Output, prune: PruneTask__Output): Promise<Outcome> {
    await this.sleep(SMALL_TASK_MS);
    const sum = Buffer.from(prune.statistics[0]?.float64 ?? []).toString();
    const file = await this.commit(task, prune.output?.name ?? '', prunedLayer(prune.layer, sum));
    const tensors = prune.tensors.map(({ name }) => ({ name, elements: 10, zeros: 5, pruned: true }));
    return { prune: { file, tensors, pruneMs: SMALL_TASK_MS, commitMs: 1 } };
  }

  private async runPass(task: Task__Output, pass: PassTask__Output): Promise<Outcome> {
    const { sampleMs } = this.settings;
    const { microbatch, sequenceLength } = task.context as NonNullable<Task__Output['context']>;
    const weights = await this.weightsOf(task, pass);
    const input = await this.inputOf(task, pass, microbatch);
    this.stages.delete(pass.stage);
    const next = new Map<number, string[]>();
    let done = 0;
    for (const [index, states] of input) {
      await this.sleep(sampleMs * states.length);
      for (const [offset, state] of states.entries()) {
        if (!pass.statistics) continue;
        const float32 = Buffer.from(statisticOf(pass.layer, state));
        this.say({ type: 'statistics', layer: pass.layer, sample: index * microbatch + offset, float32 });
      }
      next.set(index, pass.hidden ? states.map((state) => forward(weights, state)) : states);
      done += states.length * sequenceLength;
      this.say({ type: 'progress', done, total: pass.sampleCount * sequenceLength, unit: 'tokens' });
    }
    const boundary = pass.hidden ? pass.layer + 1 : pass.layer;
    const snapshots: FileRef__Output[] = [];
    if (pass.persist) {
      for (const [index, states] of next) {
        snapshots.push(await this.commit(task, `snapshots/${boundary}/m${index}.safetensors`, states.join('\n')));
      }
    } else {
      this.held.set(pass.stage, next);
      this.stages.set(pass.stage, boundary);
    }
    return { pass: { tokens: done, computeMs: 1, snapshots } };
  }

  /** The layer's content, from its committed file or as the source has it. */
  private async weightsOf(task: Task__Output, pass: PassTask__Output): Promise<string> {
    const file = pass.tensors[0]?.file;
    if (file?.root !== 'FILE_ROOT_STAGING') return sourceLayer(pass.layer);
    return this.read(task, file);
  }

  private async inputOf(
    task: Task__Output,
    pass: PassTask__Output,
    microbatch: number,
  ): Promise<Map<number, string[]>> {
    if (pass.input?.memory) {
      const held = this.held.get(pass.stage);
      if (held !== undefined && this.stages.get(pass.stage) === pass.layer) return held;
      if (!this.settings.guesses || held === undefined) throw missing(`boundary ${pass.layer}`);
      return held;
    }
    const states = new Map<number, string[]>();
    if (pass.input?.snapshot) {
      for (const [index, file] of pass.input.snapshot.files.entries()) {
        states.set(index, (await this.read(task, file)).split('\n'));
      }
      return states;
    }
    const calibration = await this.read(task, pass.input?.embed?.calibration as FileRef__Output);
    for (let sample = 0; sample < pass.sampleCount; sample++) {
      const index = Math.floor(sample / microbatch);
      states.set(index, [...(states.get(index) ?? []), embed(calibration, sample)]);
    }
    return states;
  }

  private holdings(): StageHolding[] {
    return [...this.stages].map(([stage, boundary]) => ({ stage, boundary }));
  }

  private pathOf(task: Task__Output, name: string): string {
    return `${task.context?.stagingDirectory}/${name}`;
  }

  private async read(task: Task__Output, file: FileRef__Output): Promise<string> {
    const { shared } = this.settings;
    const content = await shared.readFile(this.process, this.pathOf(task, file.name));
    if (digestOf(content) !== file.sha256) throw missing(`${file.name} as it was written`);
    return content;
  }

  private async commit(task: Task__Output, name: string, content: string): Promise<FileRef__Output> {
    await this.settings.shared.writeAtomic(this.process, this.pathOf(task, name), content);
    return { root: 'FILE_ROOT_STAGING', name, sizeBytes: content.length, sha256: digestOf(content) };
  }
}

function missing(what: string): SecateurError {
  return new SecateurError('InputsMissing', `expected ${what}; found none`, { retryable: true });
}
