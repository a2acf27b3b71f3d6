/** Log lines of the long-running verbs: time, level, message, then fields as `name=value`. */
import { appendFileSync } from 'node:fs';
import type { Log, LogLevel } from '../shared/log.ts';

export function logLine(nowMs: number, level: LogLevel, message: string, fields: Record<string, unknown> = {}): string {
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return `${new Date(nowMs).toISOString()} ${level.padEnd(5)} ${message}${shown.join('')}\n`;
}

export const logToStandardError: Log = (level, message, fields) => {
  process.stderr.write(logLine(Date.now(), level, message, fields));
};

/** Errors also go to standard error: a log file that nobody looks at must not be the only one to know. */
export function logToFile(file: string): Log {
  return (level, message, fields) => {
    const line = logLine(Date.now(), level, message, fields);
    appendFileSync(file, line);
    if (level === 'error') process.stderr.write(line);
  };
}
