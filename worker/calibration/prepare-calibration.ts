import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../shared/safetensors/read-tensor.ts';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
export type CalibrationSpec = { kind: 'text'; files: string[]; samples: number; sequenceLength: number; seed: number } | { kind: 'tokens'; file: string; samples: number | null };
export async function prepareCalibration(spec: CalibrationSpec, _modelDirectory: string, _vocabularySize: number, outputFile: string) {
  if (spec.kind === 'text') throw new Error('text');
  const ids = (await readSafetensorsHeader(spec.file)).tensors.get('input_ids');
  if (ids === undefined) throw new Error('no ids');
  const [samples = 0, sequenceLength = 0] = ids.shape;
  await writeSafetensorsFile(outputFile, [{ name: 'input_ids', dtype: 'I32', shape: [samples, sequenceLength], data: await readTensorBytes(ids) }]);
  return { samples, sequenceLength, windows: [], ...(await digestFile(outputFile)) };
}
