/** The workers' side of a coordinator on a real server: loop, journal and logs in a folder, and no effects. */
import { join } from 'node:path';
import { ProgressTracker } from '../../coordinator/api/progress.ts';
import { fromGrpc } from '../../coordinator/api/worker-stream.ts';
import { WorkersService } from '../../coordinator/api/workers-service.ts';
import { fileStatistics } from '../../coordinator/effects/statistics-store.ts';
import { SYSTEM_DISK } from '../../coordinator/journal/disk.ts';
import { Journal } from '../../coordinator/journal/journal.ts';
import { JobLogs } from '../../coordinator/logs/job-logs.ts';
import { CoordinatorLoop } from '../../coordinator/loop.ts';
import { EventLog } from '../../coordinator/outbox/event-log.ts';
import { bindServer, createClient, createServer } from '../../shared/rpc/channel.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { SYSTEM_TIMERS } from '../../shared/timers.ts';

export interface ServedWorkers {
  readonly loop: CoordinatorLoop;
  readonly workers: WorkersService;
  readonly logs: JobLogs;
  readonly address: string;
  readonly said: string[];
  readonly client: ReturnType<typeof createClient<'Workers'>>;
  close(): Promise<void>;
}

export async function serveWorkers(folder: string): Promise<ServedWorkers> {
  const journal = await Journal.open({ disk: SYSTEM_DISK, directory: folder, nowMs: Date.now() });
  const loop = new CoordinatorLoop({
    journal,
    events: new EventLog({ disk: SYSTEM_DISK, stateDirectory: folder }),
    timers: SYSTEM_TIMERS,
    warn: () => undefined,
  });
  let closing = false;
  await loop.start({ run: () => undefined }, (reason) => {
    // Streams that end with the server are told to a loop that has stopped.
    if (!closing) throw reason;
  });
  const said: string[] = [];
  const logs = new JobLogs((job) => join(folder, job));
  const workers = new WorkersService({
    loop,
    logs,
    progress: new ProgressTracker(),
    statistics: fileStatistics((job) => join(folder, job)),
    checkStaged: async () => undefined,
    coordinatorId: loop.coordinatorId,
    timers: SYSTEM_TIMERS,
    log: (_, message) => said.push(message),
  });
  const server = createServer();
  server.addService(SERVICES.Workers.service, {
    Attach: (stream: Parameters<typeof fromGrpc>[0]) => workers.attach(fromGrpc(stream)),
  });
  const address = await bindServer(server, '127.0.0.1:0');
  const client = createClient(address, 'Workers');
  return {
    loop,
    workers,
    logs,
    address,
    said,
    client,
    close: async () => {
      closing = true;
      client.close();
      server.forceShutdown();
      workers.close();
      await loop.stop();
      await logs.flush();
      await journal.close();
    },
  };
}
