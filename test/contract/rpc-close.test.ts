/** A server that is asked to end, and peers that no longer take part. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { bindServer, closeServer, createServer } from '../../shared/rpc/channel.ts';

/** What a client says first: the preface of HTTP/2 and an empty SETTINGS frame. */
const HELLO = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0', 'latin1');

describe('a server that closes', () => {
  it('ends though a peer that has stopped never closes its end', async () => {
    const server = createServer();
    const port = Number((await bindServer(server, '127.0.0.1:0')).split(':').at(-1));
    // As the kernel of a stopped process does: it takes what comes, and never says a word.
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write(HELLO);
    await once(socket, 'data');
    const beganMs = performance.now();
    await closeServer(server, 100);
    expect(performance.now() - beganMs).toBeLessThan(3_000);
    socket.destroy();
  }, 20_000);
});
