/** The coordinator as the command line calls it. */

import type { Manifest } from '../shared/manifest/schema.ts';
import { createClient } from '../shared/rpc/channel.ts';
import type { Job__Output } from '../shared/rpc/generated/secateur/v1/Job.ts';
import type { JobRequest } from '../shared/rpc/generated/secateur/v1/JobRequest.ts';
import type { ListResponse__Output } from '../shared/rpc/generated/secateur/v1/ListResponse.ts';
import type { LogsRequest } from '../shared/rpc/generated/secateur/v1/LogsRequest.ts';
import type { LogsResponse__Output } from '../shared/rpc/generated/secateur/v1/LogsResponse.ts';
import type { SubmitRequest } from '../shared/rpc/generated/secateur/v1/SubmitRequest.ts';
import type { WatchRequest } from '../shared/rpc/generated/secateur/v1/WatchRequest.ts';
import type { WatchResponse__Output } from '../shared/rpc/generated/secateur/v1/WatchResponse.ts';
import type { WorkerStatus__Output } from '../shared/rpc/generated/secateur/v1/WorkerStatus.ts';
import { SERVICES } from '../shared/rpc/load-protos.ts';
import { serverStream } from '../shared/rpc/server-stream.ts';
import { unary } from '../shared/rpc/unary.ts';
import { type CoordinatorOptions, DEFAULT_COORDINATOR } from './options.ts';

const CALL_TIMEOUT_MS = 15_000;
/** A plan opens every shard of a checkpoint, perhaps over a slow file system. */
const PLAN_TIMEOUT_MS = 120_000;

export class Connection implements Disposable {
  readonly address: string;
  private readonly client: ReturnType<typeof createClient<'Jobs'>>;

  constructor(address: string) {
    this.address = address;
    this.client = createClient(address, 'Jobs');
  }

  /** @param options of a job that takes work over from an earlier one, or gives its own to later ones */
  submit(
    manifest: Manifest,
    options: Pick<SubmitRequest, 'reuse' | 'reusable' | 'keepHessians'> = {},
  ): Promise<Job__Output> {
    return unary(
      this.client,
      SERVICES.Jobs.service.Submit,
      { manifestJson: JSON.stringify(manifest), ...options },
      { timeoutMs: CALL_TIMEOUT_MS },
    );
  }

  async plan(manifest: Manifest): Promise<string> {
    const request = { manifestJson: JSON.stringify(manifest) };
    return (await unary(this.client, SERVICES.Jobs.service.Plan, request, { timeoutMs: PLAN_TIMEOUT_MS })).planJson;
  }

  get(request: JobRequest): Promise<Job__Output> {
    return unary(this.client, SERVICES.Jobs.service.Get, request, { timeoutMs: CALL_TIMEOUT_MS });
  }

  /** The newest jobs, without manifest and plan. */
  list(namespace: string): Promise<ListResponse__Output> {
    return unary(this.client, SERVICES.Jobs.service.List, { namespace }, { timeoutMs: CALL_TIMEOUT_MS });
  }

  cancel(request: JobRequest): Promise<Job__Output> {
    return unary(this.client, SERVICES.Jobs.service.Cancel, request, { timeoutMs: CALL_TIMEOUT_MS });
  }

  resume(request: JobRequest): Promise<Job__Output> {
    return unary(this.client, SERVICES.Jobs.service.Resume, request, { timeoutMs: CALL_TIMEOUT_MS });
  }

  async workers(timeoutMs = CALL_TIMEOUT_MS): Promise<WorkerStatus__Output[]> {
    return (await unary(this.client, SERVICES.Jobs.service.ListWorkers, {}, { timeoutMs })).workers;
  }

  watch(request: WatchRequest, signal?: AbortSignal): AsyncGenerator<WatchResponse__Output> {
    return serverStream(this.client, SERVICES.Jobs.service.Watch, request, endless(signal));
  }

  logs(request: LogsRequest, signal?: AbortSignal): AsyncGenerator<LogsResponse__Output> {
    return serverStream(this.client, SERVICES.Jobs.service.Logs, request, endless(signal));
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}

export function connect(options: CoordinatorOptions): Connection {
  return new Connection(options.coordinator ?? DEFAULT_COORDINATOR);
}

/** Streams last as long as a job; keepalive notices a coordinator that is gone. */
function endless(signal: AbortSignal | undefined): { timeoutMs: null; signal?: AbortSignal } {
  return signal === undefined ? { timeoutMs: null } : { timeoutMs: null, signal };
}
