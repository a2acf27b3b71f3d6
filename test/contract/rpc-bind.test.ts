/** An address that is taken: one error, and nothing of gRPC's own on standard error. */
import { afterEach, expect, it, vi } from 'vitest';
import { bindServer, closeServer, createServer } from '../../shared/rpc/channel.ts';

afterEach(() => vi.restoreAllMocks());

it('a server that cannot listen says so once, in its error', async () => {
  const printed = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  const [first, second] = [createServer(), createServer()];
  const address = await bindServer(first, '127.0.0.1:0');
  await expect(bindServer(second, address)).rejects.toMatchObject({
    code: 'Unavailable',
    message: `cannot listen on ${address}: another process listens there (EADDRINUSE). Choose another address, or end what listens there.`,
  });
  expect(printed).not.toHaveBeenCalled();
  await closeServer(first, 100);
});
