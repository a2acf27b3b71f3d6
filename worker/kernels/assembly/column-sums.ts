/** Sums of |w| over the rows, in float64, row after row. */
import { firstNonFinite } from './inspect';
import { Job, NON_FINITE } from './job';
import { Row } from './saliency';

/** Adds one row to job.columnTotals; 0 or NON_FINITE. */
export function addRow(job: Job, row: usize): i32 {
  const columns = job.columns;
  const dtype = job.dtype;
  job.badColumn = firstNonFinite(dtype, row, columns);
  if (job.badColumn >= 0) return NON_FINITE;
  const totals = job.columnTotals;
  const vectorized = columns & ~3;
  let column = 0;
  for (; column < vectorized; column += 4) {
    const at = totals + ((<usize>column) << 3);
    const weights = Row.four(dtype, row, column);
    v128.store(at, f64x2.add(v128.load(at), f64x2.promote_low_f32x4(weights)));
    const upper = f64x2.promote_low_f32x4(v128.shuffle<u32>(weights, weights, 2, 3, 2, 3));
    v128.store(at, f64x2.add(v128.load(at, 16), upper), 16);
  }
  for (; column < columns; ++column) {
    const at = totals + ((<usize>column) << 3);
    store<f64>(at, load<f64>(at) + <f64>Row.one(dtype, row, column));
  }
  return 0;
}
