/**
 * The messages of one stream, taken one after the other: a result waits for the statistics before it.
 *
 * Invariants:
 *  1. Messages are taken in the order in which they came, never two at a time.
 *  2. At most WAITING_MAX of them wait here. Then the stream is paused, and the transport's flow control slows the
 *     sender down; it goes on when half of them have been taken.
 */
import type { WorkerStream } from './worker-stream.ts';

type Pausable = Pick<WorkerStream, 'pause' | 'resume' | 'isPaused'>;

/** With the 16 that the stream itself may hold, and 4 MiB a message: at most 128 MiB of a worker that floods. */
export const WAITING_MAX = 16;

export class MessageTurns<Message> {
  private readonly stream: Pausable;
  private readonly take: (message: Message) => Promise<void>;
  private readonly failed: (thrown: unknown) => void;
  private last: Promise<void> = Promise.resolve();
  private count = 0;

  constructor(stream: Pausable, take: (message: Message) => Promise<void>, failed: (thrown: unknown) => void) {
    this.stream = stream;
    this.take = take;
    this.failed = failed;
  }

  /** How many have come and are not taken yet: while there are some, their sender is not silent. */
  get waiting(): number {
    return this.count;
  }

  add(message: Message): void {
    this.count += 1;
    if (this.count >= WAITING_MAX) this.stream.pause();
    this.after(async () => {
      try {
        await this.take(message);
      } finally {
        this.count -= 1;
        if (this.count <= WAITING_MAX / 2 && this.stream.isPaused()) this.stream.resume();
      }
    });
  }

  /** Runs when everything that has come before is taken. */
  after(work: () => Promise<void>): void {
    this.last = this.last.then(work).catch(this.failed);
  }
}
