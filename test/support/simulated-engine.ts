/**
 * An engine whose passes compute nothing and take the time that they are told to: everything else of a worker is the
 * real thing (the agent, its stream, files under staging, the pruning kernel).
 *
 * Hidden states [B, S, H] and statistics are small numbers, pure functions of boundary, layer and sample: so the bytes
 * of the output show whether every sample's statistics came where they belong, once. As strict as the real engine: a
 * pass takes hidden states only from where its task says, and fails with InputsMissing where they are not.
 */
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { contains, countOf, membersOf, setOfMembers } from '../../shared/microbatch-set.ts';
import { type ModelDescription, STATISTICS, statisticWidth } from '../../shared/models/family.ts';
import type { JobContext__Output } from '../../shared/rpc/generated/secateur/v1/JobContext.ts';
import type { PassTask__Output } from '../../shared/rpc/generated/secateur/v1/PassTask.ts';
import type { SnapshotFile } from '../../shared/rpc/generated/secateur/v1/SnapshotFile.ts';
import type { Task__Output } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import { rangesOf, setOfRanges } from '../../shared/rpc/microbatch-ranges.ts';
import { DirectJobFiles } from '../../shared/storage/direct-job-files.ts';
import type { Engine, EngineListener } from '../../worker/agent/engine.ts';
import { HiddenStore } from '../../worker/engine/hidden-store.ts';
import type { EngineReady, FromEngine, Outcome } from '../../worker/engine/messages.ts';
import { RunSize } from '../../worker/engine/run-size.ts';
import { readSnapshot, writeSnapshot } from '../../worker/engine/snapshot.ts';
import type { TaskContext } from '../../worker/engine/task-context.ts';
import { runCalibration } from '../../worker/engine/tasks/run-calibration.ts';
import { runDigest } from '../../worker/engine/tasks/run-digest.ts';
import { runHandOver } from '../../worker/engine/tasks/run-hand-over.ts';
import { runPrune } from '../../worker/engine/tasks/run-prune.ts';
import type { KernelPool } from '../../worker/kernels/kernel-pool.ts';

export interface SimulatedCompute {
  /**
   * What a microbatch takes in half a layer: its calibration, or its forward pass through the pruned layer. A pass that
   * gives both statistics and hidden states (propagate: dense) takes twice that.
   */
  readonly halfLayerMs: number;
  /** Of every worker in this process: one worker prunes at a time. */
  readonly kernels: () => Promise<KernelPool>;
}

export class SimulatedEngine implements Engine {
  readonly ready: Promise<EngineReady> = Promise.resolve({
    provider: 'cpu',
    engineVersion: 'simulated',
    figures: null,
  });
  readonly processId = undefined;
  private readonly compute: SimulatedCompute;
  private readonly listener: EngineListener;
  private readonly hidden = new HiddenStore();
  private readonly runSizes = { layer: new RunSize(), head: new RunSize() };
  private readonly killed = new AbortController();
  private yielding = false;

  constructor(compute: SimulatedCompute, listener: EngineListener) {
    this.compute = compute;
    this.listener = listener;
  }

  run(task: Task__Output): void {
    const job = task.identity?.job ?? '';
    this.outcomeOf(task)
      .then((outcome) => this.say({ type: 'succeeded', outcome, job, holdings: this.hidden.holdings() }))
      .catch((thrown: unknown) => {
        const { code, message, retryable, details } = toSecateurError(thrown);
        this.say({ type: 'failed', code, message, retryable, details, job, holdings: this.hidden.holdings() });
      });
  }

  yield(): void {
    this.yielding = true;
  }

  /** Nothing is heard of it any more, as of a process that was ended. */
  kill(): void {
    this.killed.abort();
  }

  private say(message: FromEngine): void {
    if (!this.killed.signal.aborted) this.listener.message(message);
  }

  private async outcomeOf(task: Task__Output): Promise<Outcome> {
    const context = this.contextOf(task);
    if (task.pass) return this.pass(task.pass, context);
    if (task.prune) return runPrune(task.prune, context);
    if (task.handOver) return runHandOver(task.handOver, context);
    if (task.prepareCalibration) return runCalibration(task.prepareCalibration, context);
    if (task.digestSource) return runDigest(task.digestSource, context);
    throw new Error(`a task of a kind that the simulation does not know: ${task.spec}`);
  }

  private contextOf(task: Task__Output): TaskContext {
    const job = task.context as JobContext__Output;
    return {
      job,
      model: JSON.parse(job.modelJson) as ModelDescription,
      files: new DirectJobFiles(job),
      hidden: this.hidden,
      provider: 'cpu',
      deviceId: 0,
      threads: 1,
      readAhead: () => undefined,
      runSizes: this.runSizes,
      kernels: this.compute.kernels,
      progress: (done, total, unit) => this.say({ type: 'progress', done, total, unit }),
      statistics: (layer, sample, float32) => this.say({ type: 'statistics', layer, sample, float32 }),
      snapshotWritten: (snapshot) => this.say({ type: 'snapshot', snapshot }),
      notice: () => undefined,
      isYielding: () => this.yielding,
    };
  }

  private async pass(task: PassTask__Output, context: TaskContext): Promise<Outcome> {
    const { job } = context;
    const begunMs = performance.now();
    const eachMs = this.compute.halfLayerMs * (task.statistics && task.hidden ? 2 : 1);
    const microbatches = setOfRanges(task.microbatches);
    const done: number[] = [];
    const snapshots: SnapshotFile[] = [];
    let tokens = 0;
    for (const microbatch of membersOf(microbatches)) {
      if (this.yielding) break;
      const states = await inputOf(task, context, microbatch);
      await this.until(begunMs + (done.length + 1) * eachMs);
      tokens += states.length / context.model.hiddenSize;
      if (task.statistics) sendStatistics(task.layer, microbatch, context);
      await this.keep(task, context, microbatch, states, snapshots);
      done.push(microbatch);
      context.progress(tokens, countOf(microbatches) * job.microbatch * job.sequenceLength, 'tokens');
    }
    const pass = { tokens, computeMs: performance.now() - begunMs, snapshots };
    return { pass: { ...pass, done: rangesOf(setOfMembers(done)) } };
  }

  /** Against the begin of the pass: a timer that fires late does not make the whole pass late. */
  private async until(ms: number): Promise<void> {
    const leftMs = ms - performance.now();
    const { signal } = this.killed;
    // A timer takes a millisecond at least.
    if (leftMs <= 0) await nextTurn(undefined, { signal });
    else await pause(leftMs, undefined, { signal });
  }

  private async keep(
    task: PassTask__Output,
    context: TaskContext,
    microbatch: number,
    states: Float32Array,
    snapshots: SnapshotFile[],
  ): Promise<void> {
    const boundary = task.hidden ? task.layer + 1 : task.layer;
    const next = task.hidden ? hiddenAt(boundary, microbatch, states.length) : states;
    if (contains(setOfRanges(task.write), microbatch)) {
      snapshots.push(await writeSnapshot(context, boundary, microbatch, next, task.suffix));
    }
    this.hidden.drop(task.layer, microbatch);
    if (!contains(setOfRanges(task.drop), microbatch)) this.hidden.put(boundary, microbatch, next);
  }
}

async function inputOf(task: PassTask__Output, context: TaskContext, microbatch: number): Promise<Float32Array> {
  const { snapshot, embed } = task.input ?? {};
  const { samples, microbatch: size, sequenceLength } = context.job;
  if (embed) {
    const batch = Math.min(size, samples - microbatch * size);
    return hiddenAt(0, microbatch, batch * sequenceLength * context.model.hiddenSize);
  }
  const file = snapshot?.files.find((each) => each.microbatch === microbatch);
  const states = file === undefined ? context.hidden.get(task.layer, microbatch) : await readSnapshot(file, context);
  const expected = hiddenAt(task.layer, microbatch, states.length);
  if (states.every((value, index) => value === expected[index])) return states;
  throw new SecateurError(
    'Internal',
    `the hidden states of microbatch ${microbatch} at boundary ${task.layer} are another's`,
  );
}

function hiddenAt(boundary: number, microbatch: number, length: number): Float32Array {
  return Float32Array.from({ length }, (_, index) => boundary + microbatch / 1024 + (index % 7) / 8192);
}

/** One row a sample, as long as the real engine's. */
function sendStatistics(layer: number, microbatch: number, { job, model, statistics }: TaskContext): void {
  const width = STATISTICS.reduce((sum, each) => sum + statisticWidth(model, each), 0);
  const first = microbatch * job.microbatch;
  for (let sample = first; sample < Math.min(first + job.microbatch, job.samples); sample++) {
    const row = Float32Array.from(
      { length: width },
      (_, column) => 1 + ((sample * 31 + column * 17 + layer) % 101) / 7,
    );
    statistics(layer, sample, new Uint8Array(row.buffer));
  }
}
