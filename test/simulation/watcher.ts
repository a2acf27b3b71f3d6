/**
 * A client that follows a job over every restart of the coordinator, as `secateur watch` does: from the first event each
 * time, so that what was told once is compared with what is told now.
 */
import type { JobsService } from '../../coordinator/api/jobs-service.ts';
import { fromCloudEvent } from '../../shared/events/cloud-event.ts';
import type { Invariants } from './invariants.ts';

export class Watcher {
  /** Every event as it was first told. */
  readonly seen: string[] = [];
  /** By text, as they were told last. */
  readonly perplexities = new Map<string, { dense?: number; pruned?: number }>();
  private readonly invariants: Invariants;
  private readonly job: string;

  constructor(job: string, invariants: Invariants) {
    this.job = job;
    this.invariants = invariants;
  }

  /** Until the job ends or the coordinator does: then it stands still for ever, and another call goes on. */
  async follow(jobs: JobsService): Promise<void> {
    let sequence = 0;
    const signal = new AbortController().signal;
    for await (const response of jobs.watch({ job: this.job, namespace: '', afterSequence: 0 }, signal)) {
      if (!response.eventJson) continue;
      sequence += 1;
      this.take(sequence, response.eventJson);
    }
  }

  private take(position: number, json: string): void {
    const event = fromCloudEvent(JSON.parse(json));
    const { sequence } = event;
    if (sequence !== position) this.invariants.breach(`event ${sequence} was told where ${position} was due`);
    const before = this.seen[position - 1];
    if (before === undefined) {
      this.seen.push(json);
      this.invariants.told(event);
      if (event.entity === 'evaluation' && event.verb === 'measured') {
        const { text, model, perplexity } = event.data as { text: string; model: string; perplexity: number };
        this.perplexities.set(text, { ...this.perplexities.get(text), [model]: perplexity });
      }
    } else if (before !== json) {
      this.invariants.breach(`event ${position} was told as ${before} and then as ${json}`);
    }
  }
}
