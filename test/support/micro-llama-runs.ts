/**
 * Whole prunings of micro-llama in this process: the engine's own tasks on the golden calibration ids, layer after layer,
 * in the order in which a job has them run. Only the samples' statistics are added up here (float64, in the order of the
 * samples), which in a job the coordinator does.
 */
import { type MethodName, withMethodDefaults } from '../../shared/manifest/method-options.ts';
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';
import { layerTensors } from '../../shared/models/family.ts';
import type { FileRef__Output } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { LayerRef__Output } from '../../shared/rpc/generated/secateur/v1/LayerRef.ts';
import type { LinearSelection__Output } from '../../shared/rpc/generated/secateur/v1/LinearSelection.ts';
import type { StatisticSum__Output } from '../../shared/rpc/generated/secateur/v1/StatisticSum.ts';
import { layerFileName } from '../../shared/storage/staging-names.ts';
import { HiddenStore } from '../../worker/engine/hidden-store.ts';
import type { TaskContext } from '../../worker/engine/task-context.ts';
import { runPass } from '../../worker/engine/tasks/run-pass.ts';
import { runPrune } from '../../worker/engine/tasks/run-prune.ts';
import type { KernelPool } from '../../worker/kernels/kernel-pool.ts';
import { methodByName } from '../../worker/methods/registry.ts';
import { goldenIds, MICRO_LLAMA, microContext, microLlama, SEQUENCE_LENGTH, tensorRefs } from './masked-micro-llama.ts';

const SAMPLES = 16;
/** Samples in one forward run. */
const MICROBATCH = 8;
const LEASE = { epoch: 1, attempt: 1 };

export interface MicroRun {
  readonly method: MethodName;
  readonly choice: Exclude<LinearChoice, { kind: 'keepAll' }>;
  readonly propagate: 'pruned' | 'dense';
}

/** Prunes into `staging`. @returns the committed layers, and the context in which tasks find them */
export async function pruneMicroLlama(
  run: MicroRun,
  staging: string,
  kernels: KernelPool,
): Promise<{ layers: LayerRef__Output[]; context: TaskContext }> {
  const source = await tensorRefs(MICRO_LLAMA, 'FILE_ROOT_SOURCE');
  const pruning = new Pruning(run, source, staging, kernels);
  const layers: LayerRef__Output[] = [];
  for (const layer of source.layers.keys()) layers.push(await pruning.layer(layer));
  return { layers, context: pruning.context };
}

class Pruning {
  readonly context: TaskContext;
  private readonly run: MicroRun;
  private readonly source: Awaited<ReturnType<typeof tensorRefs>>;
  private readonly staging: string;
  /** Σ over the samples of the layer in hand, all its statistics one after the other. */
  private sums = new Float64Array();

  constructor(run: MicroRun, source: Pruning['source'], staging: string, kernels: KernelPool) {
    this.run = run;
    this.source = source;
    this.staging = staging;
    this.context = {
      ...microContext(MICRO_LLAMA, staging),
      job: { samples: SAMPLES, sequenceLength: SEQUENCE_LENGTH, microbatch: MICROBATCH } as TaskContext['job'],
      hidden: new HiddenStore(),
      kernels: async () => kernels,
      notice: () => undefined,
      statistics: (_layer, _sample, row) => this.addSample(new Float32Array(row.buffer)),
    };
  }

  async layer(layer: number): Promise<LayerRef__Output> {
    const dense = this.source.layers[layer] as LayerRef__Output;
    const { needs } = methodByName(this.run.method);
    if (needs !== 'nothing') await this.pass(layer, dense, 'statistics');
    const hessian = needs === 'hessian' ? await this.pass(layer, dense, 'hessian') : null;
    const pruned = await this.prune(layer, dense, hessian);
    if (needs !== 'nothing') await this.pass(layer, this.run.propagate === 'dense' ? dense : pruned, 'hidden');
    return pruned;
  }

  /** All samples through a layer. @returns the file of products, where those are asked for */
  private async pass(
    layer: number,
    { tensors }: LayerRef__Output,
    wanted: 'statistics' | 'hessian' | 'hidden',
  ): Promise<FileRef__Output | null> {
    this.sums = wanted === 'statistics' ? new Float64Array() : this.sums;
    const embedding = this.source.named(['model.embed_tokens.weight'])[0] ?? null;
    const embed = { calibration: goldenIds('calibration'), embedding };
    const asked = {
      ...{ statistics: wanted === 'statistics', hessian: wanted === 'hessian', hidden: wanted === 'hidden' },
      sums: wanted === 'hessian' ? this.statistics(layer) : [],
    };
    const task = {
      ...{ stage: 0, layer, tensors, suffix: 'e1-a1', write: [], drop: [], next: [], ...asked },
      microbatches: [{ first: 0, end: SAMPLES / MICROBATCH }],
      input: layer === 0 ? { embed, from: 'embed' as const } : { memory: true, from: 'memory' as const },
    };
    const { pass } = await runPass(task, this.context);
    return (pass?.hessian as FileRef__Output | undefined) ?? null;
  }

  private async prune(
    layer: number,
    { tensors }: LayerRef__Output,
    hessian: FileRef__Output | null,
  ): Promise<LayerRef__Output> {
    const { method, choice } = this.run;
    const name = layerFileName(layer, LEASE);
    const linears = layerTensors(microLlama, layer).linears.map(
      ({ name: tensor, statistic }): LinearSelection__Output =>
        choice.kind === 'pattern'
          ? { tensor, statistic, selection: 'pattern', pattern: { keep: choice.keep, group: choice.group } }
          : { tensor, statistic, selection: 'sparsity', sparsity: choice.sparsity },
    );
    const unset = { scope: '', variant: '', activationPower: 0, seed: 0, blockSize: 0, dampingFraction: 0 };
    const task = {
      ...{ layer, tensors, method, linears, samples: SAMPLES },
      options: { ...unset, ...withMethodDefaults({ method }) },
      statistics: methodByName(method).needs === 'nothing' ? [] : this.statistics(layer),
      hessians: hessian === null ? [] : [hessian],
      output: { root: 'FILE_ROOT_STAGING' as const, name, sizeBytes: 0, sha256: '' },
    };
    await runPrune(task, this.context);
    const committed = (await tensorRefs(this.staging, 'FILE_ROOT_STAGING', name)).layers[layer];
    if (committed?.tensors.length !== tensors.length) throw new Error(`layer ${layer} lacks tensors`);
    return committed;
  }

  private addSample(row: Float32Array): void {
    if (this.sums.length === 0) this.sums = new Float64Array(row.length);
    for (const [column, value] of row.entries()) this.sums[column] = (this.sums[column] as number) + value;
  }

  /** In the order of the model's linears, each once. */
  private statistics(layer: number): StatisticSum__Output[] {
    const { linears } = layerTensors(microLlama, layer);
    const widths = new Map(linears.map(({ statistic, inFeatures }) => [statistic, inFeatures]));
    let first = 0;
    return [...widths].map(([statistic, width]) => {
      const sums = this.sums.slice(first, first + width);
      first += width;
      return { statistic, float64: Buffer.from(sums.buffer) };
    });
  }
}
