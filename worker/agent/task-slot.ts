/**
 * The task that a worker has: running, or finished and not yet acknowledged. Its result and its statistics stay here
 * until the coordinator says that they are in its journal, and are sent again after every reconnect until then.
 */
import type { SampleStatistics } from '../../shared/rpc/generated/secateur/v1/SampleStatistics.ts';
import type { Task__Output } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import type { TaskIdentity__Output } from '../../shared/rpc/generated/secateur/v1/TaskIdentity.ts';
import type { TaskProgress } from '../../shared/rpc/generated/secateur/v1/TaskProgress.ts';
import type { TaskResult } from '../../shared/rpc/generated/secateur/v1/TaskResult.ts';

export class TaskSlot {
  readonly task: Task__Output;
  readonly identity: TaskIdentity__Output;
  result: TaskResult | null = null;
  private readonly statistics: SampleStatistics[] = [];
  private progress: { done: number; total: number; unit: string } = { done: 0, total: 0, unit: '' };

  constructor(task: Task__Output, identity: TaskIdentity__Output) {
    this.task = task;
    this.identity = identity;
  }

  is(identity: TaskIdentity__Output): boolean {
    const mine = this.identity;
    return (
      mine.job === identity.job &&
      mine.task === identity.task &&
      mine.attempt === identity.attempt &&
      mine.epoch === identity.epoch
    );
  }

  addStatistics(layer: number, sample: number, float32: Uint8Array): SampleStatistics {
    const message = { identity: this.identity, layer, sample, float32: Buffer.from(float32) };
    this.statistics.push(message);
    return message;
  }

  /** Everything that the coordinator must have before the result means anything. */
  allStatistics(): readonly SampleStatistics[] {
    return this.statistics;
  }

  advance(done: number, total: number, unit: string): void {
    this.progress = { done, total, unit };
  }

  report(): TaskProgress {
    return { identity: this.identity, ...this.progress };
  }
}
