/**
 * How fast a decoder layer runs on the CPU, beside the matrix product that bounds it.
 *
 *   npx node bench/forward.ts [--hidden 1024] [--intermediate 2816] [--threads 1] [--tokens 2048] [--rounds 7] [--json]
 *
 * The layer: heads of 64, a quarter as many key and value heads, bf16, statistics and next hidden states, one sample. The ceiling: one float32 product of the layer's largest shape, alone in a graph, its weight packed
 * or not. The variants take turns in every round, so that a busy machine slows all of them; the best round counts, and
 * the median tells how quiet it was. Counted are the products of the linears and of causal attention, nothing else.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openLayer, openProduct } from './forward-variants.ts';
import { rerunAsEngine } from './rerun-as-engine.ts';

interface Settings {
  readonly hidden: number;
  readonly intermediate: number;
  readonly threads: number;
  readonly tokens: number;
  readonly rounds: number;
}

async function measure(
  settings: Settings,
): Promise<{ name: string; createMs: number; best: number; median: number }[]> {
  const folder = await mkdtemp(join(tmpdir(), 'secateur-bench-'));
  try {
    const where = { folder, ...settings };
    const opened = [
      await openLayer(where, true),
      await openLayer(where, false),
      await openProduct(where, true),
      await openProduct(where, false),
    ];
    const variants = opened.map((variant) => ({ ...variant, runMs: [] as number[] }));
    for (let round = 0; round <= settings.rounds; round++) {
      for (const { session, feeds, runMs } of variants) {
        const started = performance.now();
        await session.run(feeds);
        // The first round warms caches and the file's pages.
        if (round > 0) runMs.push(performance.now() - started);
      }
    }
    for (const { session } of variants) await session.release();
    return variants.map(({ name, flop, createMs, runMs }) => {
      const sorted = runMs.toSorted((a, b) => a - b);
      const gflopPerS = (ms: number): number => flop / ms / 1e6;
      return {
        name,
        createMs,
        best: gflopPerS(sorted[0] as number),
        median: gflopPerS(sorted[Math.floor(sorted.length / 2)] as number),
      };
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

rerunAsEngine();

const { values } = parseArgs({
  options: {
    hidden: { type: 'string', default: '1024' },
    intermediate: { type: 'string', default: '2816' },
    threads: { type: 'string', default: '1' },
    tokens: { type: 'string', default: '2048' },
    rounds: { type: 'string', default: '7' },
    json: { type: 'boolean', default: false },
  },
});
const settings = {
  hidden: Number(values.hidden),
  intermediate: Number(values.intermediate),
  threads: Number(values.threads),
  tokens: Number(values.tokens),
  rounds: Number(values.rounds),
};
const results = await measure(settings);
const cpu = cpus()[0]?.model.trim() ?? 'unknown';
if (values.json) {
  process.stdout.write(`${JSON.stringify({ benchmark: 'forward', cpu, ...settings, results })}\n`);
} else {
  process.stdout.write(
    `${cpu}, hidden ${settings.hidden}, intermediate ${settings.intermediate}, ${settings.threads} thread(s), ${settings.tokens} tokens, ${settings.rounds} rounds\n\n`,
  );
  process.stdout.write('| variant | create ms | best GFLOP/s | median GFLOP/s |\n|---|---|---|---|\n');
  for (const { name, createMs, best, median } of results) {
    process.stdout.write(`| ${name} | ${createMs.toFixed(0)} | ${best.toFixed(0)} | ${median.toFixed(0)} |\n`);
  }
}
