/**
 * JSON for files that may be hostile: duplicate keys are refused at every depth, nesting is bounded, objects have no
 * prototype (a key "__proto__" is a key). Plain recursion: the depth limit keeps the stack small.
 */

/** Deeper than any file we read has a reason to be. */
const DEPTH_MAX = 32;

export type StrictJson = string | number | boolean | null | StrictJson[] | StrictJsonObject;
export type StrictJsonObject = { [key: string]: StrictJson };

export class StrictJsonError extends Error {}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what a JSON string must not hold
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

/** @throws StrictJsonError with the position (in UTF-16 units) of what is wrong */
export function parseStrictJson(text: string): StrictJson {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  private readonly text: string;
  private position = 0;

  constructor(text: string) {
    this.text = text;
  }

  end(): void {
    this.skipSpace();
    if (this.position < this.text.length) this.fail('expected the end of the text');
  }

  value(depth: number): StrictJson {
    if (depth > DEPTH_MAX) this.fail(`nested deeper than ${DEPTH_MAX} levels`);
    this.skipSpace();
    switch (this.text[this.position]) {
      case '{':
        return this.object(depth);
      case '[':
        return this.array(depth);
      case '"':
        return this.string();
      case 't':
        return this.word('true', true);
      case 'f':
        return this.word('false', false);
      case 'n':
        return this.word('null', null);
      default:
        return this.number();
    }
  }

  private object(depth: number): StrictJsonObject {
    const result: StrictJsonObject = Object.create(null);
    this.position += 1;
    if (this.isNext('}')) return result;
    do {
      this.skipSpace();
      const at = this.position;
      const key = this.string();
      if (key in result) this.fail(`duplicate key ${JSON.stringify(key)}`, at);
      if (!this.isNext(':')) this.fail('expected ":"');
      result[key] = this.value(depth + 1);
    } while (this.isNext(','));
    if (!this.isNext('}')) this.fail('expected "," or "}"');
    return result;
  }

  private array(depth: number): StrictJson[] {
    const result: StrictJson[] = [];
    this.position += 1;
    if (this.isNext(']')) return result;
    do result.push(this.value(depth + 1));
    while (this.isNext(','));
    if (!this.isNext(']')) this.fail('expected "," or "]"');
    return result;
  }

  private string(): string {
    STRING.lastIndex = this.position;
    const match = STRING.exec(this.text);
    if (match === null) this.fail('expected a string');
    this.position = STRING.lastIndex;
    return JSON.parse((match as RegExpExecArray)[0]) as string;
  }

  private number(): number {
    NUMBER.lastIndex = this.position;
    const match = NUMBER.exec(this.text);
    if (match === null) this.fail('expected a value');
    this.position = NUMBER.lastIndex;
    return Number((match as RegExpExecArray)[0]);
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.position)) this.fail('expected a value');
    this.position += word.length;
    return value;
  }

  /** Steps over the character, and the space before it, where it comes next. */
  private isNext(character: string): boolean {
    this.skipSpace();
    if (this.text[this.position] !== character) return false;
    this.position += 1;
    return true;
  }

  private skipSpace(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.position += 1;
    }
  }

  private fail(what: string, at = this.position): never {
    throw new StrictJsonError(`${what} at position ${at}${at >= this.text.length ? ' (the end)' : ''}`);
  }
}
