/**
 * What orchestration costs: a real coordinator, journal, gRPC and NATS, real agents and files; only the engines' passes
 * are simulated (test/support/simulated-engine.ts), so what is not their time is what the rest takes.
 *
 *   npx node bench/scale.ts [--workers 64] [--layers 80] [--microbatches 128] [--layer-ms 0] [--propagate pruned|dense]
 *                           [--stages 1] [--intermediate 16] [--efficiency] [--profile DIR] [--json]
 *
 * --layer-ms: what one worker alone would compute in one layer, both passes together. W workers take 1/W of it each.
 * --intermediate: wide layers make large statistics (a sample's are 24 + this many numbers).
 * --efficiency: the same with one worker first; T(1) / (W x T(W)), T the wall time of a layer.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { runScale, type ScaleResult, type ScaleShape } from './scale-run.ts';

const MB = 1e6;

function report(result: ScaleResult): string {
  const { workers, layers, microbatches, layerMs, propagate, stages, nats } = result;
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  const each = (value: number): string => value.toFixed(0);
  const toNats = nats === null ? 'no NATS' : `${nats.events} in NATS ${ms(nats.lagMs)} after the end`;
  return [
    `${workers} workers, ${layers} layers, ${microbatches} microbatches, ${stages} stage(s), ${propagate}, ${layerMs} ms a layer on one worker`,
    `  job          ${(result.jobMs / 1000).toFixed(1)} s; tokens computed again: ${result.tokensAgain}`,
    `  a layer      ${ms(result.layerWallMs)}, of it compute ${ms(result.layerIdealMs)}, prune and commit ${ms(result.layerPruneMs)}, overhead ${ms(result.layerOverheadMs)}`,
    `  coordinator  ${result.coordinatorCpuSeconds.toFixed(1)} s of CPU (${(result.coordinatorCpuShare * 100).toFixed(0)} % of a core), at most ${each(result.coordinatorPeakBytes / MB)} MB resident; worker processes ${result.workersCpuSeconds.toFixed(1)} s of CPU`,
    `  tasks        ${result.tasks}, ${each(result.tasksPerSecond)} a second`,
    `  steps        ${result.steps}, ${each(result.stepsPerSecond)} a second; journal ${(result.journalBytes / MB).toFixed(1)} MB`,
    `  events       ${result.events}, ${result.eventsPerSecond.toFixed(1)} a second; ${toNats}`,
  ].join('\n');
}

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '64' },
    layers: { type: 'string', default: '80' },
    microbatches: { type: 'string', default: '128' },
    'layer-ms': { type: 'string', default: '0' },
    propagate: { type: 'string', default: 'pruned' },
    stages: { type: 'string', default: '1' },
    intermediate: { type: 'string', default: '16' },
    efficiency: { type: 'boolean', default: false },
    profile: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const shape: ScaleShape = {
  workers: Number(values.workers),
  layers: Number(values.layers),
  microbatches: Number(values.microbatches),
  layerMs: Number(values['layer-ms']),
  propagate: values.propagate === 'dense' ? 'dense' : 'pruned',
  stages: Number(values.stages),
  intermediate: Number(values.intermediate),
  profile: values.profile ?? null,
};
const alone = values.efficiency ? await runScale({ ...shape, workers: 1 }) : null;
const result = await runScale(shape);
const efficiency = alone === null ? null : alone.layerWallMs / (shape.workers * result.layerWallMs);
if (values.json) {
  const cpu = cpus()[0]?.model.trim() ?? 'unknown';
  console.log(JSON.stringify({ benchmark: 'scale', cpu, alone, result, efficiency }, null, 2));
} else {
  if (alone !== null) console.log(report(alone));
  console.log(report(result));
  if (efficiency !== null) console.log(`  efficiency   ${(efficiency * 100).toFixed(1)} %`);
}
