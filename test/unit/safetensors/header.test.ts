/** Layout and header parser against each other, and the parser against damaged headers. */

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { DTYPE_SIZE_BYTES } from '../../../shared/safetensors/dtype.ts';
import { parseHeader, type SafetensorsHeader, shapeSize } from '../../../shared/safetensors/header.ts';
import { layoutSafetensors } from '../../../shared/safetensors/layout.ts';
import { tensorsToLay } from './arbitrary-tensors.ts';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));

/** What must hold of every header that is accepted, computed in another way: each byte has one owner. */
function expectSound(header: SafetensorsHeader, dataSizeBytes: number): void {
  const owners = new Array<number>(dataSizeBytes).fill(0);
  const names = new Set<string>();
  for (const { name, dtype, shape, dataOffsets } of header.tensors) {
    const [begin, end] = dataOffsets;
    names.add(name);
    expect(BigInt(end - begin)).toBe(shape.reduce((a, b) => a * BigInt(b), BigInt(DTYPE_SIZE_BYTES[dtype])));
    for (let byte = begin; byte < end; byte++) owners[byte] = (owners[byte] as number) + 1;
  }
  expect(names.size).toBe(header.tensors.length);
  expect(owners).toEqual(new Array(dataSizeBytes).fill(1));
}

/** Parses what may be damaged: either refused with the right error, or sound. Says whether it was accepted. */
function parseDamaged(json: Uint8Array, dataSizeBytes: number): boolean {
  let header: SafetensorsHeader;
  try {
    header = parseHeader(json, dataSizeBytes, 'damaged.safetensors');
  } catch (thrown) {
    if (!(thrown instanceof SecateurError)) throw thrown;
    expect(thrown.code).toBe('SafetensorsInvalid');
    expect(thrown.message).toContain('damaged.safetensors');
    return false;
  }
  expectSound(header, dataSizeBytes);
  return true;
}

describe('a header', () => {
  test('says after reading what was laid out', () => {
    const metadata = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }));
    fc.assert(
      fc.property(tensorsToLay, metadata, (tensors, metadata) => {
        const layout = layoutSafetensors(tensors, metadata);
        const dataOffset = layout.headerBytes.length;
        const dataSizeBytes = layout.fileSizeBytes - dataOffset;
        const header = parseHeader(layout.headerBytes.subarray(8), dataSizeBytes, 'f');
        expectSound(header, dataSizeBytes);
        expect(Object.entries(header.metadata)).toEqual(Object.entries(metadata));
        const byName = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
        expect([...layout.tensors.keys()]).toEqual(tensors.map(({ name }) => name));
        for (const { name, dtype, shape } of tensors) {
          const { offset, sizeBytes } = layout.tensors.get(name) as { offset: number; sizeBytes: number };
          const dataOffsets = [offset - dataOffset, offset - dataOffset + sizeBytes];
          expect(byName.get(name)).toEqual({ name, dtype, shape, dataOffsets });
        }
      }),
      { numRuns: 500 },
    );
  });

  test('of arbitrary bytes is refused or sound, and nothing else happens', () => {
    const bytes = fc.uint8Array({ maxLength: 80 }).map((rest) => Uint8Array.of(0x7b, ...rest));
    fc.assert(
      fc.property(fc.oneof(bytes, fc.uint8Array({ maxLength: 40 })), fc.nat(40), (json, dataSizeBytes) => {
        parseDamaged(json, dataSizeBytes);
      }),
      { numRuns: 3000 },
    );
  });

  test('with any bytes changed, put in or taken out is refused or sound', () => {
    let accepted = 0;
    const edit = fc.record({ at: fc.nat(), remove: fc.nat(3), insert: fc.uint8Array({ maxLength: 3 }) });
    const printable = fc.constantFrom(...'0123456789-.,[]{}":e').map((text) => Buffer.from(text));
    fc.assert(
      fc.property(tensorsToLay, fc.array(edit, { minLength: 1, maxLength: 3 }), printable, (tensors, edits, digit) => {
        const layout = layoutSafetensors(tensors);
        let json = Buffer.from(layout.headerBytes.subarray(8));
        for (const { at, remove, insert } of edits) {
          const position = at % (json.length + 1);
          const put = at % 3 === 0 ? insert : digit;
          json = Buffer.concat([json.subarray(0, position), put, json.subarray(position + remove)]);
        }
        if (parseDamaged(json, layout.fileSizeBytes - layout.headerBytes.length)) accepted += 1;
      }),
      { numRuns: 4000 },
    );
    // Damage to a name or to the padding does no harm: some must get through, or the property says nothing.
    expect(accepted).toBeGreaterThan(0);
  });

  test('with any part replaced by any other value is refused or sound', () => {
    fc.assert(
      fc.property(tensorsToLay, fc.nat(), fc.constantFrom(0, 1, 2), fc.jsonValue(), (tensors, pick, field, value) => {
        fc.pre(tensors.length > 0);
        const layout = layoutSafetensors(tensors);
        const header = JSON.parse(Buffer.from(layout.headerBytes.subarray(8)).toString('utf8'));
        const names = Object.keys(header);
        const entry = header[names[pick % names.length] as string];
        entry[['dtype', 'shape', 'data_offsets'][field] as string] = value;
        parseDamaged(Buffer.from(JSON.stringify(header)), layout.fileSizeBytes - layout.headerBytes.length);
      }),
      { numRuns: 2000 },
    );
  });

  test('with moved offsets is refused or sound', () => {
    const moves = fc.array(fc.tuple(fc.nat(), fc.integer({ min: -3, max: 3 })), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(tensorsToLay, moves, fc.integer({ min: -2, max: 2 }), (tensors, moves, growth) => {
        fc.pre(tensors.length > 0);
        const layout = layoutSafetensors(tensors);
        const header = JSON.parse(Buffer.from(layout.headerBytes.subarray(8)).toString('utf8'));
        const { __metadata__, ...entries } = header;
        const all = Object.values(entries) as { data_offsets: number[] }[];
        for (const [pick, by] of moves) {
          const offsets = all[pick % all.length]?.data_offsets as number[];
          offsets[pick % 2] = (offsets[pick % 2] as number) + by;
        }
        const dataSizeBytes = Math.max(0, layout.fileSizeBytes - layout.headerBytes.length + growth);
        parseDamaged(Buffer.from(JSON.stringify(header)), dataSizeBytes);
      }),
      { numRuns: 2000 },
    );
  });

  test('of every file that other tools wrote into this repository is accepted', () => {
    const files = ['test/golden/fixtures', 'examples'].flatMap((folder) =>
      readdirSync(`${REPOSITORY}${folder}`, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.safetensors'))
        .map((name) => `${REPOSITORY}${folder}/${name}`),
    );
    expect(files.length).toBeGreaterThan(5);
    for (const file of files) {
      const content = readFileSync(file);
      const end = 8 + Number(content.readBigUInt64LE());
      const { tensors } = parseHeader(content.subarray(8, end), content.length - end, file);
      const reference = JSON.parse(content.toString('utf8', 8, end));
      delete reference.__metadata__;
      const ours = tensors.map(({ name, dtype, shape, dataOffsets }) => [
        name,
        { dtype, shape, data_offsets: dataOffsets },
      ]);
      expect(Object.fromEntries(ours)).toEqual(reference);
    }
  });
});

describe('shapeSize', () => {
  test('is the exact product, or undefined from 2^53 on', () => {
    const dimension = fc.oneof(fc.nat(5), fc.nat(2 ** 31 - 1), fc.maxSafeNat());
    fc.assert(
      fc.property(fc.array(dimension, { maxLength: 4 }), fc.constantFrom(1, 2, 4, 8), (shape, size) => {
        const exact = [...shape, size].reduce<bigint | undefined>((product, factor) => {
          const next = product === undefined ? undefined : product * BigInt(factor);
          return next === undefined || next > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : next;
        }, 1n);
        expect(shapeSize(shape, size)).toBe(exact === undefined ? undefined : Number(exact));
      }),
      { numRuns: 2000 },
    );
  });
});
