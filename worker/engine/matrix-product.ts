/**
 * Products of dense matrices through ONNX Runtime's Gemm on the CPU, for the methods that solve equations. Operands and
 * the result stay where they are: the runtime reads and writes the arrays that it is given.
 *
 * One session for each kind of product, made when it is first asked for: a session costs about a millisecond and holds
 * no weights.
 */
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { invariant, SecateurError } from '../../shared/errors/secateur-error.ts';
import { DATA_TYPE_OF, float, GraphBuilder, int } from '../../shared/onnx/graph.ts';
import type { DenseMatrix, MatrixProduct, ProductCall } from '../methods/sparsegpt/matrix-product.ts';
import { createSession } from './session.ts';

export class EngineMatrixProduct implements MatrixProduct {
  private readonly threads: number;
  private readonly sessions = new Map<string, Promise<InferenceSession>>();

  constructor(threads: number) {
    invariant(Number.isInteger(threads) && threads >= 1, 'products run on one thread or more');
    this.threads = threads;
  }

  async accumulate(call: ProductCall): Promise<void> {
    const { left, right, out } = call;
    checkShapes(call);
    const session = await this.sessionOf(call);
    const result = tensorOf(out);
    try {
      // The bias is the result's own memory: Gemm copies the one to the other, here onto itself, then adds to it.
      await session.run({ left: tensorOf(left), right: tensorOf(right), bias: result }, { out: result });
    } catch (cause) {
      const shapes = [left, right, out].map(({ rows, columns }) => `[${rows}, ${columns}]`).join(', ');
      throw new SecateurError(
        'EngineFailed',
        `ONNX Runtime on cpu could not multiply matrices ${shapes}: ${cause instanceof Error ? cause.message : cause}`,
        { cause },
      );
    }
  }

  /** Gives the sessions back; later calls make new ones. */
  async release(): Promise<void> {
    const sessions = await Promise.all(this.sessions.values());
    this.sessions.clear();
    await Promise.all(sessions.map((session) => session.release()));
  }

  private sessionOf({ transposed, effect }: ProductCall): Promise<InferenceSession> {
    const kind = `${transposed} ${effect}`;
    let session = this.sessions.get(kind);
    if (session === undefined) {
      const settings = { provider: 'cpu', deviceId: 0, threads: this.threads, foldCasts: true } as const;
      session = createSession(buildProduct(transposed, effect), settings);
      this.sessions.set(kind, session);
    }
    return session;
  }
}

function buildProduct(transposed: ProductCall['transposed'], effect: ProductCall['effect']): Uint8Array {
  const graph = new GraphBuilder('product');
  const inputs = [
    graph.input('left', DATA_TYPE_OF.F32, ['leftRows', 'leftColumns']),
    graph.input('right', DATA_TYPE_OF.F32, ['rightRows', 'rightColumns']),
    graph.input('bias', DATA_TYPE_OF.F32, ['rows', 'columns']),
  ];
  const attributes = {
    alpha: float(effect === 'add' ? 1 : -1),
    beta: float(1),
    transA: int(transposed === 'left' ? 1 : 0),
    transB: int(transposed === 'right' ? 1 : 0),
  };
  graph.operator('Gemm', inputs, { attributes, output: 'out' });
  graph.output('out', DATA_TYPE_OF.F32, ['rows', 'columns']);
  return graph.encode();
}

function checkShapes({ left, right, transposed, out }: ProductCall): void {
  const [rows, depth] = transposed === 'left' ? [left.columns, left.rows] : [left.rows, left.columns];
  const [sameDepth, columns] = transposed === 'right' ? [right.columns, right.rows] : [right.rows, right.columns];
  invariant(depth === sameDepth && rows === out.rows && columns === out.columns, 'shapes of a product agree');
}

function tensorOf({ values, rows, columns }: DenseMatrix): Tensor {
  return new Tensor('float32', values, [rows, columns]);
}
