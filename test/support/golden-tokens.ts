/** The calibration that the golden files of micro-llama were made with: 16 samples of 128 token ids. */
import { join } from 'node:path';
import { REPOSITORY } from './secateur-process.ts';

export const TOKENS = join(REPOSITORY, 'test/golden/fixtures/micro/calibration.safetensors');
