/** The plots of a report: scales, marks where their values are, and nothing hostile that comes through. */
import { describe, expect, it } from 'vitest';
import { barChart } from '../../../shared/plots/bar-chart.ts';
import { layerPanels } from '../../../shared/plots/layer-panels.ts';
import { escapeText, html, shortened } from '../../../shared/plots/markup.ts';
import { linearScale, logScale, SHARE_SCALE } from '../../../shared/plots/scale.ts';
import { timeline } from '../../../shared/plots/timeline.ts';
import { parseXml } from './parse-xml.ts';

const HOSTILE = '"><script>alert(1)</script><i a=\'';

describe('markup', () => {
  it('escapes every value of a template, in text and in attributes, and nothing else', () => {
    expect(html`<p title="${HOSTILE}">${['a & b', html`<b>${1}</b>`]}</p>`.text).toBe(
      '<p title="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;i a=&#39;">a &amp; b<b>1</b></p>',
    );
  });

  it('shows characters that nobody sees, or that turn the text around, and half pairs', () => {
    expect(escapeText('a\0b\u202ec\u200bd\ud800e\x1b[1m\n')).toBe('a�b�c�d�e�[1m\n');
    expect(escapeText('é 漢 🦙')).toBe('é 漢 🦙');
  });

  it('shortens a name in its middle', () => {
    expect(shortened('self_attn.q_proj', 16)).toBe('self_attn.q_proj');
    expect(shortened('self_attn.q_proj', 9)).toBe('self…proj');
    expect([...shortened('🦙'.repeat(9), 5)]).toHaveLength(5);
  });
});

describe('scales', () => {
  it.each([
    [33.2, [0, 10, 20, 30, 40]],
    [1, [0, 0.5, 1]],
    [0.3, [0, 0.1, 0.2, 0.3]],
    [0, [0, 0.5, 1]],
    [Number.NaN, [0, 0.5, 1]],
  ])('linear to %d', (max, ticks) => {
    const scale = linearScale(max);
    expect(scale.ticks).toEqual(ticks);
    expect(scale.at(ticks.at(-1) ?? 0)).toBeCloseTo(1, 12);
    expect(scale.at(0)).toBe(0);
  });

  it('logarithmic: whole decades around the positive values, zero at the foot', () => {
    const scale = logScale([0, 0.02, 3, Number.POSITIVE_INFINITY]);
    expect(scale?.ticks).toEqual([0.01, 0.1, 1, 10]);
    expect(scale?.at(0.1)).toBeCloseTo(1 / 3);
    expect([scale?.at(0), scale?.at(1e9)]).toEqual([0, 1]);
    expect(logScale([10])?.ticks).toEqual([10, 100]);
    expect(logScale([0, -1])).toBeNull();
  });
});

describe('plots are well-formed, and have what they were given', () => {
  it('bars as long as their values, each with its name and number', () => {
    const svg = barChart({
      name: 'Perplexity',
      axis: 'perplexity',
      groups: [
        {
          label: HOSTILE,
          bars: [
            { label: 'before', value: 10, kind: 'a' },
            { label: 'after', value: 20, kind: 'b' },
          ],
        },
      ],
      show: (value) => value.toFixed(1),
    }).text;
    const { elements, text } = parseXml(svg);
    const [before, after] = elements
      .filter(({ name }) => name === 'rect')
      .map(({ attributes }) => Number(attributes.width));
    expect(after).toBeCloseTo(2 * (before ?? 0));
    expect(text).toEqual(expect.arrayContaining(['10.0', '20.0', 'perplexity', HOSTILE]));
    expect(elements.map(({ name }) => name)).not.toContain('script');
  });

  it('a mark for each layer that has a value, as high as it is; eighty layers in about the width of a page', () => {
    const values = Array.from({ length: 80 }, (_, layer) => (layer === 3 ? null : layer / 100));
    const svg = layerPanels({
      name: 'Sparsity',
      scale: SHARE_SCALE,
      mark: 'bar',
      rows: [{ label: 'mlp.down_proj', values }],
      show: (value) => `${value * 100} %`,
    }).text;
    const { elements, text } = parseXml(svg);
    const heights = elements.filter(({ name }) => name === 'rect').map(({ attributes }) => Number(attributes.height));
    expect(heights).toHaveLength(79);
    expect(heights.at(-1)).toBeCloseTo(0.79 * 46, 1);
    expect(Number(elements[0]?.attributes.width)).toBeLessThan(1000);
    expect(text).toContain('layer 50, mlp.down_proj: 50 %');
  });

  it('ranges, dots, and a ring for zero on a logarithmic scale', () => {
    const scale = logScale([0.01, 100]) as NonNullable<ReturnType<typeof logScale>>;
    const rows = [{ label: 'x', values: [{ min: 0.01, mean: 1, max: 100 }, 1, 0] }];
    const svg = layerPanels({ name: 'x', scale, mark: 'dot', rows, show: String }).text;
    const { elements } = parseXml(svg);
    const circles = elements.filter(({ name }) => name === 'circle').map(({ attributes }) => attributes.class);
    expect(circles).toEqual(['a', 'a', 'ring']);
    const range = elements.find(({ attributes }) => attributes.class === 'range')?.attributes;
    expect(Number(range?.y1) - Number(range?.y2)).toBeCloseTo(46);
  });

  it('a timeline with a lane for each kind, and a cross for what came to nothing', () => {
    const svg = timeline({
      name: 'Timeline',
      lanes: [
        { label: 'pass', kind: 'calibrate' },
        { label: 'prune', kind: 'prune' },
      ],
      rows: [
        {
          label: HOSTILE,
          bars: [
            { lane: 0, fromMs: 0, toMs: 2000, title: 'first', isFault: false },
            { lane: 1, fromMs: 2000, toMs: 2001, title: 'second', isFault: true },
          ],
        },
      ],
      totalMs: 4000,
    }).text;
    const { elements, text } = parseXml(svg);
    const bars = elements.filter(({ name }) => name === 'rect').map(({ attributes }) => attributes);
    expect(Number(bars[0]?.width)).toBeCloseTo(380);
    expect(Number(bars[1]?.y)).toBeGreaterThan(Number(bars[0]?.y));
    expect(elements.filter(({ attributes }) => attributes.class === 'fault')).toHaveLength(1);
    expect(text).toContain('s since the job began');
  });
});
