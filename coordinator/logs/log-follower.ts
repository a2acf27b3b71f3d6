/** New lines of a job's log for one reader, who may be slow: the newest are kept, and a line says how many are not. */
import type { JobLogLine } from './read-job-log.ts';

/** Of messages: some thousand lines. A reader that is further behind has not looked for a while. */
const KEPT_CHARACTERS_MAX = 1024 * 1024;
/** What a line costs beside its message. */
const LINE_OVERHEAD_CHARACTERS = 256;

export class LogFollower {
  private lines: JobLogLine[] = [];
  private first = 0;
  private characters = 0;
  private dropped = 0;

  add(line: JobLogLine): void {
    this.lines.push(line);
    this.characters += sizeOf(line);
    while (this.characters > KEPT_CHARACTERS_MAX) {
      this.characters -= sizeOf(this.lines[this.first] as JobLogLine);
      this.first += 1;
      this.dropped += 1;
    }
    // The front is cut off now and then, not line by line: each cut moves all that is left.
    if (this.first > this.lines.length / 2) this.cutFront();
  }

  /** Everything since the last call. */
  take(): readonly JobLogLine[] {
    this.cutFront();
    const { lines, dropped } = this;
    this.lines = [];
    this.characters = 0;
    this.dropped = 0;
    const [oldest] = lines;
    if (dropped === 0 || oldest === undefined) return lines;
    const message = `(${dropped} lines before this one were dropped: this reader was too slow; without --follow all are read)`;
    return [{ ...oldest, level: 'warn', message }, ...lines];
  }

  private cutFront(): void {
    if (this.first > 0) this.lines = this.lines.slice(this.first);
    this.first = 0;
  }
}

function sizeOf(line: JobLogLine): number {
  return line.message.length + LINE_OVERHEAD_CHARACTERS;
}
