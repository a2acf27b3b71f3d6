/**
 * Counts a matrix's zeros as its bytes pass by, and checks each row, each group, or the whole against what was asked of it.
 *
 * Weights [O, I] row-major; elements of a call follow those of the call before, cut anywhere. A zero is +0 or -0.
 * Invariant: `column` is the place of the next element in its row; a row is judged once, when its last element came.
 */
import type { RecordedChoice } from './provenance-file.ts';

/** BF16 and F16 as their bits, F32 as its bits. */
export type StoredBits = Uint16Array | Uint32Array;

export interface RowFinding {
  readonly row: number;
  readonly found: number;
}

export interface RowReport {
  readonly zeros: number;
  /** Shares of zeros in a row. */
  readonly minRowSparsity: number;
  readonly meanRowSparsity: number;
  readonly maxRowSparsity: number;
  /** What is wrong, as sentences; empty where the sparsity is proven. */
  readonly deviations: readonly string[];
}

/** Of so many weights, how many are zero at least: Python's int(weights * sparsity), as in the reference. */
export function zerosMin(weights: number, sparsity: number): number {
  return Math.floor(weights * sparsity);
}

export class RowCheck {
  private readonly columns: number;
  private readonly choice: RecordedChoice;
  private readonly rowZerosMin: number;
  /** Elements that are judged together: a group, or a whole row. */
  private readonly unit: number;
  private column = 0;
  private row = 0;
  private rowZeros = 0;
  private unitZeros = 0;
  private zeros = 0;
  private minZeros = Number.POSITIVE_INFINITY;
  private maxZeros = 0;
  private poorRows = 0;
  private firstPoorRow: RowFinding | null = null;
  private fullGroups = 0;
  private firstFullGroup: (RowFinding & { readonly column: number }) | null = null;

  constructor(columns: number, choice: RecordedChoice) {
    this.columns = columns;
    this.choice = choice;
    const isPerRow = choice.kind === 'unstructured' && choice.scope === undefined;
    this.rowZerosMin = isPerRow ? zerosMin(columns, choice.sparsity) : 0;
    this.unit = choice.kind === 'pattern' && columns % choice.group === 0 ? choice.group : columns;
  }

  take(stored: StoredBits): void {
    let at = 0;
    while (at < stored.length) {
      const end = Math.min(stored.length, at + this.unit - (this.column % this.unit));
      this.unitZeros += countZeros(stored, at, end);
      this.column += end - at;
      if (this.column % this.unit === 0) this.endUnit();
      if (this.column === this.columns) this.endRow();
      at = end;
    }
  }

  finish(): RowReport {
    const rows = Math.max(1, this.row);
    const width = Math.max(1, this.columns);
    return {
      zeros: this.zeros,
      minRowSparsity: (this.row === 0 ? 0 : this.minZeros) / width,
      meanRowSparsity: this.zeros / rows / width,
      maxRowSparsity: this.maxZeros / width,
      deviations: this.deviations(),
    };
  }

  private endUnit(): void {
    this.rowZeros += this.unitZeros;
    if (this.choice.kind === 'pattern') {
      const kept = this.unit - this.unitZeros;
      if (kept > this.choice.keep) {
        this.fullGroups += 1;
        this.firstFullGroup ??= { row: this.row, column: this.column - this.unit, found: kept };
      }
    }
    this.unitZeros = 0;
  }

  private endRow(): void {
    if (this.rowZeros < this.rowZerosMin) {
      this.poorRows += 1;
      this.firstPoorRow ??= { row: this.row, found: this.rowZeros };
    }
    this.zeros += this.rowZeros;
    this.minZeros = Math.min(this.minZeros, this.rowZeros);
    this.maxZeros = Math.max(this.maxZeros, this.rowZeros);
    this.rowZeros = 0;
    this.column = 0;
    this.row += 1;
  }

  private deviations(): string[] {
    const { choice, firstPoorRow, firstFullGroup } = this;
    const deviations: string[] = [];
    if (choice.kind === 'pattern' && this.columns % choice.group !== 0) {
      deviations.push(`expected columns in groups of ${choice.group}; it has ${this.columns}`);
    } else if (choice.kind === 'pattern' && firstFullGroup !== null) {
      const { row, column, found } = firstFullGroup;
      deviations.push(
        `row ${row}, columns ${column}-${column + choice.group - 1}: expected at most ${choice.keep} non-zeros, found ${found}${others(this.fullGroups, 'group')}`,
      );
    }
    if (firstPoorRow !== null) {
      const { row, found } = firstPoorRow;
      deviations.push(
        `row ${row}: expected at least ${this.rowZerosMin} zeros of ${this.columns}, found ${found}${others(this.poorRows, 'row')}`,
      );
    }
    if (choice.kind === 'unstructured' && choice.scope === 'matrix') {
      const weights = this.row * this.columns;
      const least = zerosMin(weights, choice.sparsity);
      if (this.zeros < least) deviations.push(`expected at least ${least} zeros of ${weights}, found ${this.zeros}`);
    }
    return deviations;
  }
}

/** Shifting the sign out makes both zeros 0. */
function countZeros(stored: StoredBits, begin: number, end: number): number {
  let zeros = 0;
  const shift = stored.BYTES_PER_ELEMENT === 2 ? 17 : 1;
  for (let index = begin; index < end; index++) {
    if ((stored[index] as number) << shift === 0) zeros += 1;
  }
  return zeros;
}

function others(count: number, what: string): string {
  if (count === 1) return '';
  return count === 2 ? ` (and 1 more ${what})` : ` (and ${count - 1} more ${what}s)`;
}
