/** Names of files under staging that workers write and the coordinator knows. */

/** The token ids. */
export const CALIBRATION_FILE_NAME = 'calibration.safetensors';

/** Numbers in names, so that a listing is in their order. */
export function fiveDigits(number: number): string {
  return String(number).padStart(5, '0');
}
