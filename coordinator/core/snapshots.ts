/** Hidden states as files: which there are, and which nobody needs any more. */
import { difference, isEmpty, membersOf, setOfMembers, union } from '../../shared/microbatch-set.ts';
import type { WrittenSnapshot } from './events.ts';
import { allMicrobatches, needlessSnapshots } from './lineage.ts';
import { endOf, type JobState, jobOf, own, type Snapshot } from './state.ts';
import type { Transition } from './transition.ts';

/** Of a microbatch that is there already the first file stays, and the other goes. */
export function addSnapshot(t: Transition, jobId: string, { boundary, microbatch, file }: WrittenSnapshot): void {
  const job = t.editJob(jobId);
  const before = job.snapshots.find((snapshot) => snapshot.boundary === boundary);
  const known = before === undefined ? undefined : own(before.files, String(microbatch));
  if (known !== undefined) {
    if (known.name !== file.name) t.command({ kind: 'removeStaged', job: jobId, names: [file.name] });
    return;
  }
  const after: Snapshot = {
    boundary,
    microbatches: union(before?.microbatches ?? [], [[microbatch, microbatch + 1]]),
    files: { ...before?.files, [microbatch]: file },
  };
  job.snapshots = [...job.snapshots.filter((snapshot) => snapshot !== before), after].sort(
    (a, b) => a.boundary - b.boundary,
  );
  if (isEmpty(difference(allMicrobatches(job), after.microbatches))) tellComplete(t, job, after);
}

function tellComplete(t: Transition, job: JobState, { boundary, files }: Snapshot): void {
  const stage = job.stages.findIndex((each) => endOf(each) === boundary);
  const bytes = Object.values(files).reduce((sum, file) => sum + file.sizeBytes, 0);
  const data = { boundary, files: Object.keys(files).length, bytes };
  if (stage >= 0) t.tell(job.id, 'stage', 'handedOver', { stage, ...data });
  else
    t.tell(job.id, 'stage', 'snapshotted', { stage: job.stages.findIndex((each) => endOf(each) > boundary), ...data });
}

/** Its file is gone, or is not what was written. */
export function forgetSnapshot(t: Transition, jobId: string, boundary: number, microbatch: number): void {
  removeFiles(t, jobId, boundary, new Set([microbatch]));
}

export function removeNeedlessSnapshots(t: Transition, jobId: string): void {
  const job = jobOf(t.state, jobId);
  if (job === undefined || job.snapshots.length === 0) return;
  for (const { boundary, microbatches } of needlessSnapshots(job)) {
    removeFiles(t, jobId, boundary, new Set(membersOf(microbatches)));
  }
}

/** Hidden states of the survey are none of what is pruned. */
export function dropAllSnapshots(t: Transition, jobId: string): void {
  for (const { boundary, microbatches } of jobOf(t.state, jobId)?.snapshots ?? [])
    removeFiles(t, jobId, boundary, new Set(membersOf(microbatches)));
}

function removeFiles(t: Transition, jobId: string, boundary: number, gone: ReadonlySet<number>): void {
  const job = t.editJob(jobId);
  const names: string[] = [];
  job.snapshots = job.snapshots.flatMap((snapshot) => {
    if (snapshot.boundary !== boundary) return [snapshot];
    const left = Object.entries(snapshot.files).filter(([microbatch, file]) => {
      if (!gone.has(Number(microbatch))) return true;
      names.push(file.name);
      return false;
    });
    if (left.length === 0) return [];
    const microbatches = setOfMembers(left.map(([each]) => Number(each)));
    return [{ boundary, microbatches, files: Object.fromEntries(left) }];
  });
  if (names.length > 0) t.command({ kind: 'removeStaged', job: jobId, names });
}
