/** A small pruned checkpoint beside its source, made by hand, and the record that goes with it. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeSafetensorsFile } from '../../../shared/safetensors/write-file.ts';

const ROWS = 4;
const COLUMNS = 8;
export const UNSTRUCTURED = 'model.layers.0.mlp.down_proj.weight';
export const PATTERN = 'model.layers.0.mlp.up_proj.weight';
export const NORM = 'model.norm.weight';
const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
export const INDEX = 'model.safetensors.index.json';

export class PrunedCheckpoint implements Disposable {
  private readonly folder = mkdtempSync(join(tmpdir(), 'secateur-verify-'));
  readonly source = join(this.folder, 'source');
  readonly output = join(this.folder, 'output');

  /** Half of every row pruned in one linear, 2:4 in the other, a norm carried over. Two shards. */
  static async make(): Promise<PrunedCheckpoint> {
    const made = new PrunedCheckpoint();
    for (const folder of [made.source, made.output]) {
      mkdirSync(folder);
      writeFileSync(join(folder, 'config.json'), '{"architectures":["LlamaForCausalLM"]}\n');
    }
    const weights = Uint16Array.from({ length: ROWS * COLUMNS }, (_, index) => 0x3f80 + index);
    const norm = Float32Array.of(1, 2, 3, 4);
    await made.writeShards(made.source, weights, weights, norm);
    const half = weights.map((bits, index) => (index % COLUMNS < COLUMNS / 2 ? 0 : bits));
    const twoOfFour = weights.map((bits, index) => (index % 4 < 2 ? 0x8000 : bits));
    await made.writeShards(made.output, half, twoOfFour, norm);
    made.record();
    return made;
  }

  private async writeShards(folder: string, down: Uint16Array, up: Uint16Array, norm: Float32Array): Promise<void> {
    const shape = [ROWS, COLUMNS];
    const bytes = (data: Uint16Array | Float32Array): Uint8Array => new Uint8Array(data.buffer);
    await writeSafetensorsFile(join(folder, SHARDS[0]), [
      { name: UNSTRUCTURED, dtype: 'BF16', shape, data: bytes(down) },
      { name: PATTERN, dtype: 'BF16', shape, data: bytes(up) },
    ]);
    await writeSafetensorsFile(join(folder, SHARDS[1]), [{ name: NORM, dtype: 'F32', shape: [4], data: bytes(norm) }]);
    const weightMap = { [UNSTRUCTURED]: SHARDS[0], [PATTERN]: SHARDS[0], [NORM]: SHARDS[1] };
    const totalSize = 2 * 2 * ROWS * COLUMNS + 16;
    writeFileSync(join(folder, INDEX), JSON.stringify({ metadata: { total_size: totalSize }, weight_map: weightMap }));
  }

  /** Writes secateur.json for the files as they are now: what a deviation is not to be masked by. */
  record(): void {
    const outputs = readdirSync(this.output)
      .filter((file) => file !== 'secateur.json')
      .map((file) => this.digest(file));
    const zeros = (ROWS * COLUMNS) / 2;
    const tensor = { elements: ROWS * COLUMNS, zeros };
    const provenance = {
      format: 'secateur.provenance/v1',
      job: { id: 'job-1' },
      inputs: { files: [this.digest('config.json')] },
      outputs,
      totals: { prunedTensors: 2, weights: 2 * ROWS * COLUMNS, zeros: 2 * zeros, sparsity: 0.5 },
      layers: [
        {
          layer: 0,
          tensors: {
            [UNSTRUCTURED]: { ...tensor, choice: { kind: 'unstructured', sparsity: 0.5 } },
            [PATTERN]: { ...tensor, choice: { kind: 'pattern', keep: 2, group: 4 } },
          },
        },
      ],
      times: { elapsedMs: 1 },
    };
    writeFileSync(this.path('secateur.json'), JSON.stringify(provenance));
  }

  path(file: string): string {
    return join(this.output, file);
  }

  shard(index: 0 | 1): string {
    return this.path(SHARDS[index]);
  }

  /** Sets one 16-bit weight of the first shard, which holds both matrices one after the other. */
  setWeight(tensor: typeof UNSTRUCTURED | typeof PATTERN, row: number, column: number, bits: number): void {
    const bytes = readFileSync(this.shard(0));
    const begin = 8 + Number(bytes.readBigUInt64LE(0)) + (tensor === PATTERN ? 2 * ROWS * COLUMNS : 0);
    bytes.writeUInt16LE(bits, begin + 2 * (row * COLUMNS + column));
    writeFileSync(this.shard(0), bytes);
  }

  private digest(file: string): { file: string; sizeBytes: number; sha256: string } {
    const bytes = readFileSync(this.path(file));
    return { file, sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
