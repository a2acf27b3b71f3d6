/** What a real job writes for people: its report and its model card, beside what it writes for programs. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { Bench, microManifest, REPOSITORY } from '../support/secateur-process.ts';
import { parseXml } from '../unit/report/parse-xml.ts';

const FIXTURES = join(REPOSITORY, 'test/golden/fixtures/micro');
const OWN_CARD = '---\nlicense: mit\ntags: [tiny]\n---\n# Its own card\n';

interface Recorded {
  readonly layers: readonly {
    readonly tensors: Record<string, { readonly zeros: number; readonly outputError: number }>;
  }[];
  readonly timeline: readonly {
    readonly worker: string;
    readonly spans: readonly {
      readonly kind: string;
      readonly fromMs: number;
      readonly toMs: number;
      readonly tasks: number;
    }[];
  }[];
  readonly times: { readonly elapsedMs: number };
  outputs: { file: string; sha256: string }[];
}

describe('report.html and README.md', () => {
  it('say what secateur.json says, are verified, and can be written again', async () => {
    await using bench = new Bench();
    const source = bench.path('model');
    cpSync(join(REPOSITORY, 'examples/micro-llama/model'), source, { recursive: true });
    writeFileSync(join(source, 'README.md'), OWN_CARD);
    writeFileSync(join(source, 'report.html'), '<p>of the source</p>');
    const output = bench.path('out');
    const evaluation = { tokens: [join(FIXTURES, 'evaluation.safetensors')] };
    writeFileSync(bench.path('m.yaml'), microManifest({ output, source, evaluation }));
    const finished = await bench.run(['run', bench.path('m.yaml'), '--workers', '3', '--threads', '1']);
    expect(finished.code, finished.stderr).toBe(0);

    const record: Recorded = JSON.parse(readFileSync(join(output, 'secateur.json'), 'utf8'));
    checkTimeline(record);
    const page = readFileSync(join(output, 'report.html'), 'utf8');
    checkPage(page, record);

    const card = readFileSync(join(output, 'README.md'), 'utf8');
    expect(parse(card.split('---\n')[1] ?? '')).toMatchObject({
      license: 'mit',
      tags: ['tiny', 'pruned', 'sparse', 'wanda', 'secateur'],
    });
    expect(card).toContain('| `evaluation.safetensors` | 64 x 128 tokens | 13.043 | 33.255 | 2.55 |');
    expect(readFileSync(join(output, 'secateur/source-README.md'), 'utf8')).toBe(OWN_CARD);
    expect(readFileSync(join(output, 'secateur/source-report.html'), 'utf8')).toBe('<p>of the source</p>');

    rmSync(join(output, 'report.html'));
    expect((await bench.run(['verify', output])).code).toBe(6);
    const again = await bench.run(['report', output]);
    expect(again.code, again.stderr).toBe(0);
    expect(readFileSync(join(output, 'report.html'), 'utf8')).toBe(page);
    const verified = await bench.run(['verify', output, '--source', source]);
    expect(verified.code, verified.stdout + verified.stderr).toBe(0);

    await checkOfAnotherVersion(bench, output, record, page);
  });
});

/** Every kind of work that this job has, by somebody; nobody at two things at once, nothing outside the job's time. */
function checkTimeline({ timeline, times }: Recorded): void {
  expect(timeline.length).toBeGreaterThan(0);
  const spans = timeline.flatMap((row) => row.spans);
  expect(new Set(spans.map(({ kind }) => kind))).toEqual(
    new Set(['prepare', 'digest', 'calibrate', 'forward', 'prune', 'evaluate']),
  );
  for (const row of timeline) {
    for (const [index, { fromMs, toMs }] of row.spans.entries()) {
      expect(fromMs).toBeGreaterThanOrEqual(row.spans[index - 1]?.toMs ?? 0);
      expect(toMs).toBeGreaterThanOrEqual(fromMs);
      expect(toMs).toBeLessThanOrEqual(times.elapsedMs);
    }
  }
}

function checkPage(page: string, { layers, timeline }: Recorded): void {
  const { elements, text } = parseXml(page);
  for (const shown of ['13.043 → 33.255', '50.00 %', 'wanda, 50 %']) expect(text).toContain(shown);
  const marks = text.filter((piece) => /^layer \d+, (self_attn|mlp)\.\w+: /.test(piece));
  // A mark for the sparsity of each linear, and one for its error.
  expect(marks).toHaveLength(2 * layers.reduce((sum, { tensors }) => sum + Object.keys(tensors).length, 0));
  const error = layers[2]?.tensors['model.layers.2.mlp.up_proj.weight']?.outputError ?? 0;
  expect(text).toContain(String(Number(error.toPrecision(4))));
  for (const { worker } of timeline) expect(text).toContain(worker);
  expect(page).not.toMatch(/<script|<link|<img|\bsrc=|\bhref=|url\(/);
  expect(elements.some(({ attributes }) => attributes['http-equiv'] === 'Content-Security-Policy')).toBe(true);
}

/** The record lists another page: in its place nothing is written that `verify` would fault. */
async function checkOfAnotherVersion(bench: Bench, output: string, record: Recorded, page: string): Promise<void> {
  record.outputs = record.outputs.map((each) =>
    each.file === 'report.html' ? { ...each, sha256: 'a'.repeat(64) } : each,
  );
  writeFileSync(join(output, 'secateur.json'), JSON.stringify(record));
  writeFileSync(join(output, 'report.html'), 'of another version');
  const refused = await bench.run(['report', output]);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(/lists another report\.html .* --to\. \[ArgumentInvalid\]/);
  expect(readFileSync(join(output, 'report.html'), 'utf8')).toBe('of another version');
  expect((await bench.run(['report', output, '--to', bench.path('page.html')])).code).toBe(0);
  expect(readFileSync(bench.path('page.html'), 'utf8')).toBe(page);
}
