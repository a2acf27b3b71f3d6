/**
 * Which task each idle worker gets now. Derived from the state alone, so that a restart, a lost worker or a late
 * newcomer needs no case of its own: whatever is missing is a candidate again.
 */
import { hasEnded, isPassLeased, type JobState, type LayerState, type StageState, type WorkerState } from './state.ts';
import { type PassInput, type TaskSpec, taskName } from './task.ts';

export interface Candidate {
  readonly spec: TaskSpec;
  /** The only worker that can run it as it stands (it holds the hidden states); null: any. */
  readonly worker: string | null;
}

/** Tasks that could run now, most urgent first. Leased ones and those that wait for a retry are left out. */
export function candidates(job: JobState, nowMs: number): Candidate[] {
  if (hasEnded(job) || job.intake === null) return [];
  const found: Candidate[] = [];
  if (job.phase === 'Preparing' && job.calibration === null) {
    found.push({ spec: { kind: 'prepareCalibration' }, worker: null });
  }
  if (job.phase === 'Pruning') {
    for (const [index, stage] of job.stages.entries()) found.push(...stageCandidates(job, stage, index));
  }
  if (job.phase === 'Preparing' || job.phase === 'Pruning') {
    for (const shard of job.intake.shards) {
      if (job.digests[shard.file] === undefined) {
        found.push({ spec: { kind: 'digestSource', shard: shard.file }, worker: null });
      }
    }
  }
  return found.filter(({ spec }) => {
    const name = taskName(spec);
    return job.leases[name] === undefined && (job.retries[name]?.notBeforeMs ?? 0) <= nowMs;
  });
}

function stageCandidates(job: JobState, stage: StageState, index: number): Candidate[] {
  const found: Candidate[] = [];
  for (let layer = stage.firstLayer; layer < endOf(stage); layer++) {
    if (layerAt(job, layer).status === 'ready')
      found.push({ spec: { kind: 'prune', stage: index, layer }, worker: null });
  }
  const propagatePruned = job.manifest.spec.pruning.propagate === 'pruned';
  const pass = propagatePruned ? nextPrunedPass(job, stage, index) : nextDensePass(job, stage, index);
  if (pass !== null && !isPassLeased(job, index)) found.push({ spec: pass, worker: stage.worker });
  return found;
}

/**
 * propagate: pruned. The statistics of a layer are taken on activations that went through every pruned layer before
 * it; so the hidden states go up, committed layer by committed layer, to the first layer that still needs them.
 */
function nextPrunedPass(job: JobState, stage: StageState, index: number): TaskSpec | null {
  let target = stage.firstLayer;
  while (target < endOf(stage) && layerAt(job, target).status === 'committed') target++;
  if (target === endOf(stage)) {
    if (stage.snapshot !== null || !laterLayersNeed(job, stage)) return null;
  } else if (layerAt(job, target).status !== 'pending') {
    return null;
  }
  const from = startOf(job, stage, index, target);
  if (from === null) return null;
  const { layer, input } = from;
  if (layer === target) {
    return {
      kind: 'pass',
      stage: index,
      layer,
      weights: 'source',
      input,
      statistics: true,
      hidden: false,
      persist: false,
    };
  }
  const persist = layer + 1 === endOf(stage);
  return { kind: 'pass', stage: index, layer, weights: 'committed', input, statistics: false, hidden: true, persist };
}

/** propagate: dense. One pass a layer gives its statistics and the next hidden states; pruning follows when it can. */
function nextDensePass(job: JobState, stage: StageState, index: number): TaskSpec | null {
  const isLastStage = index === job.stages.length - 1;
  let target = stage.firstLayer;
  while (target < endOf(stage) && layerAt(job, target).status !== 'pending') target++;
  if (target === endOf(stage) && (stage.snapshot !== null || !laterLayersNeed(job, stage))) return null;
  const from = startOf(job, stage, index, target);
  if (from === null) return null;
  const { layer, input } = from;
  const isLastLayer = layer + 1 === endOf(stage);
  const statistics = layerAt(job, layer).status === 'pending';
  const hidden = !(isLastStage && isLastLayer);
  return {
    kind: 'pass',
    stage: index,
    layer,
    weights: 'source',
    input,
    statistics,
    hidden,
    persist: hidden && isLastLayer,
  };
}

/** Whether anybody will ask for the hidden states at the stage's end: some later layer has no statistics yet. */
function laterLayersNeed(job: JobState, stage: StageState): boolean {
  return job.layers.slice(endOf(stage)).some((layer) => layer.status === 'pending');
}

/**
 * The layer at which a stage's hidden states are to be had, at or below `target`: where a worker holds them, else the
 * stage's beginning. Null while the stage before has not handed them over.
 */
function startOf(
  job: JobState,
  stage: StageState,
  index: number,
  target: number,
): { layer: number; input: PassInput } | null {
  if (stage.boundary !== null && stage.boundary <= target) return { layer: stage.boundary, input: 'memory' };
  if (index === 0) return { layer: stage.firstLayer, input: 'embed' };
  const handedOver = (job.stages[index - 1]?.snapshot ?? null) !== null;
  return handedOver ? { layer: stage.firstLayer, input: 'snapshot' } : null;
}

/**
 * The worker for a candidate among the idle ones. A stage without a worker takes the one that serves the fewest
 * stages, so that stages spread out; the same state always gives the same answer.
 */
export function chooseWorker(
  job: JobState,
  candidate: Candidate,
  idle: readonly WorkerState[],
): WorkerState | undefined {
  if (candidate.worker !== null) return idle.find((worker) => worker.id === candidate.worker);
  const spec = candidate.spec;
  const preferred = spec.kind === 'prune' ? (job.stages[spec.stage]?.worker ?? null) : null;
  const failedOn = job.retries[taskName(spec)]?.worker ?? null;
  const stagesOf = (worker: WorkerState): number =>
    job.stages.filter((stage) => (stage.worker ?? stage.servedBy) === worker.id).length;
  return [...idle].sort(
    (a, b) =>
      Number(a.id === failedOn) - Number(b.id === failedOn) ||
      Number(b.id === preferred) - Number(a.id === preferred) ||
      stagesOf(a) - stagesOf(b) ||
      (a.id < b.id ? -1 : 1),
  )[0];
}

function endOf(stage: StageState): number {
  return stage.firstLayer + stage.layerCount;
}

function layerAt(job: JobState, layer: number): LayerState {
  return job.layers[layer] as LayerState;
}
