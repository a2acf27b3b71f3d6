/** A record of any number of layers and workers, as `secateur.json` would have it. */
import { seededRandom } from '../../support/seeded-random.ts';

const LINEARS: readonly (readonly [string, number])[] = [
  ['self_attn.q_proj', 4096],
  ['self_attn.k_proj', 1024],
  ['self_attn.v_proj', 1024],
  ['self_attn.o_proj', 4096],
  ['mlp.gate_proj', 11008],
  ['mlp.up_proj', 11008],
  ['mlp.down_proj', 11008],
];
const STATISTICS = ['attentionInput', 'attentionOutput', 'mlpInput', 'mlpActivation'] as const;
const file = (name: string) => ({ file: name, sizeBytes: 1_234_567, sha256: 'a'.repeat(64) });

/** @param name every name that comes from outside: of job, file, tensor, worker, text */
export function sampleRecord(layers: number, workers: number, name = (what: string): string => what): object {
  const random = seededRandom(7);
  const ids = Array.from({ length: workers }, (_, index) => name(`worker-${index}`));
  return {
    format: 'secateur.provenance/v1',
    job: { id: name('job-1'), namespace: 'default', name: name('llama') },
    versions: { secateur: '0.1.0', node: 'v24.0.0' },
    manifest: {
      metadata: { name: name('llama') },
      spec: { output: { destination: name('file:///out') }, pruning: { method: name('wanda'), sparsity: 0.5 } },
    },
    model: { architecture: name('LlamaForCausalLM'), hiddenSize: 4096 },
    calibration: { samples: 128, sequenceLength: 2048 },
    plan: { stages: [{ firstLayer: 0, layerCount: layers }], replicas: workers, microbatch: 1 },
    prediction: { totalMs: 1_000_000, computeMs: 900_000, pruneMs: 30_000 },
    measurement: { totalMs: 1_100_000, computeMs: 950_000, pruneMs: 31_000, tokensRedone: 4096 },
    inputs: { shards: [file(name('model.safetensors'))], files: [file(name('config.json'))], calibration: [] },
    outputs: [file(name('model.safetensors')), file('report.html')],
    totals: { prunedTensors: 7 * layers, weights: 2_000_000, zeros: 1_000_000, sparsity: 0.5 },
    perplexity: [
      {
        text: name('wiki.txt'),
        sha256: 'x',
        windows: 10,
        sequenceLength: 2048,
        dense: 5.677,
        pruned: 7.2612,
        ratio: 1.279,
      },
    ],
    layers: Array.from({ length: layers }, (_, layer) => ({
      layer,
      worker: ids[layer % workers],
      committed: '2026-01-01T00:00:00.000Z',
      pruneMs: 400,
      outputError: 0.001 * 10 ** (2 * random()),
      tensors: Object.fromEntries(
        LINEARS.map(([linear, width]) => [
          name(`model.layers.${layer}.${linear}.weight`),
          {
            elements: 4096 * width,
            zeros: Math.floor(4096 * width * (0.3 + 0.4 * random())),
            outputError: layer === 1 ? 0 : 0.0001 * 10 ** (3 * random()),
          },
        ]),
      ),
    })),
    statistics: Array.from({ length: layers }, (_, layer) => layer).flatMap((layer) =>
      STATISTICS.map((statistic) => {
        const mean = 100 * 10 ** (2 * random());
        return {
          layer,
          statistic: name(statistic),
          columns: 4096,
          min: mean / 50,
          mean,
          max: mean * 1000,
          topShare: random(),
        };
      }),
    ),
    workers: Object.fromEntries(
      ids.map((id) => [
        id,
        { provider: 'cpu', threads: 8, memoryBytes: 2 ** 35, version: '0.1.0', engineVersion: name('1.30.0') },
      ]),
    ),
    timeline: ids.map((worker, index) => ({
      worker,
      tokensPerSecond: 1000,
      spans: Array.from({ length: layers }, (_, layer) => layer).flatMap((layer) => {
        const at = (1_000_000 / layers) * layer;
        const span = (kind: string, from: number, to: number, over: object = {}) => ({
          kind,
          layers: [layer, layer],
          fromMs: at + (from * 1_000_000) / layers,
          toMs: at + (to * 1_000_000) / layers,
          busyMs: ((to - from) * 1_000_000) / layers,
          computeMs: ((to - from) * 900_000) / layers,
          ioMs: ((to - from) * 50_000) / layers,
          tasks: 3,
          ...over,
        });
        return [
          span('calibrate', 0, 0.5),
          ...(layer % workers === index ? [span('prune', 0.5, 0.6, layer === 5 ? { failed: 1, lost: 1 } : {})] : []),
          span('forward', 0.6, 1),
        ];
      }),
    })),
    times: {
      submitted: '2026-01-01T00:00:00.000Z',
      started: null,
      published: '2026-01-01T01:00:00.000Z',
      elapsedMs: 1_100_000,
      resumes: 1,
    },
  };
}
