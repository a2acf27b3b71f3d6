/** A server that a test can stop in the middle of a stream: says its address, sends some messages a call, then nothing. */
import { setTimeout as pause } from 'node:timers/promises';
import { bindServer, createServer } from '../../shared/rpc/channel.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { handleServerStream } from '../../shared/rpc/server-stream.ts';

const server = createServer();
server.addService(SERVICES.Jobs.service, {
  Watch: handleServerStream(async function* () {
    // Spread over several keepalive pings of the client: answered pings must not end the stream.
    for (let message = 0; message < 10; message++) {
      yield { eventJson: '{}' };
      await pause(100);
    }
    await new Promise(() => undefined);
  }),
});
process.stdout.write(`${await bindServer(server, '127.0.0.1:0')}\n`);
// Ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();
