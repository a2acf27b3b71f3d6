/** The coordinator's service for workers over a simulated cluster, and streams that are driven by hand. */
import { EventEmitter } from 'node:events';
import { WorkersService } from '../../coordinator/api/workers-service.ts';
import type { CoreEvent } from '../../coordinator/core/events.ts';
import type { Cluster } from '../simulation/cluster.ts';

type Options = ConstructorParameters<typeof WorkersService>[0];

/** A worker's end: messages of it are `emit('data', …)`; what the service does is kept. */
export class FakeStream extends EventEmitter {
  readonly writableLength = 0;
  readonly written: Record<string, unknown>[] = [];
  readonly failures: unknown[] = [];
  write(message: Record<string, unknown>): boolean {
    this.written.push(message);
    return true;
  }
  end(): void {}
  fail(reason: unknown): void {
    this.failures.push(reason);
  }
  pause(): void {}
  resume(): void {}
  isPaused(): boolean {
    return false;
  }
}

export function serveCluster(
  cluster: Cluster,
  parts: Pick<Options, 'progress' | 'statistics' | 'timers'>,
): WorkersService {
  const loop = {
    get state() {
      return cluster.state;
    },
    submit: async (event: CoreEvent) => cluster.take(event),
  };
  return new WorkersService({
    ...parts,
    loop: loop as never,
    logs: { append: async () => true, lastSequence: async () => 0 },
    checkStaged: async () => undefined,
    coordinatorId: 'x',
    log: () => undefined,
  });
}
