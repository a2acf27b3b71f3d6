/** Attacks on the JSON header of a safetensors file. Each is refused, by name, with the file and the tensor. */

import { describe, expect, test } from 'vitest';
import { HEADER_SIZE_BYTES_MAX, parseHeader } from '../../shared/safetensors/header.ts';
import { expectRefusal } from './hostile-files.ts';

const FILE = 'attack.safetensors';

function parse(header: string | Uint8Array, dataSizeBytes: number): ReturnType<typeof parseHeader> {
  return parseHeader(Buffer.from(header), dataSizeBytes, FILE);
}

/** One tensor entry as JSON text. */
function entry(name: string, dtype: string, shape: string, dataOffsets: string, rest = ''): string {
  return `"${name}":{"dtype":"${dtype}","shape":${shape},"data_offsets":${dataOffsets}${rest}}`;
}

const GOOD = entry('good', 'U8', '[4]', '[0,4]');

interface Attack {
  readonly name: string;
  readonly header: string | Uint8Array;
  readonly dataSizeBytes?: number;
  readonly says: (string | RegExp)[];
}

/** Deep enough to overflow any stack that recursion could have. */
const DEEP = 200_000;

const ATTACKS: readonly Attack[] = [
  { name: 'an empty header', header: '', says: ['begins with "{"; found none'] },
  { name: 'a header that begins with a space', header: ` {${GOOD}}`, says: ['begins with "{"'] },
  { name: 'a header that begins with a byte order mark', header: `\ufeff{${GOOD}}`, says: ['begins with "{"'] },
  { name: 'a header that is an array', header: '[]', dataSizeBytes: 0, says: ['begins with "{"'] },
  {
    name: 'bytes that are no UTF-8',
    header: Buffer.from(`{${GOOD}}`.replace('good', 'g\xffod'), 'latin1'),
    says: ['UTF-8'],
  },
  {
    name: 'an overlong UTF-8 slash',
    header: Buffer.from(`{${GOOD}}`.replace('oo', '\xc0\xaf'), 'latin1'),
    says: ['UTF-8'],
  },
  { name: 'half a surrogate pair as a name', header: `{${GOOD.replace('good', '\\ud800')}}`, says: ['surrogate'] },
  { name: 'a raw newline in a name', header: `{${GOOD.replace('good', 'a\nb')}}`, says: ['control character'] },
  { name: 'a text behind the object', header: `{${GOOD}}x`, says: ['the end of the text; found "x"'] },
  { name: 'NUL bytes as padding', header: `{${GOOD}}\0\0`, says: ['the end of the text'] },
  { name: 'a second object behind the first', header: `{${GOOD}}{}`, says: ['the end of the text'] },
  { name: 'a trailing comma', header: `{${GOOD},}`, says: ['a string; found "}"'] },
  { name: 'a comment', header: `{/**/${GOOD}}`, says: ['a string'] },
  { name: 'a name twice', header: `{${GOOD},${GOOD}}`, says: ['"good" twice'] },
  {
    name: 'a name twice, once in disguise',
    header: `{${GOOD},${GOOD.replace('good', 'g\\u006fod')}}`,
    says: ['"good" twice'],
  },
  {
    name: '__metadata__ twice',
    header: `{"__metadata__":{},${GOOD},"__metadata__":{}}`,
    says: ['"__metadata__" twice'],
  },
  {
    name: 'a field twice',
    header: `{${entry('t', 'U8', '[4]', '[0,4]', ',"shape":[2]')}}`,
    says: ['"shape" twice', '"t"'],
  },
  { name: 'a metadata key twice', header: `{"__metadata__":{"a":"1","a":"2"},${GOOD}}`, says: ['"a" twice'] },
  {
    name: 'metadata that is no text',
    header: `{"__metadata__":{"a":1},${GOOD}}`,
    says: ['a string', '"__metadata__"."a"'],
  },
  { name: 'nested metadata', header: `{"__metadata__":{"a":{"b":"c"}},${GOOD}}`, says: ['a string'] },
  { name: 'metadata that is a list', header: `{"__metadata__":["a"],${GOOD}}`, says: ['an object'] },
  { name: 'a tensor that is null', header: '{"t":null}', dataSizeBytes: 0, says: ['an object', '"t"'] },
  { name: 'a tensor that is a list', header: '{"t":["U8",[4],[0,4]]}', says: ['an object', '"t"'] },
  { name: 'a tensor without a dtype', header: '{"t":{"shape":[4],"data_offsets":[0,4]}}', says: ['"t"', 'no dtype'] },
  { name: 'a tensor without a shape', header: '{"t":{"dtype":"U8","data_offsets":[0,4]}}', says: ['"t"', 'no shape'] },
  { name: 'a tensor without offsets', header: '{"t":{"dtype":"U8","shape":[4]}}', says: ['"t"', 'no data_offsets'] },
  { name: 'an unknown dtype', header: `{${entry('t', 'Q8', '[4]', '[0,4]')}}`, says: ['"t"', '"Q8"'] },
  { name: 'a dtype in lower case', header: `{${entry('t', 'u8', '[4]', '[0,4]')}}`, says: ['"t"', '"u8"'] },
  {
    name: 'a dtype named like an object property',
    header: `{${entry('t', 'constructor', '[4]', '[0,4]')}}`,
    says: ['"constructor"'],
  },
  {
    name: 'a dtype that is a number',
    header: '{"t":{"dtype":8,"shape":[4],"data_offsets":[0,4]}}',
    says: ['a string', '"t"'],
  },
  { name: 'four-bit floats', header: `{${entry('t', 'F4', '[8]', '[0,4]')}}`, says: ['"t"', 'F4', 'share bytes'] },
  {
    name: 'six-bit floats',
    header: `{${entry('t', 'F6_E2M3', '[4]', '[0,3]')}}`,
    dataSizeBytes: 3,
    says: ['F6_E2M3', 'share bytes'],
  },
  {
    name: 'a negative dimension',
    header: `{${entry('t', 'U8', '[-4]', '[0,4]')}}`,
    says: ['integer', '-4', '"t"."shape"[0]'],
  },
  {
    name: 'two negative dimensions whose product is right',
    header: `{${entry('t', 'U8', '[-2,-2]', '[0,4]')}}`,
    says: ['-2'],
  },
  { name: 'negative zero', header: `{${entry('t', 'U8', '[-0]', '[0,4]')}}`, says: ['-0'] },
  { name: 'a dimension with a fraction', header: `{${entry('t', 'U8', '[4.0]', '[0,4]')}}`, says: ['integer', '4.0'] },
  { name: 'a dimension with an exponent', header: `{${entry('t', 'U8', '[4e0]', '[0,4]')}}`, says: ['integer', '4e0'] },
  {
    name: 'a dimension with a leading zero',
    header: `{${entry('t', 'U8', '[04]', '[0,4]')}}`,
    says: ['integer', '04'],
  },
  { name: 'a dimension in quotes', header: `{${entry('t', 'U8', '["4"]', '[0,4]')}}`, says: ['integer'] },
  { name: 'a dimension of NaN', header: `{${entry('t', 'U8', '[NaN]', '[0,4]')}}`, says: ['integer'] },
  { name: 'a dimension of 2^53', header: `{${entry('t', 'U8', '[9007199254740992]', '[0,4]')}}`, says: ['2^53 - 1'] },
  {
    name: 'a dimension of 2^64',
    header: `{${entry('t', 'U8', '[18446744073709551616]', '[0,4]')}}`,
    says: ['2^53 - 1'],
  },
  {
    name: 'a dimension of a million digits',
    header: `{${entry('t', 'U8', `[${'9'.repeat(1e6)}]`, '[0,4]')}}`,
    says: ['2^53 - 1'],
  },
  {
    name: 'a shape whose product wraps to the right size',
    header: `{${entry('t', 'U8', '[4294967296,4294967296,4]', '[0,4]')}}`,
    says: ['"t"', '2^53 bytes'],
  },
  {
    name: 'a shape whose bytes overflow though its product does not',
    header: `{${entry('t', 'F64', '[4503599627370496]', '[0,4]')}}`,
    says: ['2^53 bytes'],
  },
  {
    name: 'an overflow hidden behind a zero',
    header: `{${entry('t', 'U8', '[9007199254740991,9007199254740991,0]', '[0,0]')}}`,
    dataSizeBytes: 0,
    says: ['2^53 bytes'],
  },
  {
    name: 'a shape of a million dimensions',
    header: `{${entry('t', 'U8', `[${'1,'.repeat(1e6)}4]`, '[0,4]')}}`,
    says: ['at most 64'],
  },
  {
    name: 'a shape that is a number',
    header: `{${entry('t', 'U8', '4', '[0,4]')}}`,
    says: ['an array', '"t"."shape"'],
  },
  {
    name: 'offsets with one number',
    header: `{${entry('t', 'U8', '[4]', '[4]')}}`,
    says: ['"t"', '[begin, end]', '[4]'],
  },
  { name: 'offsets with three numbers', header: `{${entry('t', 'U8', '[4]', '[0,4,8]')}}`, says: ['at most 2'] },
  {
    name: 'offsets that run backwards',
    header: `{${entry('t', 'U8', '[4]', '[4,0]')}}`,
    says: ['"t"', 'begin at most end', '[4, 0]'],
  },
  {
    name: 'negative offsets',
    header: `{${entry('t', 'U8', '[4]', '[-4,0]')}}`,
    says: ['integer', '-4', '"data_offsets"[0]'],
  },
  { name: 'offsets with a fraction', header: `{${entry('t', 'U8', '[4]', '[0.0,4.0]')}}`, says: ['integer', '0.0'] },
  {
    name: 'offsets beyond the file',
    header: `{${entry('t', 'U8', '[8]', '[0,8]')}}`,
    says: ['"t"', 'the 4 bytes of data', '[0, 8]'],
  },
  {
    name: 'offsets near 2^53',
    header: `{${entry('t', 'U8', '[9007199254740991]', '[0,9007199254740991]')}}`,
    says: ['the 4 bytes of data'],
  },
  {
    name: 'fewer bytes than the shape needs',
    header: `{${entry('t', 'F32', '[2]', '[0,4]')}}`,
    says: ['"t"', '8 bytes', 'F32 [2]', '[0, 4], 4 bytes'],
  },
  {
    name: 'more bytes than the shape needs',
    header: `{${entry('t', 'U8', '[2]', '[0,4]')}}`,
    says: ['span 2 bytes', '4 bytes'],
  },
  {
    name: 'a zero in the shape of a tensor with bytes',
    header: `{${entry('t', 'U8', '[0,4]', '[0,4]')}}`,
    says: ['span 0 bytes'],
  },
  {
    name: 'two tensors on the same bytes',
    header: `{${GOOD},${entry('t', 'U8', '[4]', '[0,4]')}}`,
    says: ['overlap of 4 bytes'],
  },
  {
    name: 'two tensors that share one byte',
    header: `{${GOOD},${entry('t', 'U8', '[4]', '[3,7]')}}`,
    dataSizeBytes: 7,
    says: ['"t"', 'behind "good"', 'overlap of 1 bytes'],
  },
  {
    name: 'a tensor inside another',
    header: `{${GOOD},${entry('t', 'U8', '[2]', '[1,3]')}}`,
    says: ['"t"', 'overlap of 3 bytes'],
  },
  {
    name: 'an empty tensor inside another',
    header: `{${GOOD},${entry('t', 'U8', '[0]', '[2,2]')}}`,
    says: ['"t"', 'overlap'],
  },
  {
    name: 'a hole before the first tensor',
    header: `{${entry('t', 'U8', '[4]', '[4,8]')}}`,
    dataSizeBytes: 8,
    says: ['"t"', 'behind the header', 'hole of 4 bytes'],
  },
  {
    name: 'a hole between tensors',
    header: `{${GOOD},${entry('t', 'U8', '[4]', '[5,9]')}}`,
    dataSizeBytes: 9,
    says: ['"t"', 'hole of 1 bytes'],
  },
  {
    name: 'bytes behind the last tensor',
    header: `{${GOOD}}`,
    dataSizeBytes: 5,
    says: ['1 bytes at the end belong to no tensor'],
  },
  { name: 'data without tensors', header: '{}', dataSizeBytes: 1, says: ['belong to no tensor'] },
  { name: 'lists nested without end', header: `{"t":{"x":${'['.repeat(DEEP)}`, says: ['levels of nesting'] },
  { name: 'objects nested without end', header: '{"t":'.repeat(DEEP), says: ['levels of nesting'] },
  {
    name: 'objects nested without end in an unknown field',
    header: `{"t":{"x":${'{"x":'.repeat(DEEP)}`,
    says: ['levels of nesting'],
  },
  {
    name: 'a name of a million characters with a fault',
    header: `{${entry('n'.repeat(1e6), 'U8', '[2]', '[0,4]')}}`,
    says: ['nnn…'],
  },
];

describe('a header is refused for', () => {
  test.each(ATTACKS)('$name', async ({ header, dataSizeBytes = 4, says }) => {
    await expectRefusal(() => parse(header, dataSizeBytes), 'SafetensorsInvalid', FILE, ...says);
  });

  test('more than 100 MB, before it is read', async () => {
    const header = new Uint8Array(HEADER_SIZE_BYTES_MAX + 1);
    await expectRefusal(() => parseHeader(header, 0, FILE), 'SafetensorsInvalid', FILE, '100000000', '100000001');
  });

  test('200000 tensors that all claim the same bytes', async () => {
    const entries = Array.from({ length: 200_000 }, (_, index) => entry(`t${index}`, 'U8', '[4]', '[0,4]'));
    await expectRefusal(() => parse(`{${entries.join(',')}}`, 4), 'SafetensorsInvalid', FILE, 'overlap');
  });

  test('its first cut at any byte', async () => {
    const header = `{"__metadata__":{"format":"pt"},${GOOD}}`;
    for (let length = 0; length < header.length; length++) {
      await expectRefusal(() => parse(header.slice(0, length), 4), 'SafetensorsInvalid', FILE);
    }
    expect(parse(header, 4).tensors).toHaveLength(1);
  });
});

describe('what looks hostile and is not is accepted:', () => {
  test('names that objects have of their own', () => {
    const names = ['__proto__', 'constructor', 'toString', '', '0', '../../etc/passwd'];
    const entries = names.map((name, index) => entry(name, 'U8', '[1]', `[${index},${index + 1}]`));
    const { metadata, tensors } = parse(`{"__metadata__":{"__proto__":"x"},${entries.join(',')}}`, names.length);
    expect(tensors.map((tensor) => tensor.name)).toEqual(names);
    expect(Object.entries(metadata)).toEqual([['__proto__', 'x']]);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  test('unknown fields of a tensor, 126 levels deep, and metadata of null, as in the Rust crate', () => {
    const rest = `,"x":${'['.repeat(125)}${']'.repeat(125)}`;
    const { metadata, tensors } = parse(`{"__metadata__":null,${entry('t', 'U8', '[4]', '[0,4]', rest)}}`, 4);
    expect(metadata).toEqual({});
    expect(tensors).toHaveLength(1);
  });

  test('scalars, empty tensors anywhere between others, and tensors not in the order of their bytes', () => {
    const header = `{${[
      entry('last', 'F32', '[]', '[6,10]'),
      entry('none', 'I64', '[0,7]', '[4,4]'),
      entry('first', 'U8', '[4]', '[0,4]'),
      entry('odd', 'U8', '[2]', '[4,6]'),
      entry('end', 'U8', '[0]', '[10,10]'),
    ].join(',')}}   \n`;
    expect(parse(header, 10).tensors.map((tensor) => tensor.name)).toEqual(['first', 'none', 'odd', 'last', 'end']);
  });

  test('no tensors and no data', () => {
    expect(parse('{}', 0)).toEqual({ metadata: {}, tensors: [] });
  });
});
