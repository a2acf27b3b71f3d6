/** Standard services beside the project's own: grpc.health.v1 for probes, reflection for grpcurl and kin. */
import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { PACKAGE_DEFINITION } from './load-protos.ts';

/** Adds both to a server that is not started yet. */
export function addHealthAndReflection(server: Server): HealthImplementation {
  // '' is the server as a whole: what a probe without a service name asks for.
  const health = new HealthImplementation({ '': 'SERVING' });
  health.addToServer(server);
  new ReflectionService(PACKAGE_DEFINITION).addToServer(server);
  return health;
}
