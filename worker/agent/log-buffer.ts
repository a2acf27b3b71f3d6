/**
 * Log lines on their way to the coordinator: sent at once while it reads, kept while it is away or slow.
 *
 * Invariants:
 *  1. Lines go in the order in which they came.
 *  2. What is kept is bounded. The oldest lines go first, since the last words before an end are what is looked for, and
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

type KeptLine = LogLine & { readonly message: string };

export class LogBuffer {
  private readonly queue = new LineQueue<KeptLine>({ lines: KEPT_LINES_MAX, characters: KEPT_CHARACTERS_MAX });

  add(line: KeptLine): void {
    this.queue.add({ ...line, message: shortenMessage(line.message) });
  }

  /** Sends what there is for as long as the sink takes it. */
  sendTo(sink: LogSink): void {
    while (sink.takes && this.queue.size > 0) sink.send({ logs: { lines: this.batch() } });
  }

  private batch(): LogLine[] {
    const lines: LogLine[] = [];
    for (let characters = 0; characters < BATCH_CHARACTERS_MAX; ) {
      const line = this.queue.shift();
      if (line === undefined) break;
      const dropped = this.queue.takeDropped();
      if (dropped > 0) {
        const message = `(${dropped} lines before this one were dropped: the coordinator was away or slow, and at most ${KEPT_LINES_MAX} lines and ${KEPT_CHARACTERS_MAX} characters are kept)`;
        lines.push({ ...line, source: 'agent', level: 'warn', message });
      }
      lines.push(line);
      characters += line.message.length;
    }
    return lines;
  }
}
