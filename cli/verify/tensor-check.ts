/** Everything that is checked of one tensor while its bytes pass by. */
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import type { RecordedTensor } from './provenance-file.ts';
import { RowCheck, type RowReport, type StoredBits } from './row-check.ts';
import type { TensorScan } from './scan-shard.ts';
import { SourceCheck } from './source-check.ts';

export class TensorCheck implements TensorScan {
  readonly name: string;
  readonly elements: number;
  readonly source: TensorLocation | null;
  private readonly tensor: TensorLocation;
  private readonly record: RecordedTensor | null;
  private readonly misfit: string | null;
  private readonly rowCheck: RowCheck | null;
  private readonly sourceCheck: SourceCheck | null;
  private report: RowReport | null = null;

  /**
   * @param record what `secateur.json` says where the tensor was pruned ([O, I] of a float dtype), else null
   * @param source where the source holds it; null: it is not compared
   */
  constructor(tensor: TensorLocation, record: RecordedTensor | null, source: TensorLocation | null) {
    this.name = tensor.name;
    this.tensor = tensor;
    this.record = record;
    this.elements = tensor.shape.reduce((product, size) => product * size, 1);
    this.misfit = source === null ? null : describeMisfit(tensor, source);
    this.source = this.misfit === null ? source : null;
    this.rowCheck = record === null ? null : new RowCheck(this.columns, record.choice);
    this.sourceCheck = this.source === null || record?.updated ? null : new SourceCheck(record !== null);
  }

  get isPruned(): boolean {
    return this.record !== null;
  }

  take(output: Uint8Array, source: Uint8Array | null): void {
    if (this.record === null) {
      if (source !== null) this.sourceCheck?.take(output, source);
      return;
    }
    const stored = this.bitsOf(output);
    this.rowCheck?.take(stored);
    if (source !== null) this.sourceCheck?.take(stored, this.bitsOf(source));
  }

  /** Of a pruned tensor, once all its bytes have passed. */
  rows(): RowReport {
    this.report ??= (this.rowCheck as RowCheck).finish();
    return this.report;
  }

  deviations(): string[] {
    const found = [
      ...(this.misfit === null ? [] : [this.misfit]),
      ...(this.sourceCheck?.deviations(this.columns) ?? []),
    ];
    if (this.record !== null) {
      const { elements, zeros } = this.record;
      if (elements !== this.elements) found.push(`expected ${elements} weights, found ${this.elements}`);
      if (zeros !== this.rows().zeros) found.push(`expected ${zeros} zeros, found ${this.rows().zeros}`);
      found.push(...this.rows().deviations);
    }
    return found.map((what) => `${this.name}: ${what}`);
  }

  private get columns(): number {
    return this.tensor.shape.at(-1) ?? 1;
  }

  /** Views begin at a multiple of the element's size: pieces are cut so. */
  private bitsOf(bytes: Uint8Array): StoredBits {
    const { buffer, byteOffset, byteLength } = bytes;
    return this.tensor.dtype === 'F32'
      ? new Uint32Array(buffer, byteOffset, byteLength / 4)
      : new Uint16Array(buffer, byteOffset, byteLength / 2);
  }
}

function describeMisfit(tensor: TensorLocation, source: TensorLocation): string | null {
  const [here, there] = [tensor, source].map(({ dtype, shape }) => `${dtype} [${shape.join(', ')}]`);
  return here === there ? null : `it is ${here}, in the source ${there}`;
}
