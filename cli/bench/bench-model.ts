/** A whole job on a synthetic model, by the real path (coordinator, workers, engines), with what its processes take. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseReportRecord } from '../../coordinator/report/record.ts';
import { PROVENANCE_FILE } from '../../shared/checkpoint/provenance-name.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { discardTo } from '../../shared/manifest/location.ts';
import { parseManifest } from '../../shared/manifest/parse-manifest.ts';
import { resolveLocations } from '../../shared/manifest/resolve-locations.ts';
import { layerTensors } from '../../shared/models/family.ts';
import { describeModel } from '../../shared/models/registry.ts';
import type { ShapeName } from '../../shared/synthetic/shapes.ts';
import { syntheticCheckpoint } from '../../shared/synthetic/synthetic-checkpoint.ts';
import { throwUnlessSucceeded } from '../follow-job.ts';
import type { ClosableListener } from '../render/job-listener.ts';
import { runJob } from '../run/run-job.ts';
import { readRecord } from '../verify/provenance-file.ts';
import { type BenchedModel, type ModelFigures, modelFigures } from './model-figures.ts';
import { ProcessWatch } from './process-watch.ts';

/** Tokens of one sample; of fewer, there is one sample. */
const SEQUENCE_LENGTH = 128;

export interface BenchModelOptions {
  readonly shape: ShapeName;
  readonly layers: number;
  /** At least; whole samples. */
  readonly tokens: number;
  readonly workers: number;
  readonly threads: number | null;
  readonly provider: string;
  readonly listener: ClosableListener;
}

/** @returns null where it was interrupted */
export async function benchModel(options: BenchModelOptions): Promise<ModelFigures | null> {
  const { shape, layers, tokens, workers, threads, provider, listener } = options;
  const sequenceLength = Math.min(SEQUENCE_LENGTH, tokens);
  const samples = Math.ceil(tokens / sequenceLength);
  const source = `synthetic:${shape}?layers=${layers}&seed=0&dtype=bf16`;
  const folder = await mkdtemp(join(tmpdir(), 'secateur-bench-'));
  const output = join(folder, 'out');
  const manifest = {
    apiVersion: 'secateur/v1',
    kind: 'PruneJob',
    metadata: { name: `bench-${shape.replaceAll('.', '-')}` },
    spec: {
      model: { source },
      output: { destination: discardTo(output) },
      calibration: {
        tokens: `synthetic:tokens?samples=${samples}&sequenceLength=${sequenceLength}&seed=0`,
        // Every worker has its share of the samples, in one run a pass.
        microbatch: Math.max(1, Math.ceil(samples / workers)),
      },
      pruning: { method: 'wanda', sparsity: 0.5 },
    },
  };
  try {
    using watch = new ProcessWatch(process.pid, 'coordinator');
    const outcome = await runJob({
      manifest: resolveLocations(parseManifest(JSON.stringify(manifest), 'bench'), folder),
      stateDirectory: join(folder, 'state'),
      listen: '127.0.0.1:0',
      nats: [],
      workers,
      threads,
      provider,
      listener,
    });
    if (outcome.kind === 'interrupted') return null;
    throwUnlessSucceeded(outcome.job);
    const record = parseReportRecord(await readRecord(output), PROVENANCE_FILE);
    return modelFigures({ ...dimensionsOf(source), source, samples, sequenceLength }, record, watch.usage());
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function dimensionsOf(source: string): Omit<BenchedModel, 'source' | 'samples' | 'sequenceLength'> {
  const description = describeModel(syntheticCheckpoint(source).config);
  const weights = layerTensors(description, 0).linears.map(({ outFeatures, inFeatures }) => outFeatures * inFeatures);
  const last = weights.at(-1);
  if (last === undefined) throw new SecateurError('Internal', `${source} has no linear`);
  const weightsPerLayer = weights.reduce((sum, count) => sum + count, 0);
  return {
    layerCount: description.layerCount,
    hiddenSize: description.hiddenSize,
    weightsPerLayer,
    weightsCalibrated: weightsPerLayer - last,
  };
}
