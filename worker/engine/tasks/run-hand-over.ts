/** A worker that is about to leave writes what it holds to files, so that nobody has to compute it again. */
import { reach } from '../../../shared/failpoint.ts';
import { membersOf } from '../../../shared/microbatch-set.ts';
import type { HandOverTask__Output } from '../../../shared/rpc/generated/secateur/v1/HandOverTask.ts';
import type { SnapshotFile } from '../../../shared/rpc/generated/secateur/v1/SnapshotFile.ts';
import { setOfRanges } from '../../../shared/rpc/microbatch-ranges.ts';
import type { Outcome } from '../messages.ts';
import { writeSnapshot } from '../snapshot.ts';
import type { TaskContext } from '../task-context.ts';

export async function runHandOver(task: HandOverTask__Output, context: TaskContext): Promise<Outcome> {
  const { boundary, suffix } = task;
  const microbatches = [...membersOf(setOfRanges(task.microbatches))];
  const snapshots: SnapshotFile[] = [];
  for (const [index, microbatch] of microbatches.entries()) {
    const states = context.hidden.get(boundary, microbatch);
    snapshots.push(await writeSnapshot(context, boundary, microbatch, states, suffix));
    reach('engine.hand-over-written');
    context.hidden.drop(boundary, microbatch);
    context.progress(index + 1, microbatches.length, 'files');
  }
  return { handOver: { snapshots } };
}
