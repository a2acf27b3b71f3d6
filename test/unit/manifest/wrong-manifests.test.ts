/** Every kind of mistake, with the exact line that tells it. */

import { describe, expect, test } from 'vitest';
import { parseManifest } from '../../../shared/manifest/parse-manifest.ts';
import { changed, errorsOf, VALID } from './manifest-text.ts';

const INTEGER = 'expected an integer from';
const SPARSITY = 'expected a number from 0 up to, not including, 1 (the share of weights set to zero)';
const PATTERN = 'expected a pattern "keep:group" with 1 <= keep < group <= 1024, such as "2:4"';
const LOCATION = 'expected a path or a file URL such as file:///models/llama';
const SIZE = 'expected a size such as "5GB", "500MB", "2GiB", or whole bytes';
const LAYERS = 'expected a layer (3), a range with both ends ("0-3") or a list of those';
const PRUNING_KEYS =
  'method, sparsity, pattern, scope, variant, activationPower, seed, blockSize, dampingFraction, layerwise, outlierThreshold, deviation, propagate, include, exclude, overrides';
const METHODS = '"wanda", "magnitude", "sparsegpt", "ria" or "random"';
const NAME = 'expected a DNS label (lower-case letters, digits and "-", at most 50 characters)';

/** [what is wrong, piece of the valid manifest, its replacement, the one error line] */
const ONE_MISTAKE: readonly (readonly [string, string, string, string])[] = [
  [
    'a misspelt key',
    'sparsity: 0.5',
    'sparsity: 0.5\n    propogate: dense',
    `15:5: spec.pruning.propogate: unknown key; did you mean "propagate"? known here: ${PRUNING_KEYS}`,
  ],
  [
    'a key that is like no other',
    'name: job',
    'name: job\n  colour: red',
    '5:3: metadata.colour: unknown key; known here: name, namespace, labels',
  ],
  [
    'an unknown key at the top',
    'kind: PruneJob',
    'kind: PruneJob\nstatus: {}',
    '3:1: status: unknown key; known here: apiVersion, kind, metadata, spec',
  ],
  [
    'a key that would reach into prototypes',
    'name: job',
    'name: job\n  __proto__: { x: 1 }',
    '5:3: metadata.__proto__: unknown key; known here: name, namespace, labels',
  ],
  [
    'another version',
    'secateur/v1',
    'secateur/v2',
    '1:13: apiVersion: expected "secateur/v1", found "secateur/v2"; did you mean "secateur/v1"?',
  ],
  ['another kind', 'PruneJob', 'Pod', '2:7: kind: expected "PruneJob", found "Pod"'],
  [
    'a missing section',
    '  model:\n    source: /models/llama\n',
    '',
    '5:1: spec.model: missing; expected a mapping with the keys source',
  ],
  ['a missing value', '    source: /models/llama', '    {}', `6:3: spec.model.source: missing; ${LOCATION}`],
  [
    'an empty value',
    'source: /models/llama',
    'source:',
    `7:5: spec.model.source: ${LOCATION}, found null (an empty value)`,
  ],
  [
    'a scalar for a mapping',
    'pruning:\n    method: wanda\n    sparsity: 0.5',
    'pruning: wanda',
    `12:12: spec.pruning: expected a mapping with the keys ${PRUNING_KEYS}, found "wanda"`,
  ],
  [
    'a name with capitals and spaces',
    'name: job',
    'name: Llama 65B',
    `4:9: metadata.name: ${NAME}, found "Llama 65B"; did you mean "llama-65b"?`,
  ],
  ['a number as the name', 'name: job', 'name: 12', `4:9: metadata.name: ${NAME}, found 12; write it in quotes: "12"`],
  [
    'a number as a label',
    'name: job',
    'name: job\n  labels: { build: 7 }',
    '5:20: metadata.labels.build: expected a label value as in Kubernetes (at most 63 letters, digits, "-", "_", "."), found 7; write it in quotes: "7"',
  ],
  [
    'a model on S3',
    '/models/llama',
    's3://bucket/llama',
    `7:13: spec.model.source: ${LOCATION}, found "s3://bucket/llama"; s3:// is not supported yet; supported: file`,
  ],
  [
    'a model on the hub',
    '/models/llama',
    'hf://meta/llama',
    `7:13: spec.model.source: ${LOCATION}, found "hf://meta/llama"; hf:// is not supported yet; supported: file`,
  ],
  [
    'a file URL with two slashes',
    '/models/llama',
    'file://models/llama',
    `7:13: spec.model.source: ${LOCATION}, found "file://models/llama"; a file URL names an absolute path after three slashes: file:///models/llama`,
  ],
  [
    'a tilde',
    '/out/llama',
    '~/out',
    `9:18: spec.output.destination: ${LOCATION}, found "~/out"; "~" is the shell's and not expanded here; write the absolute path`,
  ],
  [
    'a size in small letters',
    '/out/llama',
    '/out/llama\n    maxShardSize: 5gb',
    `10:19: spec.output.maxShardSize: ${SIZE}, found "5gb"; did you mean "5GB"?`,
  ],
  [
    'a size of nothing',
    '/out/llama',
    '/out/llama\n    maxShardSize: 0',
    `10:19: spec.output.maxShardSize: ${SIZE}, found 0`,
  ],
  [
    'text that is no list',
    '[a.txt]',
    'a.txt',
    '11:11: spec.calibration.text: expected a list of one or more files, found "a.txt"; write it as a list: ["a.txt"]',
  ],
  [
    'an empty list of text',
    '[a.txt]',
    '[]',
    '11:11: spec.calibration.text: expected a list of one or more files, found an empty list',
  ],
  [
    'text of an unknown kind',
    '[a.txt]',
    '[a.txt, b.pdf]',
    '11:19: spec.calibration.text[1]: expected a file whose name ends in .txt, .md (one document) or .jsonl (a document a line), found "b.pdf"',
  ],
  [
    'text and tokens',
    'text: [a.txt]',
    'text: [a.txt]\n    tokens: b',
    '12:5: spec.calibration.tokens: expected "text" or "tokens", found both; remove one of them (on the command line: --set spec.calibration.text=null)',
  ],
  [
    'neither text nor tokens',
    'text: [a.txt]',
    'samples: 1',
    '10:3: spec.calibration: expected "text" or "tokens", found neither',
  ],
  [
    'a seed with tokens',
    'text: [a.txt]',
    'tokens: b\n    seed: 1',
    '12:11: spec.calibration.seed: goes with "text" only, and "tokens" is given; remove it',
  ],
  [
    'no samples',
    'text: [a.txt]',
    'text: [a.txt]\n    samples: 0',
    `12:14: spec.calibration.samples: ${INTEGER} 1 to 1000000, found 0`,
  ],
  [
    'samples in quotes',
    'text: [a.txt]',
    'text: [a.txt]\n    samples: "128"',
    `12:14: spec.calibration.samples: ${INTEGER} 1 to 1000000, found "128"; write it without quotes: 128`,
  ],
  [
    'half a sample',
    'text: [a.txt]',
    'text: [a.txt]\n    samples: 1.5',
    `12:14: spec.calibration.samples: ${INTEGER} 1 to 1000000, found 1.5`,
  ],
  [
    'a seed beyond 32 bits',
    'text: [a.txt]',
    'text: [a.txt]\n    seed: 4294967296',
    `12:11: spec.calibration.seed: ${INTEGER} 0 to 4294967295, found 4294967296`,
  ],
  [
    'a misspelt auto',
    'text: [a.txt]',
    'text: [a.txt]\n    microbatch: atuo',
    '12:17: spec.calibration.microbatch: expected "auto" or an integer from 1 to 65536, found "atuo"; did you mean "auto"?',
  ],
  [
    'a microbatch of nothing',
    'text: [a.txt]',
    'text: [a.txt]\n    microbatch: 0',
    '12:17: spec.calibration.microbatch: expected "auto" or an integer from 1 to 65536, found 0',
  ],
  ['another method', 'wanda', 'obs', `13:13: spec.pruning.method: expected ${METHODS}, found "obs"`],
  [
    'a misspelt method',
    'wanda',
    'magnitud',
    `13:13: spec.pruning.method: expected ${METHODS}, found "magnitud"; did you mean "magnitude"?`,
  ],
  [
    'a field of other methods',
    'wanda',
    'wanda\n    scope: row',
    '14:12: spec.pruning.scope: goes with method "magnitude" or "ria" only, and the method is "wanda"; remove it, or choose another method',
  ],
  [
    'a field of another method',
    'wanda',
    'magnitude\n    variant: cumulative',
    '14:14: spec.pruning.variant: goes with method "wanda" only, and the method is "magnitude"; remove it, or choose another method',
  ],
  [
    'a power that the method does not take',
    'wanda',
    'random\n    activationPower: 0.5',
    '14:22: spec.pruning.activationPower: goes with method "ria" only, and the method is "random"; remove it, or choose another method',
  ],
  [
    'a seed where nothing is drawn',
    'wanda',
    'ria\n    seed: 1',
    '14:11: spec.pruning.seed: goes with method "random" only, and the method is "ria"; remove it, or choose another method',
  ],
  [
    'another scope',
    'wanda',
    'magnitude\n    scope: layer',
    '14:12: spec.pruning.scope: expected "row" or "matrix", found "layer"',
  ],
  [
    'another variant',
    'wanda',
    'wanda\n    variant: cumulativ',
    '14:14: spec.pruning.variant: expected "cumulative", found "cumulativ"; did you mean "cumulative"?',
  ],
  [
    'a power beyond the limit',
    'wanda',
    'ria\n    activationPower: 2.5',
    '14:22: spec.pruning.activationPower: expected a number from 0 to 2, found 2.5',
  ],
  [
    'a block of no columns',
    'wanda',
    'sparsegpt\n    blockSize: 0',
    '14:16: spec.pruning.blockSize: expected an integer from 1 to 1024, found 0',
  ],
  [
    'no damping',
    'wanda',
    'sparsegpt\n    dampingFraction: 0',
    '14:22: spec.pruning.dampingFraction: expected a number from 0.000001 to 1, found 0',
  ],
  [
    'damping where nothing is solved',
    'wanda',
    'wanda\n    dampingFraction: 0.1',
    '14:22: spec.pruning.dampingFraction: goes with method "sparsegpt" only, and the method is "wanda"; remove it, or choose another method',
  ],
  [
    'a seed below zero',
    'wanda',
    'random\n    seed: -1',
    '14:11: spec.pruning.seed: expected an integer from 0 to 4294967295, found -1',
  ],
  [
    'the variant with a pattern',
    'sparsity: 0.5',
    'pattern: 2:4\n    variant: cumulative',
    '15:14: spec.pruning.variant: goes with "sparsity" only, and "pattern" is given; remove one of them',
  ],
  [
    'layerwise with a pattern',
    'sparsity: 0.5',
    'pattern: 2:4\n    layerwise: owl',
    '15:16: spec.pruning.layerwise: goes with "sparsity" only, and "pattern" is given; remove it',
  ],
  [
    'another layerwise',
    'sparsity: 0.5',
    'sparsity: 0.5\n    layerwise: awl',
    '15:16: spec.pruning.layerwise: expected "owl", found "awl"; did you mean "owl"?',
  ],
  [
    'a threshold without layerwise',
    'sparsity: 0.5',
    'sparsity: 0.5\n    outlierThreshold: 5',
    '15:23: spec.pruning.outlierThreshold: needs "layerwise" beside it',
  ],
  [
    'a deviation beyond its range',
    'sparsity: 0.5',
    'sparsity: 0.5\n    layerwise: owl\n    deviation: 0.6',
    '16:16: spec.pruning.deviation: expected a number from 0 to 0.5, found 0.6',
  ],
  [
    'the variant with a pattern in an override',
    'sparsity: 0.5',
    'sparsity: 0.5\n    variant: cumulative\n    overrides: [{ layers: 0, sparsity: 0 }, { layers: 1, pattern: 2:4 }]',
    '15:14: spec.pruning.variant: goes with "sparsity" only, and "overrides[1].pattern" is given; remove one of them',
  ],
  ['a sparsity in percent', '0.5', '50', `14:15: spec.pruning.sparsity: ${SPARSITY}, found 50; did you mean 0.5?`],
  [
    'a sparsity with a percent sign',
    '0.5',
    '50%',
    `14:15: spec.pruning.sparsity: ${SPARSITY}, found "50%"; did you mean 0.5?`,
  ],
  [
    'a sparsity of everything',
    '0.5',
    '1',
    `14:15: spec.pruning.sparsity: ${SPARSITY}, found 1; sparsity 1 would leave nothing of the linear`,
  ],
  ['a negative sparsity', '0.5', '-0.1', `14:15: spec.pruning.sparsity: ${SPARSITY}, found -0.1`],
  ['a sparsity that is no number', '0.5', '.nan', `14:15: spec.pruning.sparsity: ${SPARSITY}, found NaN`],
  [
    'sparsity and pattern',
    'sparsity: 0.5',
    'sparsity: 0.5\n    pattern: 2:4',
    '15:5: spec.pruning.pattern: expected "sparsity" or "pattern", found both; remove one of them (on the command line: --set spec.pruning.sparsity=null)',
  ],
  [
    'pattern before sparsity',
    'sparsity: 0.5',
    'pattern: 2:4\n    sparsity: 0.5',
    '15:5: spec.pruning.sparsity: expected "sparsity" or "pattern", found both; remove one of them (on the command line: --set spec.pruning.pattern=null)',
  ],
  [
    'neither sparsity nor pattern',
    '\n    sparsity: 0.5',
    '',
    '12:3: spec.pruning: expected "sparsity" or "pattern", found neither',
  ],
  [
    'a pattern turned round',
    'sparsity: 0.5',
    'pattern: 4:2',
    `14:14: spec.pruning.pattern: ${PATTERN}, found "4:2"; did you mean "2:4"?`,
  ],
  [
    'a pattern that prunes nothing',
    'sparsity: 0.5',
    'pattern: 4:4',
    `14:14: spec.pruning.pattern: ${PATTERN}, found "4:4"`,
  ],
  [
    'a group beyond the limit',
    'sparsity: 0.5',
    'pattern: 2:1025',
    `14:14: spec.pruning.pattern: ${PATTERN}, found "2:1025"`,
  ],
  [
    'a capital',
    'sparsity: 0.5',
    'sparsity: 0.5\n    propagate: Dense',
    '15:16: spec.pruning.propagate: expected "pruned" or "dense", found "Dense"; did you mean "dense"?',
  ],
  [
    'a glob that is a number',
    'sparsity: 0.5',
    'sparsity: 0.5\n    exclude: [3]',
    '15:15: spec.pruning.exclude[0]: expected a glob over names of linears such as "mlp.*" or "model.layers.0.*", found 3; write it in quotes: "3"',
  ],
  [
    'a backward range of layers',
    'sparsity: 0.5',
    'sparsity: 0.5\n    overrides: [{ layers: 3-1, sparsity: 0 }]',
    `15:27: spec.pruning.overrides[0].layers: ${LAYERS}, found "3-1"`,
  ],
  [
    'a bad layer in a list',
    'sparsity: 0.5',
    'sparsity: 0.5\n    overrides: [{ layers: [1, last], sparsity: 0 }]',
    `15:31: spec.pruning.overrides[0].layers[1]: ${LAYERS}, found "last"`,
  ],
  [
    'an override of nothing',
    'sparsity: 0.5',
    'sparsity: 0.5\n    overrides:\n      - layers: 1',
    '16:9: spec.pruning.overrides[0]: expected "sparsity" or "pattern", found neither',
  ],
  [
    'replicas',
    'sparsity: 0.5',
    'sparsity: 0.5\n  placement: { replicas: 0 }',
    '15:26: spec.placement.replicas: expected "auto" or an integer from 1 to 4096, found 0',
  ],
  [
    'a snapshot interval',
    'sparsity: 0.5',
    'sparsity: 0.5\n  placement: { snapshotInterval: never }',
    '15:34: spec.placement.snapshotInterval: expected "auto" or an integer from 1 to 4096, found "never"',
  ],
  [
    'a duplicate key',
    'sparsity: 0.5',
    'sparsity: 0.5\n    sparsity: 0.6',
    '15:5: duplicate key "sparsity"; keep one of them',
  ],
  [
    'a merge key',
    'name: job',
    'name: job\n  <<: { namespace: x }',
    '5:3: metadata["<<"]: unknown key; known here: name, namespace, labels',
  ],
];

describe('one mistake gives one line with its position', () => {
  test.each(ONE_MISTAKE)('%s', (_, piece, replacement, line) => {
    expect(errorsOf(changed(piece, replacement))).toEqual([`job.yaml:${line}`]);
  });
});

/** [what is wrong, text, error lines without the file's name] */
const UNREADABLE: readonly (readonly [string, string, readonly string[]])[] = [
  [
    'an empty file',
    '',
    [':1:1: expected a manifest (a mapping with apiVersion, kind, metadata, spec), found an empty file'],
  ],
  [
    'comments alone',
    '# later\n',
    [':1:1: expected a manifest (a mapping with apiVersion, kind, metadata, spec), found an empty file'],
  ],
  [
    'a list',
    '- 1\n',
    [':1:1: expected a manifest (a mapping with apiVersion, kind, metadata, spec), found a list of 1'],
  ],
  ['a text', 'hello\n', [':1:1: expected a manifest (a mapping with apiVersion, kind, metadata, spec), found "hello"']],
  ['a tab as indentation', 'metadata:\n\tname: x\n', [':2:1: not valid YAML: a tab as indentation; use spaces']],
  [
    'an open bracket',
    'a: [1, 2\n',
    [':2:1: not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
  [
    'two documents',
    `${VALID}---\n${VALID}`,
    [':15:1: expected one manifest, found a second YAML document; put each job into a file of its own'],
  ],
  ['a tag', 'a: !!binary aGk=\n', [':1:4: not valid YAML: Unresolved tag: tag:yaml.org,2002:binary']],
  ['YAML 1.1', '%YAML 1.1\n---\na: yes\n', [':1:1: not valid here: %YAML 1.1; expected YAML 1.2, remove the line']],
  ['a mapping as a key', '? [a]\n: b\n', [':1:3: not valid here: expected a plain word as the key']],
  [
    'an alias of nothing',
    'a: *nowhere\n',
    [': not valid YAML: Unresolved alias (the anchor must be set before the alias): nowhere'],
  ],
  ['a NUL byte', 'a: 1\nb\0: 2\n', [':2:2: expected a text file in UTF-8, found a NUL byte; is this the right file?']],
  [
    'bytes that are no UTF-8',
    Buffer.from([0x61, 0x3a, 0x20, 0xff]).toString(),
    [':1:4: expected a text file in UTF-8, found bytes that are no UTF-8; is this the right file?'],
  ],
  [
    'a file above the limit',
    'x'.repeat(1024 * 1024 + 1),
    [': expected a manifest of at most 1048576 bytes, found 1048577 bytes; is this the right file?'],
  ],
  ['bottomless nesting', `a: ${'['.repeat(20_000)}`, ['not a manifest: nested too deeply']],
];

describe('what is no manifest at all', () => {
  test.each(UNREADABLE)('%s', (_, text, lines) => {
    const errors = errorsOf(text);
    expect(errors).toHaveLength(lines.length);
    // Where nesting overflows depends on the stack, so that only the end of its line is known.
    for (const [index, error] of errors.entries()) expect(error.slice(-lines[index]!.length)).toBe(lines[index]);
    expect(errors.every((error) => error.startsWith('job.yaml:'))).toBe(true);
  });

  test('an alias bomb is refused before it unfolds', () => {
    const nine = (name: string) => `[${Array(9).fill(`*${name}`).join(', ')}]`;
    const bomb = `a: &a [1, 1]\nb: &b ${nine('a')}\nc: &c ${nine('b')}\nd: &d ${nine('c')}\ne: ${nine('d')}\n`;
    expect(errorsOf(bomb)).toEqual([
      'job.yaml: not valid YAML: Excessive alias count indicates a resource exhaustion attack',
    ]);
  });

  test('a value that holds itself is an error like any other', () => {
    const errors = errorsOf(changed('name: job', 'name: &me [*me]'));
    expect(errors[0]).toContain('job.yaml:4:13: metadata.name:');
    expect(errors[0]).toContain('found a list of 1');
  });
});

describe('what goes with a synthetic model, and with an output that is discarded', () => {
  const SYNTHETIC = ['spec.model.source=synthetic:tiny', 'spec.output.destination=discard:out'];
  const TOKENS = ['spec.calibration.text=null', 'spec.calibration.tokens=synthetic:tokens'];
  const PUBLISHED =
    'a synthetic model cannot be published as a checkpoint; write "discard:" before the folder, or publish: false beside it';
  const NO_TEXT = 'text needs a tokenizer, which a synthetic model lacks';

  test('is taken together', () => {
    expect(parseManifest(VALID, 'job.yaml', { set: [...SYNTHETIC, ...TOKENS] }).spec.output.destination).toBe(
      'discard:out',
    );
    const unpublished = ['spec.model.source=synthetic:tiny', 'spec.output.publish=false'];
    expect(parseManifest(VALID, 'job.yaml', { set: [...unpublished, ...TOKENS] }).spec.output.publish).toBe(false);
    expect(parseManifest(VALID, 'job.yaml', { set: ['spec.output.destination=discard:out'] }).spec.model.source).toBe(
      '/models/llama',
    );
  });

  test.each<[string, readonly string[], string]>([
    [
      'a synthetic model that is to be published',
      ['spec.model.source=synthetic:tiny', ...TOKENS],
      `job.yaml:9:18: spec.output.destination: ${PUBLISHED}`,
    ],
    [
      'text for a synthetic model',
      SYNTHETIC,
      `job.yaml:11:11: spec.calibration.text: ${NO_TEXT}; give tokens: synthetic:tokens?samples=128&sequenceLength=2048`,
    ],
    [
      'a text to evaluate a synthetic model on',
      ['spec.model.source=synthetic:tiny', 'spec.output.publish=false', ...TOKENS, 'spec.evaluation.text=[a.txt]'],
      `--set spec.evaluation.text=[a.txt]: spec.evaluation.text: ${NO_TEXT}; give tokens, or remove evaluation`,
    ],
    [
      'an evaluation of what is discarded',
      ['spec.output.destination=discard:out', 'spec.evaluation.text=[a.txt]'],
      '--set spec.evaluation.text=[a.txt]: spec.evaluation: it needs the pruned layers, and spec.output.destination discards each of them; write publish: false instead of "discard:" to keep them until they are evaluated',
    ],
    [
      'a discarded output that is to be published',
      ['spec.output.destination=discard:out', 'spec.output.publish=true'],
      '--set spec.output.publish=true: spec.output.publish: true contradicts a destination that begins with "discard:"; remove one of them',
    ],
    [
      'a discarded output without a folder',
      ['spec.output.destination="discard:"'],
      `--set spec.output.destination="discard:": spec.output.destination: ${LOCATION}, found "discard:"; name the folder for the record of the job behind it: discard:out/llama-65b`,
    ],
    [
      'a folder of a kind that no output has',
      ['spec.output.destination=discard:s3://bucket'],
      `--set spec.output.destination=discard:s3://bucket: spec.output.destination: ${LOCATION}, found "discard:s3://bucket"; s3:// is not supported yet; supported: file`,
    ],
    [
      'a source that is discarded',
      ['spec.model.source=discard:out'],
      `--set spec.model.source=discard:out: spec.model.source: ${LOCATION}, found "discard:out"; "discard:" goes with spec.output.destination`,
    ],
    [
      'text that is synthetic',
      ['spec.calibration.text=[synthetic:tokens.txt]'],
      `--set spec.calibration.text=[synthetic:tokens.txt]: spec.calibration.text[0]: ${LOCATION}, found "synthetic:tokens.txt"; only a model (spec.model.source) and token ids for calibration (spec.calibration.tokens) can be synthetic`,
    ],
  ])('%s', (_, set, error) => {
    expect(errorsOf(VALID, set)).toEqual([error]);
  });
});

describe('many mistakes', () => {
  test('are all told, from top to bottom, those of --set last', () => {
    const text = changed('sparsity: 0.5', 'sparsity: 50\n    pattern: 4:2\n    propogate: x').replace(
      'name: job',
      'name: JOB',
    );
    const places = errorsOf(text, ['spec.placement.replicas=0', 'nonsense']).map((line) =>
      line.split(': ', 2).join(': '),
    );
    expect(places).toEqual([
      'job.yaml:4:9: metadata.name',
      'job.yaml:14:15: spec.pruning.sparsity',
      'job.yaml:15:5: spec.pruning.pattern',
      'job.yaml:15:14: spec.pruning.pattern',
      'job.yaml:16:5: spec.pruning.propogate',
      '--set nonsense: expected path=value such as spec.pruning.sparsity=0.6',
      '--set spec.placement.replicas=0: spec.placement.replicas',
    ]);
  });

  test('beyond fifty are counted, and sixty thousand keys do not take minutes', () => {
    const text = Array.from({ length: 60_000 }, (_, index) => `k${index}: 1`).join('\n');
    const errors = errorsOf(text);
    expect(errors).toHaveLength(51);
    expect(errors.at(-1)).toBe('job.yaml: and 59954 more errors');
  });

  test('are short even where the values are long', () => {
    const errors = errorsOf(changed('name: job', `name: ${'x'.repeat(100_000)}\n  ${'k'.repeat(1000)}: 1`));
    expect(errors).toHaveLength(2);
    expect(errors[0]).toContain('(100000 characters)');
    for (const error of errors) expect(error.length).toBeLessThan(400);
  });
});
