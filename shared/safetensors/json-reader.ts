/**
 * A strict JSON reader (RFC 8259) for files from strangers. The caller says what it expects next and the reader either
 * delivers that or refuses; no tree is built, so memory follows what the caller keeps, not what the text nests.
 *
 * It refuses what JSON.parse lets pass: a key twice in one object, invalid UTF-8, lone surrogates, integers beyond
 * 2^53, nesting without end.
 *
 * Invariants:
 * J1  `#at` never passes the end of the bytes, and each byte is read once (strings: twice).
 * J2  `#path` names the value being read, so that every refusal says where it stands.
 */

import { isUtf8 } from 'node:buffer';
import type { SecateurError } from '../errors/secateur-error.ts';

/** Levels of nesting; the Rust crate's JSON parser (serde_json) refuses the 128th too. Keeps recursion off the stack's end. */
const DEPTH_MAX = 127;
/** Members of one object; 100 MB of header have room for 2.2 million tensors. Keeps a Map far from its 2^24 entries. */
const MEMBER_COUNT_MAX = 2_500_000;
/** Characters of a hostile name or number that a message repeats. */
const SHOWN_CHARACTERS_MAX = 120;

const NUMBER = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/;
const LITERALS = ['true', 'false', 'null'] as const;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BRACKET_OPEN = 0x5b;
const BACKSLASH = 0x5c;
const BRACKET_CLOSE = 0x5d;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;

export class JsonReader {
  readonly #bytes: Buffer;
  readonly #refuse: (problem: string) => SecateurError;
  readonly #path: (string | number)[] = [];
  #at = 0;
  #depth = 0;

  /** `refuse` makes the error out of "expected …; found …, at …": it adds the file and what to do. */
  constructor(bytes: Uint8Array, refuse: (problem: string) => SecateurError) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#refuse = refuse;
    if (!isUtf8(bytes)) throw refuse('expected JSON in UTF-8; found bytes that are no UTF-8');
  }

  /** Reads an object; `onMember` must read exactly the member's value. A key that comes twice is refused. */
  object(onMember: (key: string) => void): void {
    const keys = new Set<string>();
    this.#container(BRACE_OPEN, BRACE_CLOSE, 'an object', () => {
      const key = this.string();
      if (keys.has(key)) throw this.fail(`expected each key once; found ${showText(key)} twice`);
      if (keys.size === MEMBER_COUNT_MAX) throw this.fail(`expected at most ${MEMBER_COUNT_MAX} keys; found more`);
      keys.add(key);
      this.#skipSpace();
      if (this.#bytes[this.#at] !== COLON) throw this.#unexpected('":" after a key');
      this.#at += 1;
      this.#path.push(key);
      onMember(key);
      this.#path.pop();
    });
  }

  /** Reads an array; `onElement` must read exactly the element. */
  array(onElement: (index: number) => void): void {
    let index = 0;
    this.#container(BRACKET_OPEN, BRACKET_CLOSE, 'an array', () => {
      this.#path.push(index);
      onElement(index);
      this.#path.pop();
      index += 1;
    });
  }

  string(): string {
    this.#skipSpace();
    if (this.#bytes[this.#at] !== QUOTE) throw this.#unexpected('a string');
    const begin = this.#at;
    let end = begin + 1;
    let escaped = false;
    for (; this.#bytes[end] !== QUOTE; end++) {
      const byte = this.#bytes[end];
      if (byte === undefined) throw this.fail('expected the end of a string; found the end of the text');
      if (byte === BACKSLASH) {
        escaped = true;
        end += 1;
      }
    }
    this.#at = end + 1;
    const raw = this.#bytes.toString('utf8', begin, end + 1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what JSON forbids inside strings
    if (!escaped && !/[\u0000-\u001f]/.test(raw)) return raw.slice(1, -1);
    return this.#unescape(raw);
  }

  /** Reads a whole number of 0 to 2^53 - 1, written without a fraction or an exponent (1.0 and 1e3 are refused). */
  integer(): number {
    const text = this.#numberText('an integer from 0 to 2^53 - 1');
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(value)) {
      throw this.fail(`expected an integer from 0 to 2^53 - 1; found ${shorten(text)}`);
    }
    return value;
  }

  /** Reads any number; as a double. */
  number(): number {
    return Number(this.#numberText('a number'));
  }

  /** Reads null. */
  null(): void {
    this.#skipSpace();
    if (this.#bytes.toString('latin1', this.#at, this.#at + 4) !== 'null') throw this.#unexpected('null');
    this.#at += 4;
  }

  /** Reads a value of any kind and forgets it. */
  skip(): void {
    const kind = this.kind();
    if (kind === 'object') {
      // Keys are not kept here: a skipped object means nothing, and may be as large as the file.
      this.#container(BRACE_OPEN, BRACE_CLOSE, 'an object', () => {
        this.string();
        this.#skipSpace();
        if (this.#bytes[this.#at] !== COLON) throw this.#unexpected('":" after a key');
        this.#at += 1;
        this.skip();
      });
    } else if (kind === 'array') this.array(() => this.skip());
    else if (kind === 'string') this.string();
    else if (kind === 'number') this.#numberText('a number');
    else this.#literal();
  }

  /** What comes next; the value itself is not checked yet. */
  kind(): 'object' | 'array' | 'string' | 'number' | 'literal' {
    this.#skipSpace();
    const byte = this.#bytes[this.#at];
    if (byte === BRACE_OPEN) return 'object';
    if (byte === BRACKET_OPEN) return 'array';
    if (byte === QUOTE) return 'string';
    return byte !== undefined && isNumberByte(byte) ? 'number' : 'literal';
  }

  /** Checks that only white space is left. */
  end(): void {
    this.#skipSpace();
    if (this.#at < this.#bytes.length) throw this.#unexpected('the end of the text');
  }

  /** An error about the value at hand, with its place. For the caller to throw. */
  fail(problem: string): SecateurError {
    const path = this.#path.map((part) => (typeof part === 'number' ? `[${part}]` : showText(part))).join('.');
    return this.#refuse(`${problem}, at ${path === '' ? '' : `${path.replaceAll('.[', '[')}, `}byte ${this.#at}`);
  }

  #container(open: number, close: number, name: string, readItem: () => void): void {
    this.#skipSpace();
    if (this.#bytes[this.#at] !== open) throw this.#unexpected(name);
    if (this.#depth === DEPTH_MAX) throw this.fail(`expected at most ${DEPTH_MAX} levels of nesting; found more`);
    this.#depth += 1;
    this.#at += 1;
    this.#skipSpace();
    if (this.#bytes[this.#at] === close) this.#at += 1;
    else {
      for (;;) {
        readItem();
        this.#skipSpace();
        const byte = this.#bytes[this.#at];
        if (byte !== close && byte !== COMMA) throw this.#unexpected(`"," or the end of ${name}`);
        this.#at += 1;
        if (byte === close) break;
      }
    }
    this.#depth -= 1;
  }

  #unescape(raw: string): string {
    let text: unknown;
    try {
      text = JSON.parse(raw);
    } catch {
      throw this.fail(`expected a string; found a bad escape or a control character in ${shorten(raw)}`);
    }
    if (typeof text !== 'string' || !text.isWellFormed()) {
      throw this.fail(`expected a string of whole characters; found half a surrogate pair in ${shorten(raw)}`);
    }
    return text;
  }

  #numberText(expected: string): string {
    this.#skipSpace();
    const begin = this.#at;
    let end = begin;
    while (end < this.#bytes.length && isNumberByte(this.#bytes[end] as number)) end++;
    const text = this.#bytes.toString('latin1', begin, end);
    if (end === begin) throw this.#unexpected(expected);
    if (!NUMBER.test(text)) throw this.fail(`expected ${expected}; found ${shorten(text)}`);
    this.#at = end;
    return text;
  }

  #literal(): void {
    for (const literal of LITERALS) {
      if (this.#bytes.toString('latin1', this.#at, this.#at + literal.length) === literal) {
        this.#at += literal.length;
        return;
      }
    }
    throw this.#unexpected('a value');
  }

  #unexpected(expected: string): SecateurError {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) return this.fail(`expected ${expected}; found the end of the text`);
    return this.fail(`expected ${expected}; found ${showText(this.#bytes.toString('utf8', this.#at, this.#at + 12))}`);
  }

  #skipSpace(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.#at += 1;
    }
  }
}

/** A name or a piece of hostile text for a message: quoted, without control characters, not too long. */
export function showText(text: string): string {
  return shorten(JSON.stringify(text.slice(0, SHOWN_CHARACTERS_MAX + 1)));
}

function shorten(text: string): string {
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
}

/** Digits, signs, point and exponent. */
function isNumberByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x2b || byte === 0x2e || byte === 0x65 || byte === 0x45
  );
}
