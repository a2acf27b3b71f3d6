/**
 * Log lines on their way to the coordinator: sent at once while it reads, kept while it is away or slow.
 *
 * Invariants:
 *  1. Lines go in the order in which they came.
 *  2. What is kept is bounded. The oldest lines go first, since the last words before an end are what is looked for, and
 *     a line in their place says how many they were.
 */
import type { LogLine } from '../../shared/rpc/generated/secateur/v1/LogLine.ts';
import type { WorkerMessage } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { shortenMessage } from '../../shared/shorten-message.ts';

/** An hour of an engine that runs tasks of some seconds. */
export const KEPT_LINES_MAX = 4_096;
export const KEPT_CHARACTERS_MAX = 1024 * 1024;
/** Far below the limit of a message (4 MiB), also where every character takes four bytes. */
const BATCH_CHARACTERS_MAX = 64 * 1024;

interface LogSink {
  /** Whether what is sent now is taken now. */
  readonly takes: boolean;
  send(message: WorkerMessage): unknown;
}

type KeptLine = LogLine & { readonly message: string };

export class LogBuffer {
  private lines: KeptLine[] = [];
  private first = 0;
  private characters = 0;
  private dropped = 0;

  add(line: KeptLine): void {
    const kept = { ...line, message: shortenMessage(line.message) };
    this.lines.push(kept);
    this.characters += kept.message.length;
    while (this.lines.length - this.first > KEPT_LINES_MAX || this.characters > KEPT_CHARACTERS_MAX) {
      this.shift();
      this.dropped += 1;
    }
  }

  /** Sends what there is for as long as the sink takes it. */
  sendTo(sink: LogSink): void {
    while (sink.takes && this.first < this.lines.length) sink.send({ logs: { lines: this.batch() } });
  }

  private batch(): LogLine[] {
    const lines: LogLine[] = [];
    let characters = 0;
    while (this.first < this.lines.length && characters < BATCH_CHARACTERS_MAX) {
      const line = this.shift();
      if (this.dropped > 0) {
        const message = `(${this.dropped} lines before this one were dropped: the coordinator was away or slow, and at most ${KEPT_LINES_MAX} lines and ${KEPT_CHARACTERS_MAX} characters are kept)`;
        lines.push({ ...line, source: 'agent', level: 'warn', message });
        this.dropped = 0;
      }
      lines.push(line);
      characters += line.message.length;
    }
    return lines;
  }

  private shift(): KeptLine {
    const line = this.lines[this.first] as KeptLine;
    this.characters -= line.message.length;
    this.first += 1;
    // The front is cut off now and then, not line by line: each cut moves all that is left.
    if (this.first > this.lines.length / 2) {
      this.lines = this.lines.slice(this.first);
      this.first = 0;
    }
    return line;
  }
}
