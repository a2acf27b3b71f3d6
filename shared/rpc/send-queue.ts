/**
 * Sends messages on a stream no faster than the peer takes them: at most `AHEAD_MAX` are handed to the transport and
 * not yet on their way. (A stream's own high-water mark is 16 messages, of up to a megabyte each here.)
 */
import type { Writable } from 'node:stream';
import { SecateurError } from '../errors/secateur-error.ts';

const AHEAD_MAX = 4;

export class SendQueue<Message> {
  private readonly stream: Writable;
  private ahead = 0;
  private failure: unknown = null;
  private wake = Promise.withResolvers<void>();

  constructor(stream: Writable) {
    this.stream = stream;
    // After the end of a stream the transport calls nobody back: its 'close' is what wakes a sender then.
    stream.once('close', () => this.fail(new SecateurError('Cancelled', 'the stream was closed by the other side')));
    stream.once('error', (error) => this.fail(error));
  }

  /** Resolves when there is room for the next message. @throws once the stream is gone */
  async send(message: Message): Promise<void> {
    if (this.failure !== null) throw this.failure;
    this.ahead += 1;
    this.stream.write(message, (error) => {
      this.ahead -= 1;
      if (error) this.fail(error);
      else this.wake.resolve();
    });
    while (this.ahead >= AHEAD_MAX && this.failure === null) {
      this.wake = Promise.withResolvers();
      await this.wake.promise;
    }
    if (this.failure !== null) throw this.failure;
  }

  private fail(error: unknown): void {
    this.failure ??= error;
    this.wake.resolve();
  }
}
