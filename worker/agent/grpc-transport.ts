/** The agent's way to the coordinator over gRPC: one channel, on which streams are opened one after the other. */
import { createClient } from '../../shared/rpc/channel.ts';
import type { AttachTransport } from './attach-stream.ts';

export function grpcTransport(address: string): AttachTransport {
  const client = createClient(address, 'Workers');
  return { address, open: () => client.attach(), close: () => client.close() };
}
