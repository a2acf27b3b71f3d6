/** `verify` on checkpoints made by hand: a good one, and one with each kind of damage. */
import { appendFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyCheckpoint } from '../../../cli/verify/verify-checkpoint.ts';
import { INDEX, NORM, PATTERN, PrunedCheckpoint, UNSTRUCTURED } from './pruned-checkpoint.ts';

const SOME_WEIGHT = 0x3f80;

describe('verify a whole checkpoint', () => {
  it('accepts a good one, with its source and without, and says what it counted', async () => {
    using made = await PrunedCheckpoint.make();
    const report = await verifyCheckpoint(made.output, made.source);
    expect(report.deviations).toEqual([]);
    expect(report).toMatchObject({ ok: true, job: 'job-1', tensors: 3, prunedTensors: 2, weights: 64, zeros: 32 });
    expect(report.linears.map(({ linear, minRowSparsity }) => [linear, minRowSparsity])).toEqual([
      ['mlp.down_proj', 0.5],
      ['mlp.up_proj', 0.5],
    ]);
    expect((await verifyCheckpoint(made.output, null)).ok).toBe(true);
  });
});

describe('verify finds', () => {
  it('one bit that flipped in a weight that was kept', async () => {
    using made = await PrunedCheckpoint.make();
    made.setWeight(UNSTRUCTURED, 2, 7, 0x3fff);
    const report = await verifyCheckpoint(made.output, null);
    expect(report.ok).toBe(false);
    expect(report.deviations).toEqual([
      expect.stringMatching(/^model-00001-of-00002\.safetensors: expected SHA-256 [0-9a-f]{64}, found [0-9a-f]{64}$/),
    ]);
  });

  it('the same bit by the source, though the record was made to fit', async () => {
    using made = await PrunedCheckpoint.make();
    made.setWeight(UNSTRUCTURED, 2, 7, 0x3fff);
    made.record();
    expect((await verifyCheckpoint(made.output, null)).ok).toBe(true);
    expect((await verifyCheckpoint(made.output, made.source)).deviations).toEqual([
      `${UNSTRUCTURED}: 1 weights are neither zero nor the source's, the first at row 2, column 7`,
    ]);
  });

  it('one zero too few in a row, though the total fits', async () => {
    using made = await PrunedCheckpoint.make();
    made.setWeight(UNSTRUCTURED, 1, 0, SOME_WEIGHT);
    made.setWeight(UNSTRUCTURED, 2, 7, 0);
    made.record();
    expect((await verifyCheckpoint(made.output, null)).deviations).toEqual([
      `${UNSTRUCTURED}: row 1: expected at least 4 zeros of 8, found 3`,
    ]);
  });

  it('a group with a non-zero too many, though its row has enough zeros', async () => {
    using made = await PrunedCheckpoint.make();
    made.setWeight(PATTERN, 3, 4, SOME_WEIGHT);
    made.setWeight(PATTERN, 3, 3, 0);
    made.record();
    expect((await verifyCheckpoint(made.output, null)).deviations).toEqual([
      `${PATTERN}: row 3, columns 4-7: expected at most 2 non-zeros, found 3`,
    ]);
  });

  it('more zeros than recorded', async () => {
    using made = await PrunedCheckpoint.make();
    made.setWeight(UNSTRUCTURED, 0, 7, 0x8000);
    made.record();
    expect((await verifyCheckpoint(made.output, null)).deviations).toEqual([
      `${UNSTRUCTURED}: expected 16 zeros, found 17`,
      'expected 32 zeros in all pruned tensors, found 33',
    ]);
  });

  it('a tensor that was not pruned and is not the source’s', async () => {
    using made = await PrunedCheckpoint.make();
    const bytes = readFileSync(made.shard(1));
    bytes.writeFloatLE(9, bytes.length - 4);
    writeFileSync(made.shard(1), bytes);
    made.record();
    expect((await verifyCheckpoint(made.output, made.source)).deviations).toEqual([
      expect.stringContaining(`${NORM}: not pruned, but`),
    ]);
  });

  it('an extra file', async () => {
    using made = await PrunedCheckpoint.make();
    writeFileSync(made.path('pytorch_model.bin'), 'x');
    expect((await verifyCheckpoint(made.output, null)).deviations).toEqual(['pytorch_model.bin: not in secateur.json']);
  });

  it('a missing shard, and every tensor that went with it', async () => {
    using made = await PrunedCheckpoint.make();
    rmSync(made.shard(0));
    const { deviations } = await verifyCheckpoint(made.output, null);
    expect(deviations).toContain('model-00001-of-00002.safetensors: missing (ENOENT)');
    expect(deviations).toContain(`${UNSTRUCTURED}: recorded as pruned, but in no shard`);
    expect(deviations).toContain(`${INDEX}: ${PATTERN} is not in model-00001-of-00002.safetensors`);
  });

  it('a file that is shorter, and one of another content', async () => {
    using made = await PrunedCheckpoint.make();
    truncateSync(made.shard(1), 20);
    writeFileSync(made.path('config.json'), '{"architectures":["LlamaForCausalLN"]}\n');
    const { deviations } = await verifyCheckpoint(made.output, null);
    expect(deviations[0]).toMatch(/^model-00002-of-00002\.safetensors: expected \d+ bytes, found 20$/);
    expect(deviations).toContainEqual(expect.stringMatching(/^config\.json: expected SHA-256/));
  });

  it('an index that names the wrong shard', async () => {
    using made = await PrunedCheckpoint.make();
    const index = JSON.parse(readFileSync(made.path(INDEX), 'utf8'));
    index.weight_map[NORM] = index.weight_map[PATTERN];
    index.metadata.total_size += 1;
    writeFileSync(made.path(INDEX), JSON.stringify(index));
    made.record();
    expect((await verifyCheckpoint(made.output, null)).deviations).toEqual([
      `${INDEX}: ${NORM} is not in model-00001-of-00002.safetensors`,
      `${INDEX}: total_size is 145, the tensors have 144 bytes`,
    ]);
  });
});

describe('verify finds in the index', () => {
  it('a tensor that it leaves out, and an index that is no JSON', async () => {
    using made = await PrunedCheckpoint.make();
    const index = JSON.parse(readFileSync(made.path(INDEX), 'utf8'));
    delete index.weight_map[NORM];
    writeFileSync(made.path(INDEX), JSON.stringify(index));
    made.record();
    expect((await verifyCheckpoint(made.output, null)).deviations).toEqual([
      `${INDEX}: ${NORM} is in a shard but not in weight_map`,
    ]);
    writeFileSync(made.path(INDEX), '{');
    made.record();
    expect((await verifyCheckpoint(made.output, null)).deviations).toEqual([
      `${INDEX}: expected JSON with a weight_map of tensor names to file names`,
    ]);
  });
});

describe('verify refuses', () => {
  it('a checkpoint that is still being written, and names its job', async () => {
    using made = await PrunedCheckpoint.make();
    mkdirSync(made.path('.secateur'));
    writeFileSync(join(made.output, '.secateur', 'job.json'), '{"job":"job-7"}');
    await expect(verifyCheckpoint(made.output, null)).rejects.toMatchObject({
      code: 'VerificationFailed',
      message: expect.stringMatching(/of job job-7.*"secateur resume JOB" \(begun with submit\)/),
    });
  });

  it('a directory without a record, one with a broken one, and one that is not there', async () => {
    using made = await PrunedCheckpoint.make();
    appendFileSync(made.path('secateur.json'), '}');
    await expect(verifyCheckpoint(made.output, null)).rejects.toMatchObject({ code: 'VerificationFailed' });
    writeFileSync(made.path('secateur.json'), '{"format":"other"}');
    await expect(verifyCheckpoint(made.output, null)).rejects.toMatchObject({
      code: 'VerificationFailed',
      message: expect.stringContaining('format'),
    });
    rmSync(made.path('secateur.json'));
    await expect(verifyCheckpoint(made.output, null)).rejects.toMatchObject({
      message: expect.stringContaining('it is missing'),
    });
    await expect(verifyCheckpoint(made.path('nowhere'), null)).rejects.toMatchObject({ code: 'SourceMissing' });
  });

  it('a record that names files outside its directory', async () => {
    using made = await PrunedCheckpoint.make();
    const hostile = JSON.parse(readFileSync(made.path('secateur.json'), 'utf8'));
    hostile.outputs[0].file = '../source/config.json';
    writeFileSync(made.path('secateur.json'), JSON.stringify(hostile));
    await expect(verifyCheckpoint(made.output, null)).rejects.toMatchObject({ code: 'ArgumentInvalid' });
  });
});
