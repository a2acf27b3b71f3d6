/**
 * Lines that wait for a reader who may be slow or away: the newest are kept within bounds, the oldest go first and are
 * counted. Adding and taking cost the same however many wait.
 */

export interface LineQueueBounds {
  readonly lines?: number;
  readonly characters: number;
  /** What a line costs beside its message. */
  readonly overheadCharacters?: number;
}

export class LineQueue<Line extends { readonly message: string }> {
  private readonly bounds: Required<LineQueueBounds>;
  private lines: Line[] = [];
  private first = 0;
  private characters = 0;
  private dropped = 0;

  constructor(bounds: LineQueueBounds) {
    this.bounds = { lines: Number.POSITIVE_INFINITY, overheadCharacters: 0, ...bounds };
  }

  add(line: Line): void {
    this.lines.push(line);
    this.characters += this.sizeOf(line);
    while (this.size > this.bounds.lines || this.characters > this.bounds.characters) {
      this.shift();
      this.dropped += 1;
    }
  }

  get size(): number {
    return this.lines.length - this.first;
  }

  /** Of those that are there, the oldest first; undefined past their end. */
  at(index: number): Line | undefined {
    return this.lines[this.first + index];
  }

  /** Takes the oldest line; undefined where there is none. */
  shift(): Line | undefined {
    const line = this.lines[this.first];
    if (line === undefined) return undefined;
    this.characters -= this.sizeOf(line);
    this.first += 1;
    // The front is cut off now and then, not line by line: each cut moves all that is left.
    if (this.first > this.lines.length / 2) {
      this.lines = this.lines.slice(this.first);
      this.first = 0;
    }
    return line;
  }

  /** How many lines before the one that is the oldest now had to go, since the last call. */
  takeDropped(): number {
    const { dropped } = this;
    this.dropped = 0;
    return dropped;
  }

  private sizeOf(line: Line): number {
    return line.message.length + this.bounds.overheadCharacters;
  }
}
