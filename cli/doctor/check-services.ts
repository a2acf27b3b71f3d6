/** What a job talks to over the network: NATS, a coordinator. */
import { connect as connectNats } from '@nats-io/transport-node';
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import { Connection } from '../connection.ts';
import { type Finding, fail, ok } from './finding.ts';

const TIMEOUT_MS = 5_000;

export async function checkNats(server: string): Promise<Finding> {
  try {
    const connection = await connectNats({ servers: server, timeout: TIMEOUT_MS, reconnect: false });
    const version = connection.info?.version ?? 'unknown';
    const hasJetStream = connection.info?.jetstream === true;
    await connection.close();
    if (hasJetStream) return ok('nats', `${server}: version ${version}, JetStream`);
    return fail('nats', `${server}: version ${version}, without JetStream`, 'start the server with JetStream (-js)');
  } catch (thrown) {
    return fail('nats', `${server}: ${(thrown as Error).message}`, 'check the address and that the server runs');
  }
}

export async function checkCoordinator(address: string): Promise<Finding> {
  using connection = new Connection(address);
  try {
    const workers = await connection.workers(TIMEOUT_MS);
    const attached = workers.filter((worker) => worker.attached).length;
    return ok('coordinator', `${address}: ${attached} of ${workers.length} known workers attached`);
  } catch (thrown) {
    return fail(
      'coordinator',
      toSecateurError(thrown).message,
      'start one with "secateur coordinator", or check the address',
    );
  }
}
