/**
 * Names of files under staging, known to both sides. A file that a task makes carries the lease that it was made under
 * (`-e3-a41`: epoch 3, lease 41): two leases never write to one name, so a worker that lost its lease and does not
 * know it yet can replace nothing. Which file counts, the journal says.
 */

export interface LeaseNumbers {
  readonly epoch: number;
  readonly attempt: number;
}

export function leaseSuffix({ epoch, attempt }: LeaseNumbers): string {
  return `e${epoch}-a${attempt}`;
}

/** The token ids. */
export function calibrationFileName(lease: LeaseNumbers): string {
  return `calibration/ids-${leaseSuffix(lease)}.safetensors`;
}

/** Windows of one of the evaluation's texts. */
export function evaluationFileName(text: number, lease: LeaseNumbers): string {
  return `evaluation/${fiveDigits(text)}-${leaseSuffix(lease)}.safetensors`;
}

export function layerFileName(layer: number, lease: LeaseNumbers): string {
  return `layers/${fiveDigits(layer)}-${leaseSuffix(lease)}.safetensors`;
}

/** Products of input columns of some samples. */
export function hessianFileName(layer: number, suffix: string): string {
  return `hessians/${fiveDigits(layer)}-${suffix}.safetensors`;
}

export function snapshotFileName(boundary: number, microbatch: number, suffix: string): string {
  return `snapshots/${fiveDigits(boundary)}/m${fiveDigits(microbatch)}-${suffix}.safetensors`;
}

/** Numbers in names, so that a listing is in their order. */
export function fiveDigits(number: number): string {
  return String(number).padStart(5, '0');
}
