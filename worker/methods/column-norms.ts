/** Norms of a linear's input columns, ‖x‖₂ up to a factor that all share, as the Wanda reference has them. */
import { invariant, SecateurError } from '../../shared/errors/secateur-error.ts';
import type { LinearStatistic } from './method.ts';

/** [I], finite and not negative. Throws NonFiniteValue naming linear and column. */
export function columnNorms({ linear, inputNormSquared, samples }: LinearStatistic): Float32Array {
  invariant(Number.isInteger(samples) && samples > 0, `${linear}: a statistic comes from one sample or more`);
  // The reference divides by sequences, not tokens, and holds the quotient in float32.
  return columnNormsFromScaler(
    Float32Array.from(inputNormSquared, (sum) => sum / samples),
    linear,
  );
}

/**
 * scaler: [I] float32, the reference's `scaler_row`: Σ x² / number of sequences. Norms [I] float32, its square root.
 * (A float64 root rounded to float32 is the float32 root, bit for bit.) Throws NonFiniteValue.
 */
export function columnNormsFromScaler(scaler: Float32Array, linear: string): Float32Array {
  const column = scaler.findIndex((value) => !(value >= 0 && value < Infinity));
  if (column >= 0) {
    throw new SecateurError(
      'NonFiniteValue',
      `${linear}: expected the calibration statistic of every input column to be finite and not negative; found ` +
        `${scaler[column]} in column ${column}. An activation before this linear overflowed or was not a number: look at ` +
        'the weights of the layers before it, or calibrate on other text.',
      { details: { linear, column, value: String(scaler[column]) } },
    );
  }
  return scaler.map(Math.sqrt);
}
