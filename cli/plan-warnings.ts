/** What a person should know of a plan before it runs. Pure. */
import type { PlanPreview } from '../coordinator/effects/preview-plan.ts';
import { showBytes } from '../shared/units.ts';

export function planWarnings(preview: PlanPreview, diskNeededBytes: number): string[] {
  const { problem } = preview.destination;
  return [
    problem,
    diskWarning(preview, diskNeededBytes),
    memoryWarning(preview),
    deviceWarning(preview),
    ...workerWarnings(preview),
  ].filter((warning) => warning !== null);
}

function diskWarning({ destination }: PlanPreview, neededBytes: number): string | null {
  const { freeBytes } = destination;
  if (freeBytes >= neededBytes) return null;
  return `the destination has ${showBytes(freeBytes)} free, and at most ${showBytes(neededBytes)} are needed`;
}

function memoryWarning({ workers, plan }: PlanPreview): string | null {
  const perHost = new Map<string, { needed: number; there: number }>();
  for (const { capabilities, memoryBytes } of workers) {
    const { host, memoryBytes: there } = capabilities;
    if (there > 0) perHost.set(host, { needed: (perHost.get(host)?.needed ?? 0) + memoryBytes, there });
  }
  for (const [host, { needed, there }] of perHost) {
    if (needed <= there) continue;
    const advice = plan.microbatch > 1 ? ', fewer samples, or a smaller microbatch' : ' or fewer samples';
    return `the workers on ${host} need about ${showBytes(needed)} of its ${showBytes(there)}: more hosts${advice} would need less of each`;
  }
  return null;
}

/** Of the first worker whose device is too small. A run that does not fit is halved: only what one sample needs is the end of it. */
function deviceWarning({ workers, plan, alternatives }: PlanPreview): string | null {
  const least = alternatives[0]?.deviceMemoryLeastBytes ?? 0;
  for (const { name, capabilities, deviceMemoryBytes: needed } of workers) {
    const there = capabilities.deviceMemoryBytes;
    if (there <= 0 || needed <= there) continue;
    const asked = `a microbatch of ${plan.microbatch} needs about ${showBytes(needed)} of the device of ${name}, which has ${showBytes(there)}`;
    return least <= there
      ? `${asked}: runs that do not fit are done in halves; a smaller microbatch spares the attempt`
      : `${asked}; one sample alone needs about ${showBytes(least)}: a device with more memory, or shorter samples, are needed`;
  }
  return null;
}

function workerWarnings({ plan, workers, propagate }: PlanPreview): string[] {
  const { replicas, replicasMax, samples, microbatch } = plan;
  const stages = plan.stages.length;
  const microbatches = samples === null ? null : Math.ceil(samples / microbatch);
  const there = workers.length;
  const found: string[] = [];
  if (there === 0)
    found.push('no worker is attached: the job would wait for one; the times are for one that is assumed');
  if (microbatches !== null && (replicasMax ?? 0) > microbatches) {
    found.push(
      `spec.placement.replicas is ${replicasMax}, but there are ${microbatches} microbatches: replicas beyond that have nothing to do`,
    );
  }
  const useful = propagate === 'dense' ? stages * replicas : replicas;
  // What a division by the stages leaves over, `auto` gives to some of them.
  const isDivided = replicasMax === null && propagate === 'dense' && replicas !== microbatches;
  if (there > 0 && useful < there && !isDivided) {
    const why =
      replicasMax === null
        ? `there are ${microbatches ?? 'too few'} microbatches`
        : propagate === 'pruned' && stages > 1
          ? 'with propagate: pruned stages follow one another'
          : `spec.placement.replicas is ${replicasMax}`;
    found.push(`at most ${useful} of ${there} workers compute at one time: ${why}`);
  }
  if (replicasMax !== null && there > 0 && replicasMax > there) {
    found.push(`spec.placement.replicas is ${replicasMax}, but there are ${there} workers: it begins with those`);
  }
  return found;
}
