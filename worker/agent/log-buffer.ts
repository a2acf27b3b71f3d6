/**
 * Log lines on their way to the coordinator: sent at once while it reads, kept until it says that they are written.
 *
 * Invariants:
 *  1. Lines go in the order in which they came, numbered from 1 without a gap over the life of this process.
 *  2. What went on a stream that broke, and was not acknowledged, goes again on the next.
 *  3. What is kept is bounded. The oldest lines go first, since the last words before an end are what is looked for, and
 *     a line in their place says how many they were.
 */
import { LineQueue } from '../../shared/line-queue.ts';
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

type NewLine = LogLine & { readonly message: string };
type KeptLine = NewLine & { readonly sequence: number };

export class LogBuffer {
  private readonly queue = new LineQueue<KeptLine>({ lines: KEPT_LINES_MAX, characters: KEPT_CHARACTERS_MAX });
  /** The number of the newest line. */
  private newest = 0;
  /** Everything up to here went on this stream, or needs to go on none. */
  private sent = 0;
  /** Everything up to here is written. */
  private acknowledged = 0;

  add(line: NewLine): void {
    this.newest += 1;
    this.queue.add({ ...line, message: shortenMessage(line.message), sequence: this.newest });
  }

  /** Sends what there is for as long as the sink takes it. */
  sendTo(sink: LogSink): void {
    while (sink.takes && this.sent < this.newest) sink.send({ logs: { lines: this.batch() } });
  }

  /** On a new stream: what went on the one before may not have arrived. */
  rewind(): void {
    this.sent = this.acknowledged;
  }

  acknowledge(sequence: number): void {
    this.acknowledged = Math.max(this.acknowledged, Math.min(sequence, this.sent));
    while ((this.queue.at(0)?.sequence ?? Number.POSITIVE_INFINITY) <= this.acknowledged) this.queue.shift();
  }

  private batch(): LogLine[] {
    const lines: LogLine[] = [];
    for (let characters = 0; characters < BATCH_CHARACTERS_MAX; ) {
      const oldest = this.queue.at(0)?.sequence ?? 0;
      const line = this.queue.at(Math.max(0, this.sent + 1 - oldest));
      if (line === undefined) break;
      const dropped = line.sequence - this.sent - 1;
      if (dropped > 0) {
        const message = `(${dropped} lines before this one were dropped: the coordinator was away or slow, and at most ${KEPT_LINES_MAX} lines and ${KEPT_CHARACTERS_MAX} characters are kept)`;
        // With the number of the last of those that it stands for: where they arrived after all, it is not written.
        lines.push({ ...line, sequence: line.sequence - 1, source: 'agent', level: 'warn', message });
      }
      lines.push(line);
      this.sent = line.sequence;
      characters += line.message.length;
    }
    return lines;
  }
}
