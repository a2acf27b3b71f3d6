import type { JobState } from '../../coordinator/core/state.ts';
import { isEmpty } from '../../shared/microbatch-set.ts';

/** Of each stage, the workers that have a share of it. */
export function replicasOf(job: JobState): string[][] {
  return job.stages.map(({ shares }) =>
    Object.entries(shares)
      .filter(([, share]) => !isEmpty(share))
      .map(([worker]) => worker),
  );
}
