/** How the long-running verbs log to standard error: text for people, or one JSON object a line for log collectors. */
import { Option } from 'commander';
import { destination, pino, stdTimeFunctions } from 'pino';
import type { Log } from '../shared/log.ts';
import { logToStandardError } from './text-log.ts';

export type LogFormat = 'text' | 'json';

export function logFormatOption(): Option {
  return new Option('--log-format <format>', 'how to log to standard error')
    .choices(['text', 'json'])
    .default('text')
    .env('SECATEUR_LOG_FORMAT');
}

export function processLog(format: LogFormat): Log {
  if (format === 'text') return logToStandardError;
  // Synchronous: the last line before a crash is the one that matters.
  const logger = pino(
    { base: null, timestamp: stdTimeFunctions.isoTime, formatters: { level: (level) => ({ level }) } },
    destination({ fd: process.stderr.fd, sync: true }),
  );
  return (level, message, fields) => logger[level](fields ?? {}, message);
}
