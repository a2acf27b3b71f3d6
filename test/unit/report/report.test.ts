/** The report and the model card: what the record says, well-formed, and nothing hostile that comes through. */
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { renderModelCard } from '../../../coordinator/report/model-card.ts';
import { parseReportRecord, type ReportRecord } from '../../../coordinator/report/record.ts';
import { renderReport } from '../../../coordinator/report/render-report.ts';
import { parseManifest } from '../../../shared/manifest/parse-manifest.ts';
import { parseXml } from './parse-xml.ts';
import { sampleRecord } from './sample-record.ts';

const read = (record: object): ReportRecord => parseReportRecord(JSON.parse(JSON.stringify(record)), 'secateur.json');
const hostile = (what: string): string =>
  `${what}"'></title></style></code></pre></svg><script>alert(1)</script><img src=http://x/\n`;

/** Everything that makes a browser load or run something. */
const LOADING = /^(src|href|srcset|data|action|formaction|background|poster|xlink:href|style|on.*)$/;

describe('the report', () => {
  it('says what the record says', () => {
    const { text } = parseXml(renderReport(read(sampleRecord(4, 3))));
    const all = text.join('\n');
    for (const shown of ['5.677 → 7.261', '1.279 times', '50.00 %', 'wanda, 50 %', '18m 20s', 'resumed once', '4 096'])
      expect(all).toContain(shown);
    expect(all).toContain('layer 3, mlp.down_proj: ');
    expect(all).toContain(
      'worker-2: calibrate, layer 3, from 12m 30s to 14m 35s, busy 2m 05s, computing 1m 52s, reading and writing 6.3 s, 3 tasks',
    );
    expect(all).toContain('sparsity: 0.5');
  });

  it('is the same for the same record, and does not change with its own digest', () => {
    const record = sampleRecord(2, 1) as { outputs: object[] };
    const other = {
      ...record,
      outputs: [...record.outputs.slice(0, 1), { file: 'report.html', sizeBytes: 1, sha256: 'b' }],
    };
    expect(renderReport(read(other))).toBe(renderReport(read(record)));
  });

  it.each([
    ['plain', (what: string): string => what],
    ['hostile', hostile],
  ])('is well-formed with %s names, runs nothing and loads nothing', (_, name) => {
    const page = renderReport(read(sampleRecord(3, 2, name)));
    const { elements, text } = parseXml(page);
    const names = new Set(elements.map((element) => element.name));
    for (const name of ['script', 'img', 'link', 'iframe', 'object', 'a', 'image', 'use'])
      expect(names).not.toContain(name);
    for (const { attributes } of elements)
      for (const attribute of Object.keys(attributes)) expect(attribute).not.toMatch(LOADING);
    const policy = elements.find(({ attributes }) => attributes['http-equiv'] === 'Content-Security-Policy');
    expect(policy?.attributes.content).toMatch(/^default-src 'none'; style-src 'unsafe-inline'$/);
    expect(text.join('\n')).toContain(name('worker-1').trim());
  });

  it('has a table beside every plot', () => {
    const { elements } = parseXml(renderReport(read(sampleRecord(2, 2))));
    const plots = elements.filter(({ attributes }) => attributes.role === 'img');
    expect(plots.length).toBeGreaterThanOrEqual(6);
    for (const { attributes } of plots) expect(attributes['aria-label']).toMatch(/\w/);
    expect(elements.filter(({ name }) => name === 'table').length).toBeGreaterThanOrEqual(plots.length);
  });

  it('of a thousand workers and eighty layers stays a page', () => {
    expect(renderReport(read(sampleRecord(80, 1000))).length).toBeLessThan(4_000_000);
  });

  it('of a record that an earlier version wrote leaves out what it does not say', () => {
    const { format, job, inputs, outputs, totals, times, layers } = sampleRecord(2, 1) as ReportRecord;
    const page = renderReport(read({ format, job: { id: job.id }, inputs, outputs, totals, times, layers }));
    expect(parseXml(page).text).not.toContain('Timeline');
    expect(parseXml(page).text).toContain('Sparsity');
  });

  it.each([
    ['no record', []],
    ['another format', { ...sampleRecord(1, 1), format: 'x' }],
    ['a sparsity that is no number', { ...sampleRecord(1, 1), totals: { sparsity: '<script>' } }],
  ])('is not made of %s', (_, record) => {
    expect(() => read(record)).toThrow(expect.objectContaining({ code: 'VerificationFailed' }));
  });
});

describe('the model card', () => {
  const card = (own: string | null, directory = '/models/llama', record = sampleRecord(2, 1)): string =>
    renderModelCard(read(record), {
      directory,
      card: own,
      cardFile: own === null ? null : 'secateur/source-README.md',
    });
  const front = (text: string): Record<string, unknown> => parse(text.split('---\n')[1] ?? '');

  it('takes over what pruning does not change, and adds what it is', () => {
    const own =
      '---\r\nlicense: llama2\r\nlanguage:\r\n- en\r\n- de\r\ntags: [facebook, pruned]\r\nbase_model: a/b\r\ninference: false\r\nwidget:\r\n- text: hi\r\n---\r\n# Llama';
    expect(front(card(own))).toEqual({
      license: 'llama2',
      language: ['en', 'de'],
      library_name: 'transformers',
      pipeline_tag: 'text-generation',
      base_model: 'a/b',
      tags: ['facebook', 'pruned', 'sparse', 'wanda', 'secateur'],
    });
  });

  it("says of what was kept whether it is the source's", () => {
    const of = (method: string): string => {
      const record = sampleRecord(2, 1) as { manifest: { spec: { pruning: object } } };
      record.manifest.spec.pruning = { method, sparsity: 0.5 };
      return card(null, '/models/llama', record);
    };
    expect(of('wanda')).not.toContain("are not the source's");
    expect(of('sparsegpt')).toContain(
      "Those that were kept in these matrices are not the source's: sparsegpt changed them",
    );
    for (const method of ['wanda', 'sparsegpt']) expect(of(method)).toContain("Every other tensor is the source's");
  });

  it('names the base model where the cache of the Hub does, and claims none where nothing does', () => {
    const cached = '/root/.cache/huggingface/hub/models--meta-llama--Llama-2-7b-hf/snapshots/0123abc';
    expect(front(card('---\nbase_model: a/b\n---\n', cached)).base_model).toBe('meta-llama/Llama-2-7b-hf');
    expect(card(null, cached)).toContain('# `meta-llama/Llama-2-7b-hf`, pruned (wanda, 50 %)');
    expect(front(card(null))).not.toHaveProperty('base_model');
    expect(front(card(null))).not.toHaveProperty('license');
  });

  it.each([
    ['no end', '---\nlicense: x\n'],
    ['no YAML', '---\n{: [\n---\n'],
    ['a list', '---\n- license\n---\n'],
    ['aliases that grow', `---\na: &a [x,x]\nb: &b [*a,*a]\nlicense: *b\n---\n`],
    ['objects for texts', '---\nlicense: {a: b}\ntags: [{a: b}, [c]]\n---\n'],
    ['control characters', '---\nlicense: "a\\u001b[2J"\n---\n'],
    ['endless texts', `---\nlicense: ${'x'.repeat(1000)}\n---\n`],
  ])('takes nothing from front matter with %s', (_, own) => {
    const fields = front(card(own));
    expect(fields).not.toHaveProperty('license');
    expect(fields.tags).toEqual(['pruned', 'sparse', 'wanda', 'secateur']);
  });

  it('has no markup of hostile names outside of code', () => {
    const text = card(null, '/models/`` <b>|x', sampleRecord(2, 1, hostile));
    const outside = text
      .replace(/^---\n[\s\S]*?\n---\n/, '')
      .replace(/^(`{3,})[\s\S]*?^\1$/gm, '')
      .replace(/(`+)(?!`)[^\n]*?[^`]\1(?!`)/g, '');
    expect(outside).not.toMatch(/[<>]/);
  });

  it('holds a manifest that is one', () => {
    const manifest = /```yaml\n([\s\S]*?)```/.exec(card(null))?.[1] ?? '';
    const parsed = parseManifest(manifest, 'again.yaml');
    expect(parsed.spec.pruning).toMatchObject({ method: 'wanda', sparsity: 0.5 });
    expect(parsed.spec.model.source).toMatch(/\.\/llama$/);
  });

  it('has nothing of one run: no times, no workers, no paths of the machine', () => {
    expect(card(null)).not.toMatch(/worker|2026|\/models|job-1|18m/);
  });
});
