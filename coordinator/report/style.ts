/** The look of a report: one style sheet, light and dark, on paper and on a phone. No font, image or script. */
import { type Markup, trusted } from '../../shared/plots/markup.ts';

interface Palette {
  readonly page: string;
  readonly panel: string;
  readonly ink: string;
  readonly muted: string;
  readonly grid: string;
  /** Marks and bars: by what they stand for, never by colour alone. */
  readonly marks: {
    readonly a: string;
    readonly b: string;
    readonly calibrate: string;
    readonly forward: string;
    readonly prune: string;
    readonly evaluate: string;
    readonly other: string;
    readonly fault: string;
  };
}

/** Every text and mark has a contrast of 4.5 or more against the page and against panels (a test says so). */
export const LIGHT: Palette = {
  page: '#ffffff',
  panel: '#f4f6f8',
  ink: '#1b1f24',
  muted: '#535c66',
  grid: '#d5dae0',
  marks: {
    a: '#0b5cad',
    b: '#8f4a00',
    calibrate: '#0b5cad',
    forward: '#00696b',
    prune: '#8f4a00',
    evaluate: '#6b3fb5',
    other: '#535c66',
    fault: '#b3261e',
  },
};

export const DARK: Palette = {
  page: '#14181d',
  panel: '#1d232a',
  ink: '#e6e9ec',
  muted: '#a8b2bc',
  grid: '#39424c',
  marks: {
    a: '#6cb6ff',
    b: '#f0a860',
    calibrate: '#6cb6ff',
    forward: '#4fc7c4',
    prune: '#f0a860',
    evaluate: '#c3a6ff',
    other: '#a8b2bc',
    fault: '#ff8f87',
  },
};

function variables({ marks, ...rest }: Palette): string {
  return Object.entries({ ...rest, ...marks })
    .map(([name, colour]) => `--${name}:${colour}`)
    .join(';');
}

const MARK_RULES = Object.keys(LIGHT.marks)
  .filter((name) => name !== 'fault')
  .map((name) => `svg .${name},.key.${name}{fill:var(--${name});background:var(--${name})}`)
  .join('\n');

export const STYLE: Markup = trusted(`
:root{color-scheme:light dark;${variables(LIGHT)}}
@media (prefers-color-scheme:dark){:root{${variables(DARK)}}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:62rem;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.2rem;margin:2.5rem 0 .5rem}
p{margin:.25rem 0 .75rem;max-width:46rem}
.muted,.tick{color:var(--muted);fill:var(--muted)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:1rem 0;padding:0}
.facts div{background:var(--panel);border-radius:6px;padding:.6rem .75rem}
.facts dt{color:var(--muted);font-size:.85rem}
.facts dd{margin:0;font-size:1.15rem;font-variant-numeric:tabular-nums}
.facts dd small{display:block;font-size:.8rem;color:var(--muted)}
.scroll{overflow-x:auto;max-width:100%}
figure{margin:.5rem 0}
figcaption{color:var(--muted);font-size:.9rem}
svg{display:block;font:12px system-ui,sans-serif;fill:var(--ink)}
svg .tick{font-size:11px}
svg .strong{font-weight:600}
svg .axis{stroke:var(--muted)}
svg .grid{stroke:var(--grid)}
svg .range{stroke:var(--a);stroke-width:2}
svg .ring{fill:none;stroke:var(--a);stroke-width:1.5}
svg .fault{stroke:var(--fault);stroke-width:2;fill:none}
${MARK_RULES}
.key{display:inline-block;width:.8rem;height:.8rem;margin-right:.35rem;vertical-align:-.05rem}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;margin:.5rem 0;padding:0;font-size:.9rem}
details{margin:.5rem 0}
summary{cursor:pointer;color:var(--muted)}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .7rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--grid)}
td{overflow-wrap:normal}
td.name{overflow-wrap:anywhere;min-width:9rem}
td.digest{overflow-wrap:anywhere;min-width:17rem;font-family:ui-monospace,monospace;font-size:.78rem}
th{color:var(--muted);font-weight:600;white-space:nowrap}
.number{text-align:right;white-space:nowrap}
pre{background:var(--panel);border-radius:6px;padding:.75rem;overflow-x:auto;font:13px/1.45 ui-monospace,monospace;white-space:pre-wrap}
:focus-visible{outline:2px solid var(--a);outline-offset:2px}
@media print{:root{color-scheme:light;${variables(LIGHT)}}body{max-width:none;padding:0;font-size:11px}.scroll{overflow:visible}svg{max-width:100%;height:auto}details::details-content{content-visibility:visible;height:auto}figure,tr{break-inside:avoid}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
`);
