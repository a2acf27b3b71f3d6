/**
 * The coordinator's own work for a job: reading its inputs, adding statistics up, writing shards, publishing. Derived
 * from the state, so that a restart, a resumption and another attempt ask for the same.
 */
import type { Command } from './events.ts';
import { activeJob, type JobState, jobOf, own } from './state.ts';
import type { Transition } from './transition.ts';

export type EffectCommand = Extract<
  Command,
  { kind: 'intake' | 'reduceStatistics' | 'assembleShard' | 'publishCheckpoint' }
>;

/** Effects of one name and job are carried out one at a time; what goes wrong with them is counted by it. */
export function effectName(command: EffectCommand): string {
  switch (command.kind) {
    case 'intake':
      return 'intake';
    case 'reduceStatistics':
      return `reduce-${command.layer}`;
    case 'assembleShard':
      return 'assembly';
    case 'publishCheckpoint':
      return 'publish';
  }
}

/** What is to be done for a job as it stands: under way, or waiting for its next attempt. */
export function effectsOf(job: JobState): EffectCommand[] {
  switch (job.phase) {
    case 'Intake':
      return [{ kind: 'intake', job: job.id }];
    case 'Pruning':
      return job.layers.flatMap(({ status }, layer): EffectCommand[] =>
        status === 'reducing' ? [{ kind: 'reduceStatistics', job: job.id, layer }] : [],
      );
    case 'Assembling': {
      const shard = job.assembled.length;
      const isWritten = shard >= (job.plan?.outputShards.length ?? 0);
      return [isWritten ? { kind: 'publishCheckpoint', job: job.id } : { kind: 'assembleShard', job: job.id, shard }];
    }
    default:
      return [];
  }
}

/** Whether an effect has failed and waits for its next attempt: then its `notBeforeMs` says when that is. */
export function isEffectWaiting(job: JobState, effect: string): boolean {
  return (own(job.retries, effect)?.notBeforeMs ?? 0) > 0;
}

/** Has everything done that the coordinator itself is to do for a job, except what waits for its next attempt. */
export function carryOutEffects(t: Transition, jobId: string): void {
  const job = jobOf(t.state, jobId);
  if (job === undefined) return;
  for (const command of effectsOf(job)) if (!isEffectWaiting(job, effectName(command))) beginEffect(t, command);
}

/** Those whose pause is over, in every step: whatever happens then, it is not later than the next tick. */
export function repeatFailedEffects(t: Transition): void {
  const job = activeJob(t.state);
  if (job === undefined) return;
  for (const command of effectsOf(job)) {
    const retry = own(job.retries, effectName(command));
    if (retry === undefined || retry.notBeforeMs === 0 || retry.notBeforeMs > t.nowMs) continue;
    t.editJob(job.id).retries[effectName(command)] = { ...retry, notBeforeMs: 0 };
    beginEffect(t, command);
  }
}

export function beginEffect(t: Transition, command: EffectCommand): void {
  explainEffect(t, command);
  t.command(command);
}

/** Statistics are added up beside tasks of other layers: explain.ts says which of them matters. */
function explainEffect(t: Transition, command: EffectCommand): void {
  const count = jobOf(t.state, command.job)?.plan?.outputShards.length ?? 0;
  switch (command.kind) {
    case 'intake':
      return t.explain(
        command.job,
        'Intake',
        'ReadingInputs',
        'reads the configuration and the headers of the checkpoint',
      );
    case 'reduceStatistics':
      return;
    case 'assembleShard':
      return t.explain(command.job, 'Assembling', 'WritingShards', `writes shard ${command.shard + 1} of ${count}`);
    case 'publishCheckpoint':
      return t.explain(command.job, 'Assembling', 'Publishing', 'moves the finished files into their place');
  }
}
