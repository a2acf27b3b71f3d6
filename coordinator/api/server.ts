/** The coordinator's gRPC server: which service answers what. */
import { bindServer, closeServer, createServer } from '../../shared/rpc/channel.ts';
import type { JobsHandlers } from '../../shared/rpc/generated/secateur/v1/Jobs.ts';
import type { WorkersHandlers } from '../../shared/rpc/generated/secateur/v1/Workers.ts';
import { addHealthAndReflection } from '../../shared/rpc/health-reflection.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { handleServerStream } from '../../shared/rpc/server-stream.ts';
import { handleUnary } from '../../shared/rpc/unary.ts';
import type { TaskIdentity } from '../core/events.ts';
import { currentLease, type JobState, jobOf } from '../core/state.ts';
import type { JobPaths } from '../effects/job-paths.ts';
import type { CoordinatorLoop } from '../loop.ts';
import { createArtifactsService } from './artifacts-service.ts';
import type { JobsService } from './jobs-service.ts';
import { fromGrpc } from './worker-stream.ts';
import type { WorkersService } from './workers-service.ts';

/** What is under way may end for this long when the coordinator stops. */
const CLOSE_GRACE_MS = 2_000;

export interface ApiParts {
  readonly listen: string;
  readonly loop: CoordinatorLoop;
  readonly jobs: JobsService;
  readonly workers: WorkersService;
  readonly pathsOf: (job: JobState) => JobPaths;
}

export interface Api {
  readonly address: string;
  close(): Promise<void>;
}

export async function createApi(parts: ApiParts): Promise<Api> {
  const server = createServer();
  server.addService(SERVICES.Jobs.service, jobsHandlers(parts.jobs));
  server.addService(SERVICES.Workers.service, {
    Attach: (stream) => parts.workers.attach(fromGrpc(stream)),
  } satisfies WorkersHandlers);
  server.addService(SERVICES.Artifacts.service, artifactsHandlers(parts));
  addHealthAndReflection(server);
  const address = await bindServer(server, parts.listen);
  return { address, close: () => closeServer(server, CLOSE_GRACE_MS) };
}

function jobsHandlers(jobs: JobsService): JobsHandlers {
  return {
    Submit: handleUnary((request) => jobs.submit(request)),
    Plan: handleUnary((request) => jobs.plan(request.manifestJson)),
    Get: handleUnary((request) => jobs.get(request)),
    List: handleUnary((request) => jobs.list(request.namespace)),
    Watch: handleServerStream((request, signal) => jobs.watch(request, signal)),
    Logs: handleServerStream((request, signal) => jobs.logs(request, signal)),
    Cancel: handleUnary((request) => jobs.cancel(request)),
    Resume: handleUnary((request) => jobs.resume(request)),
    ListWorkers: handleUnary(() => ({ workers: jobs.listWorkers() })),
  };
}

/** Workers reach exactly the files of a job's inputs and its staging folder, and write only while they hold a lease. */
function artifactsHandlers({ loop, pathsOf }: ApiParts): ReturnType<typeof createArtifactsService> {
  return createArtifactsService({
    resolveJob: (id) => {
      const job = jobOf(loop.state, id);
      if (job === undefined || job.intake === null) return undefined;
      const { sourceDirectory, shards, auxiliaryFiles, calibrationFiles, evaluationFiles = [] } = job.intake;
      return {
        sourceDirectory,
        stagingDirectory: pathsOf(job).staging,
        calibrationFiles: calibrationFiles.map(({ file }) => file),
        evaluationFiles: evaluationFiles.map(({ file }) => file),
        sourceFiles: new Set([...shards, ...auxiliaryFiles].map(({ file }) => file)),
      };
    },
    isCurrent: (identity: TaskIdentity) => currentLease(loop.state, identity) !== undefined,
  });
}
