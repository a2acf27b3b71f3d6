/**
 * Follows a job's log to the job's end, also over restarts of the coordinator: each new stream begins with the whole
 * log, and of that only what was not heard before is given on.
 */
import type { LogsRequest } from '../shared/rpc/generated/secateur/v1/LogsRequest.ts';
import type { LogsResponse__Output } from '../shared/rpc/generated/secateur/v1/LogsResponse.ts';
import type { Connection } from './connection.ts';
import { hasEnded } from './follow-job.ts';
import { type OutageListener, Patience } from './patience.ts';

export async function* followLogs(
  connection: Pick<Connection, 'logs' | 'get'>,
  request: Required<Pick<LogsRequest, 'job' | 'namespace' | 'worker'>>,
  outages: OutageListener,
): AsyncGenerator<LogsResponse__Output> {
  const patience = new Patience(outages);
  const heard = new HeardLines();
  for (;;) {
    try {
      heard.beginStream();
      for await (const line of connection.logs({ ...request, follow: true })) {
        patience.heard();
        if (heard.isNew(line)) yield line;
      }
      // Asked after the stream: one that ends because the job has leaves nothing out.
      if (hasEnded(await connection.get(request))) return;
      patience.heard();
      await patience.pause();
    } catch (thrown) {
      await patience.bear(thrown);
    }
  }
}

/** How far each worker's lines were heard: by their time, and among those of the newest time by what they say. */
class HeardLines {
  private readonly newest = new Map<string, { atMs: number; texts: Set<string> }>();
  private before: ReadonlyMap<string, { readonly atMs: number; readonly texts: ReadonlySet<string> }> = new Map();

  beginStream(): void {
    this.before = new Map(
      [...this.newest].map(([worker, { atMs, texts }]) => [worker, { atMs, texts: new Set(texts) }]),
    );
  }

  isNew(line: LogsResponse__Output): boolean {
    const { worker, atMs } = line;
    const text = JSON.stringify(line);
    const before = this.before.get(worker);
    if (before !== undefined && (atMs < before.atMs || (atMs === before.atMs && before.texts.has(text)))) return false;
    const newest = this.newest.get(worker);
    if (newest?.atMs === atMs) newest.texts.add(text);
    else if (newest === undefined || newest.atMs < atMs) this.newest.set(worker, { atMs, texts: new Set([text]) });
    return true;
  }
}
