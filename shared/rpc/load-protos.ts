/** The wire contract, loaded once, with the types that generate-types.ts wrote for it. */
import { type GrpcObject, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import type { ProtoGrpcType as ArtifactsProto } from './generated/artifacts.ts';
import type { ProtoGrpcType as JobsProto } from './generated/jobs.ts';
import type { ProtoGrpcType as WorkersProto } from './generated/workers.ts';
import { LOADER_OPTIONS, PROTO_DIRECTORY, PROTO_FILES } from './proto-options.ts';

/** Client constructors by service; each carries its definition as `.service`. */
export interface Services {
  readonly Jobs: JobsProto['secateur']['v1']['Jobs'];
  readonly Workers: WorkersProto['secateur']['v1']['Workers'];
  readonly Artifacts: ArtifactsProto['secateur']['v1']['Artifacts'];
}

export type ServiceName = keyof Services;

/** Every message and service, also for reflection. */
export const PACKAGE_DEFINITION: PackageDefinition = loadSync([...PROTO_FILES], {
  ...LOADER_OPTIONS,
  includeDirs: [PROTO_DIRECTORY],
});

export const SERVICES: Services = servicesOf(loadPackageDefinition(PACKAGE_DEFINITION));

function servicesOf(root: GrpcObject): Services {
  const { secateur } = root as unknown as JobsProto & WorkersProto & ArtifactsProto;
  const { Jobs, Workers, Artifacts } = secateur.v1;
  return { Jobs, Workers, Artifacts };
}
