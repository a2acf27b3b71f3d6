/**
 * What the coordinator itself does for a job, as lines of the job's log: tasks given and taken back, and every event.
 * Who reads the log of a job that failed finds the story between the lines of its workers.
 */
import type { JobEvent } from '../../shared/events/job-event.ts';
import type { Command } from '../core/events.ts';
import type { CommandRunner } from '../loop.ts';
import type { JobLogs } from './job-logs.ts';

/** Said with every event, of use to machines only. */
const KEYS_LEFT_OUT: ReadonlySet<string> = new Set(['epoch', 'task']);
const VALUE_CHARACTERS_MAX = 2_000;

export class JobNarrator implements CommandRunner {
  private readonly runner: CommandRunner;
  private readonly logs: JobLogs;
  private readonly onError: (thrown: unknown) => void;

  constructor(runner: CommandRunner, logs: JobLogs, onError: (thrown: unknown) => void) {
    this.runner = runner;
    this.logs = logs;
    this.onError = onError;
  }

  run(command: Command): void {
    if (command.kind === 'assign' || command.kind === 'abort') {
      const { job, task, attempt, epoch } = command.identity;
      const verb = command.kind === 'assign' ? 'given to' : 'taken back from';
      this.say(job, Date.now(), 'info', task, `${verb} ${command.worker}, attempt ${attempt}, epoch ${epoch}`);
    }
    this.runner.run(command);
  }

  tell(event: JobEvent): void {
    const { entity, verb, data } = event;
    const facts = Object.entries(data)
      .filter(([key]) => !KEYS_LEFT_OUT.has(key))
      .map(([key, value]) => ` ${key}=${show(value)}`);
    const task = typeof data.task === 'string' ? data.task : '';
    this.say(event.job, event.atMs, levelOf(event), task, `${entity} ${verb}${facts.join('')}`);
  }

  private say(job: string, atMs: number, level: string, task: string, message: string): void {
    const line = { worker: '', source: 'coordinator', level, atMs, task, message };
    void this.logs.append(job, line, this.onError);
  }
}

const WARNINGS: ReadonlySet<string> = new Set(['failed', 'effectFailed', 'begunAnew', 'lost', 'detached']);

function levelOf({ entity, verb }: JobEvent): string {
  if (entity === 'job' && verb === 'failed') return 'error';
  return WARNINGS.has(verb) ? 'warn' : 'info';
}

function show(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length <= VALUE_CHARACTERS_MAX ? text : `${text.slice(0, VALUE_CHARACTERS_MAX)}…`;
}
