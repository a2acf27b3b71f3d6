/** A Jobs service on loopback with handlers of the test's own; what a test leaves out answers "unimplemented". */
import type { ChannelOptions, UntypedServiceImplementation } from '@grpc/grpc-js';
import { bindServer, createClient, createServer, type ServiceClient } from '../../shared/rpc/channel.ts';
import type { JobsClient, JobsHandlers } from '../../shared/rpc/generated/secateur/v1/Jobs.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';

export interface RunningJobs {
  readonly address: string;
  readonly client: ServiceClient<JobsClient>;
  close(): void;
}

export async function serveJobs(
  handlers: Partial<JobsHandlers>,
  channelOptions: ChannelOptions = {},
): Promise<RunningJobs> {
  const server = createServer();
  server.addService(SERVICES.Jobs.service, handlers as UntypedServiceImplementation);
  const address = await bindServer(server, '127.0.0.1:0');
  const client = createClient(address, 'Jobs', { channelOptions });
  return {
    address,
    client,
    close: () => {
      client.close();
      server.forceShutdown();
    },
  };
}
