/**
 * Compares a tensor with the source's as the bytes of both pass by.
 * What was not pruned must be the same bytes; what was pruned may differ only where it is zero now.
 */
import type { StoredBits } from './row-check.ts';

export class SourceCheck {
  private readonly isPruned: boolean;
  private element = 0;
  private differing = 0;
  private first: number | null = null;

  constructor(isPruned: boolean) {
    this.isPruned = isPruned;
  }

  /** Elements of a pruned tensor, or bytes of any other; both sides of one length. */
  take(output: StoredBits | Uint8Array, source: StoredBits | Uint8Array): void {
    if (!this.isPruned && Buffer.compare(bytesOf(output), bytesOf(source)) === 0) {
      this.element += output.length;
      return;
    }
    const shift = output.BYTES_PER_ELEMENT === 2 ? 17 : 1;
    for (let index = 0; index < output.length; index++) {
      const value = output[index] as number;
      if (value === source[index] || (this.isPruned && value << shift === 0)) continue;
      this.differing += 1;
      this.first ??= this.element + index;
    }
    this.element += output.length;
  }

  /** @param columns of a pruned matrix, to say where */
  deviations(columns: number): string[] {
    if (this.first === null) return [];
    if (!this.isPruned) {
      return [`not pruned, but ${this.differing} of its bytes differ from the source, the first at byte ${this.first}`];
    }
    const place = `row ${Math.floor(this.first / columns)}, column ${this.first % columns}`;
    return [`${this.differing} weights are neither zero nor the source's, the first at ${place}`];
  }
}

function bytesOf(data: StoredBits | Uint8Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
