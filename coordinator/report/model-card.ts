/**
 * `README.md` of the output: a Hugging Face model card. It says what holds of the bytes beside it, however they were made:
 * no times, no workers, no path of this machine; so it is the same whenever the weights are.
 */
import { stringify } from 'yaml';
import { updatesWeights } from '../../shared/manifest/method-options.ts';
import { showCount, showShare } from '../../shared/units.ts';
import { type FrontMatter, readFrontMatter } from './front-matter.ts';
import { baseName, linearName, showDecimal, showPerplexity, UNKNOWN } from './quantities.ts';
import { askedFor, type ReportRecord } from './record.ts';

export interface CardSource {
  /** Folder of the source. */
  readonly directory: string;
  /** Its own card; null where it has none. */
  readonly card: string | null;
  /** Where that is kept now, relative to the output. */
  readonly cardFile: string | null;
}

/** Folders of the Hub's cache say which repository they hold: models--org--name/snapshots/<revision>. */
const HUB_CACHE = /(?:^|\/)models--([A-Za-z0-9._-]+?)(?:--([A-Za-z0-9._-]+?))?\/snapshots\/[^/]+\/*$/;

export function renderModelCard(record: ReportRecord, source: CardSource): string {
  const carried = source.card === null ? {} : readFrontMatter(source.card);
  const name = sourceName(source.directory);
  const { method: known, amount } = askedFor(record);
  const method = known ?? UNKNOWN;
  const front = stringify(frontMatter(carried, source.directory, method), { lineWidth: 0 });
  const asked = [method, amount].filter((part) => part !== null).map(word);
  return `---
${front}---

# ${code(name)}, pruned (${asked.join(', ')})

${code(name)} with ${showShare(record.totals.sparsity)} of the weights in ${showCount(record.totals.prunedTensors)} matrices set to zero
(${showCount(record.totals.zeros)} of ${showCount(record.totals.weights)}). ${othersPart(method)}
Written by [secateur](#provenance)${record.versions === undefined ? '' : ` ${record.versions.secateur}`}.
${perplexityPart(record)}
## Sparsity

${sparsityTable(record)}

## How to load it

The files are those of an ordinary checkpoint, with the source's configuration and tokenizer:

\`\`\`python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/to/this/folder", torch_dtype="auto")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
\`\`\`

\`\`\`sh
vllm serve path/to/this/folder
\`\`\`

The zeros are stored as any other weight: the files are as large as before, and no faster unless what runs them makes use of
the zeros.

## How it was made

${settingsPart(record, name)}

## Provenance

\`secateur.json\` names every input and output with its SHA-256, and the zeros of every matrix; \`report.html\` shows the same to
people. \`secateur verify path/to/this/folder\` proves both the files and the sparsity.${
    source.cardFile === null ? '' : `\n\nThe source's own card is in ${code(source.cardFile)}.`
  }
`;
}

/** What became of everything that is not zero now. */
function othersPart(method: string): string {
  const untouched = "Every other tensor is the source's, bit for bit.";
  if (!updatesWeights({ method })) return untouched;
  return `Those that were kept in these matrices are not the source's: ${word(method)} changed them, to make up for what went.
${untouched}`;
}

type Section = Record<string, unknown>;

function specOf(manifest: ReportRecord['manifest']): Section {
  return (manifest?.spec ?? {}) as Section;
}

function pruningSection(manifest: ReportRecord['manifest']): Section {
  return (specOf(manifest).pruning ?? {}) as Section;
}

/** The repository where the folder says so, else the folder's name. */
function sourceName(directory: string): string {
  return hubRepository(directory) ?? baseName(directory);
}

function hubRepository(directory: string): string | null {
  const [, owner, name] = HUB_CACHE.exec(directory) ?? [];
  if (owner === undefined) return null;
  return name === undefined ? owner : `${owner}/${name}`;
}

function frontMatter(
  { tags, base_model, pipeline_tag, ...carried }: FrontMatter,
  directory: string,
  method: string,
): object {
  // Without the cache's word for it, nothing says what the source is called; what it was made from, its own card may.
  const base = hubRepository(directory) ?? base_model;
  return {
    ...carried,
    library_name: 'transformers',
    pipeline_tag: pipeline_tag ?? 'text-generation',
    ...(base === undefined ? {} : { base_model: base }),
    tags: [...new Set([...[tags ?? []].flat(), 'pruned', 'sparse', method, 'secateur'])],
  };
}

function perplexityPart({ perplexity = [] }: ReportRecord): string {
  if (perplexity.length === 0) return '';
  const rows = perplexity.map(({ text, windows, sequenceLength, dense, pruned, ratio }) => [
    code(baseName(text)),
    `${windows ?? UNKNOWN} x ${sequenceLength ?? UNKNOWN} tokens`,
    showPerplexity(dense),
    showPerplexity(pruned),
    showDecimal(ratio),
  ]);
  return `
## Perplexity

${markdownTable(['text', 'windows', 'before', 'after', 'after / before'], rows)}
`;
}

function sparsityTable({ layers }: ReportRecord): string {
  const byLinear = new Map<
    string,
    { elements: number; zeros: number; least: number; most: number; matrices: number }
  >();
  for (const [name, { elements, zeros }] of layers.flatMap(({ tensors }) => Object.entries(tensors))) {
    const share = elements === 0 ? 0 : zeros / elements;
    const sum = byLinear.get(linearName(name)) ?? { elements: 0, zeros: 0, least: 1, most: 0, matrices: 0 };
    byLinear.set(linearName(name), {
      elements: sum.elements + elements,
      zeros: sum.zeros + zeros,
      least: Math.min(sum.least, share),
      most: Math.max(sum.most, share),
      matrices: sum.matrices + 1,
    });
  }
  if (byLinear.size === 0) return 'No matrix was pruned.';
  const rows = [...byLinear].map(([linear, { elements, zeros, least, most, matrices }]) => [
    code(linear),
    String(matrices),
    showCount(elements),
    showShare(elements === 0 ? 0 : zeros / elements),
    `${showShare(least)} to ${showShare(most)}`,
  ]);
  return markdownTable(['linear', 'matrices', 'weights', 'zeros', 'of a layer'], rows);
}

/** A manifest that gives these weights again: what does not change them is left out of it. */
function settingsPart({ manifest, calibration }: ReportRecord, name: string): string {
  const spec = specOf(manifest);
  const { maxShardSize } = (spec.output ?? {}) as Section;
  const again = {
    apiVersion: 'secateur/v1',
    kind: 'PruneJob',
    metadata: { name: 'again' },
    spec: {
      model: { source: `./${baseName(name)}` },
      output: { destination: './again', ...(maxShardSize === undefined ? {} : { maxShardSize }) },
      calibration: { tokens: './path/to/this/folder/secateur/calibration.safetensors' },
      pruning: pruningSection(manifest),
    },
  };
  const samples = calibration
    ? `${calibration.samples} sequences of ${calibration.sequenceLength} tokens`
    : 'sequences';
  const text = stringify(again, { lineWidth: 0 });
  const fence = fenceFor(text, 3);
  return `Calibrated on ${samples}; they are in \`secateur/calibration.safetensors\`. With the source beside it, this manifest gives
the same weights again, byte for byte (on the CPU), by \`secateur run again.yaml\`:

${fence}yaml
${text}${fence}`;
}

function markdownTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Any text as code: no markup, no end of line, no cell of a table in it. */
function code(text: string): string {
  const inLine = text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd')
    .replaceAll('|', '\\|');
  const fence = fenceFor(inLine, 1);
  const space = inLine.startsWith('`') || inLine.endsWith('`') ? ' ' : '';
  return `${fence}${space}${inLine}${space}${fence}`;
}

/** As it is where it can be nothing but a word or a number. */
function word(text: string): string {
  return /^[a-z0-9][a-z0-9:. %]*$/i.test(text) ? text : code(text);
}

/** More backticks than stand side by side in the text, and at least so many. */
function fenceFor(text: string, least: number): string {
  const longest = Math.max(0, ...(text.match(/`+/g) ?? []).map(({ length }) => length));
  return '`'.repeat(Math.max(least, longest + 1));
}
