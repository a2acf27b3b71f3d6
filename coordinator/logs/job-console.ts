/** What the coordinator's own log says of its jobs: how each begins and ends. The rest stands in the job's log. Pure. */
import type { JobEvent } from '../../shared/events/job-event.ts';
import type { LogLevel } from '../../shared/log.ts';

export interface ConsoleLine {
  readonly level: LogLevel;
  readonly message: string;
}

/** None for most events. A failed job is a warning: the coordinator itself is well. */
export function consoleLines({ job, entity, verb, data }: JobEvent): ConsoleLine[] {
  if (entity !== 'job') return [];
  const info = (what: string): ConsoleLine => ({ level: 'info', message: `job ${job} ${what}` });
  const warn = (what: string): ConsoleLine => ({ level: 'warn', message: `job ${job} ${what}` });
  switch (verb) {
    case 'submitted':
      return [info(`submitted: ${data.source} to ${data.destination}`)];
    case 'planned': {
      const warnings = Array.isArray(data.warnings) ? data.warnings : [];
      return [
        info(`begins: ${data.layers} layers, ${data.workers === 1 ? '1 worker' : `${data.workers} workers`}`),
        ...warnings.map((warning) => warn(`has a warning: ${warning}`)),
      ];
    }
    case 'succeeded':
      return [info(`succeeded after ${(Number(data.elapsedMs) / 1000).toFixed(1)} s`)];
    case 'failed':
      return [warn(`failed: ${data.message} [${data.code}]`)];
    case 'cancelled':
      return [info('was cancelled')];
    case 'resumed':
      return [info(`is resumed: ${data.committed} layers are committed`)];
    default:
      return [];
  }
}
