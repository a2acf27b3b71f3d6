/**
 * What `run` does about a job that its state folder knows already: begin, go on, or refuse. Pure.
 *
 * The claim in the destination decides: a destination that belongs to a job is that job's until it is published or
 * removed. A job without its claim has nothing to go on from.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { showPath } from '../../shared/manifest/manifest-path.ts';
import { destinationPath } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';

export interface KnownJob {
  readonly id: string;
  readonly phase: string;
  readonly manifest: Manifest;
  readonly layersCommitted: number;
}

export type Decision =
  /**
   * `cancelFirst`: a job that would otherwise go on without its files. `discardClaim`: the destination holds what an
   * ended job left that had committed nothing (its calibration text was too short, say): nothing is lost with it.
   */
  | { readonly kind: 'submit'; readonly cancelFirst: string | null; readonly discardClaim?: true }
  /** Unfinished: the coordinator goes on with it by itself. */
  | { readonly kind: 'continue'; readonly job: string }
  /** Failed or cancelled. */
  | { readonly kind: 'resume'; readonly job: string; readonly phase: string };

/** Phases before a job has claimed its destination. */
const PHASES_BEFORE_CLAIM: ReadonlySet<string> = new Set(['Queued', 'Intake']);
const DIFFERENCES_SHOWN_MAX = 10;

/**
 * @param jobs in the order of submission
 * @param claimedBy the job that the destination belongs to; null where it belongs to none
 * @throws JobExists: the destination belongs to a job with another manifest
 */
export function decideRun(manifest: Manifest, jobs: readonly KnownJob[], claimedBy: string | null): Decision {
  const { destination } = manifest.spec.output;
  const folder = destinationPath(destination);
  const latest = jobs.findLast((job) => destinationPath(job.manifest.spec.output.destination) === folder);
  if (latest === undefined || latest.phase === 'Succeeded') return { kind: 'submit', cancelFirst: null };

  const hasEnded = latest.phase === 'Failed' || latest.phase === 'Cancelled';
  const differences = differingFields(latest.manifest, manifest);
  if (claimedBy !== latest.id) {
    const canContinue = !hasEnded && differences.length === 0 && PHASES_BEFORE_CLAIM.has(latest.phase);
    if (canContinue) return { kind: 'continue', job: latest.id };
    return { kind: 'submit', cancelFirst: hasEnded ? null : latest.id };
  }
  if (differences.length > 0 && hasEnded && latest.layersCommitted === 0) {
    return { kind: 'submit', cancelFirst: null, discardClaim: true };
  }
  if (differences.length > 0) throw otherManifest(destination, latest, differences);
  return hasEnded ? { kind: 'resume', job: latest.id, phase: latest.phase } : { kind: 'continue', job: latest.id };
}

/** `spec.pruning.sparsity was 0.5, is 0.6`, field by field. */
export function differingFields(before: unknown, now: unknown, path: readonly (string | number)[] = []): string[] {
  if (JSON.stringify(before) === JSON.stringify(now)) return [];
  if (isContainer(before) && isContainer(now) && Array.isArray(before) === Array.isArray(now)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(now)]);
    return [...keys].flatMap((key) =>
      differingFields(before[key], now[key], [...path, Array.isArray(before) ? Number(key) : key]),
    );
  }
  return [`${showPath(path)} was ${showField(before)}, is ${showField(now)}`];
}

function otherManifest(destination: string, job: KnownJob, differences: readonly string[]): SecateurError {
  const shown = differences.slice(0, DIFFERENCES_SHOWN_MAX).join('; ');
  const more =
    differences.length > DIFFERENCES_SHOWN_MAX ? `; and ${differences.length - DIFFERENCES_SHOWN_MAX} more` : '';
  return new SecateurError(
    'JobExists',
    `${destinationPath(destination)} belongs to job ${job.id} (${job.phase}), which has another manifest: ${shown}${more}. ` +
      'Go on with that job by its own manifest, choose another destination, or remove the destination to give that job up.',
    { details: { job: job.id, phase: job.phase, differences } },
  );
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function showField(value: unknown): string {
  return value === undefined ? 'not set' : JSON.stringify(value);
}
