import { type Client, credentials, loadPackageDefinition, type ServiceDefinition } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import { service as healthService } from 'grpc-health-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bindServer, createServer } from '../../shared/rpc/channel.ts';
import { addHealthAndReflection } from '../../shared/rpc/health-reflection.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';

/** The part of grpc/reflection/v1/reflection.proto that lists services. */
const REFLECTION = fromJSON({
  nested: {
    grpc: {
      nested: {
        reflection: {
          nested: {
            v1: {
              nested: {
                Request: { fields: { host: { type: 'string', id: 1 }, listServices: { type: 'string', id: 7 } } },
                Response: { fields: { listServicesResponse: { type: 'List', id: 6 } } },
                List: { fields: { service: { rule: 'repeated', type: 'Named', id: 1 } } },
                Named: { fields: { name: { type: 'string', id: 1 } } },
                ServerReflection: {
                  methods: {
                    ServerReflectionInfo: {
                      requestType: 'Request',
                      requestStream: true,
                      responseType: 'Response',
                      responseStream: true,
                      comment: '',
                    },
                  },
                },
              },
            },
          },
        },
      },
    },
  },
});

describe('beside its own services a server has', () => {
  const server = createServer();
  let address = '';

  beforeAll(async () => {
    server.addService(SERVICES.Jobs.service, {});
    const health = addHealthAndReflection(server);
    health.setStatus('secateur.v1.Jobs', 'NOT_SERVING');
    address = await bindServer(server, '127.0.0.1:0');
  });
  afterAll(() => server.forceShutdown());

  it('grpc.health.v1, per service and as a whole', async () => {
    const root = loadPackageDefinition({
      'grpc.health.v1.Health': healthService as unknown as ServiceDefinition,
    }) as never;
    const { Health } = (root as { grpc: { health: { v1: Record<string, new (...a: unknown[]) => Client> } } }).grpc
      .health.v1;
    const client = new (Health as new (...a: unknown[]) => Client)(address, credentials.createInsecure()) as Client & {
      check(request: object, callback: (error: Error | null, response: { status: string }) => void): void;
    };
    const check = (service: string): Promise<string> =>
      new Promise((resolve, reject) => {
        client.check({ service }, (error, response) => (error === null ? resolve(response.status) : reject(error)));
      });
    expect(await check('')).toBe('SERVING');
    expect(await check('secateur.v1.Jobs')).toBe('NOT_SERVING');
    client.close();
  });

  it("reflection that lists the project's services", async () => {
    const root = loadPackageDefinition(REFLECTION) as unknown as {
      grpc: { reflection: { v1: { ServerReflection: new (...a: unknown[]) => Client } } };
    };
    const client = new root.grpc.reflection.v1.ServerReflection(address, credentials.createInsecure()) as Client & {
      serverReflectionInfo(): NodeJS.ReadWriteStream;
    };
    const stream = client.serverReflectionInfo();
    const answer = new Promise<unknown>((resolve, reject) => stream.once('data', resolve).once('error', reject));
    stream.write({ listServices: '' } as never);
    const names = JSON.stringify(await answer);
    stream.end();
    client.close();
    for (const name of ['Jobs', 'Workers', 'Artifacts']) expect(names).toContain(`secateur.v1.${name}`);
  });
});
