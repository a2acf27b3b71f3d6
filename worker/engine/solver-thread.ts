/** One thread of the solver's pool: runs its part of what the pool asks of a team. */
import { parentPort, workerData } from 'node:worker_threads';
import { invariant, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { SparseGptKernel } from '../kernels/sparsegpt-kernel.ts';
import { sweepPart } from '../methods/sparsegpt/column-sweep.ts';
import { invertCholesky } from '../methods/sparsegpt/invert-cholesky.ts';
import { countedProduct } from './counted-product.ts';
import { EngineMatrixProduct } from './matrix-product.ts';
import { abandonTeam, addWork, SharedTeam, TeamAbandoned, WORK_UNIT } from './shared-team.ts';
import type { FromSolverThread, SolverRequest, SolverThreadData, ToSolverThread } from './solver-messages.ts';

class SolverThread {
  private readonly product = new EngineMatrixProduct(1);
  private readonly kernel: SparseGptKernel;

  constructor({ module }: SolverThreadData) {
    this.kernel = new SparseGptKernel(module);
  }

  async answer(request: SolverRequest): Promise<FromSolverThread> {
    try {
      return await this.run(request);
    } catch (thrown) {
      abandonTeam(request.team);
      if (thrown instanceof TeamAbandoned) return { type: 'abandoned' };
      const { code, message, retryable, details, stack = message } = toSecateurError(thrown);
      return { type: 'failed', code, message, retryable, details, stack };
    }
  }

  private async run(request: SolverRequest): Promise<FromSolverThread> {
    const { kernel } = this;
    let operations = 0;
    const product = countedProduct(this.product, (more) => {
      operations += more;
      addWork(request.team, Math.floor(operations / WORK_UNIT));
      operations %= WORK_UNIT;
    });
    const team = new SharedTeam(request.team, request.index);
    if (request.type === 'invert') {
      const { matrix, sizes } = request;
      return { type: 'inverted', failedColumn: await invertCholesky(matrix, product, team, sizes) };
    }
    return { type: 'swept', outcome: await sweepPart(request.task, request.rows, { product, kernel, team }) };
  }

  release(): Promise<void> {
    return this.product.release();
  }
}

function main(): void {
  invariant(parentPort !== null, 'the pool starts this file');
  const port = parentPort;
  const thread = new SolverThread(workerData as SolverThreadData);
  const send = (message: FromSolverThread) => port.postMessage(message);
  port.on('message', async (message: ToSolverThread) => {
    if (message.type !== 'close') return send(await thread.answer(message));
    await thread.release();
    port.close();
  });
  send({ type: 'ready' });
}

main();
