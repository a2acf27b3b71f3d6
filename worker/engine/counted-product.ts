/** Products that say how much they did: whoever waits for a solver knows by that how far it is. */
import type { MatrixProduct } from '../methods/sparsegpt/matrix-product.ts';

/** @param count takes the multiplications and additions of each product that is done */
export function countedProduct(product: MatrixProduct, count: (operations: number) => void): MatrixProduct {
  return {
    accumulate: async (call) => {
      await product.accumulate(call);
      const { left, transposed, out } = call;
      count(2 * out.rows * out.columns * (transposed === 'left' ? left.rows : left.columns));
    },
  };
}
