/**
 * What is seen of a job while it is followed: on a terminal one progress line that is drawn over, elsewhere one line an
 * event. Both on standard error.
 */
import { isWorking } from '../../coordinator/api/status-changes.ts';
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import type { Progress__Output } from '../../shared/rpc/generated/secateur/v1/Progress.ts';
import type { JobListener } from '../follow-job.ts';
import { describeEvent, eventName } from './event-line.ts';
import { drawProgress } from './progress-line.ts';
import { BACK, describeAway, describeStatus } from './status-line.ts';
import { clean } from './table.ts';

const TERMINAL_WIDTH_DEFAULT = 80;
const CLEAR_LINE = '\r\u001B[2K';
/** Events that deserve a line of their own above the progress line. */
const NEWSWORTHY: ReadonlySet<string> = new Set([
  'job.failed',
  'job.cancelled',
  'job.resumed',
  'job.effectFailed',
  'task.failed',
  'task.lost',
  'worker.detached',
]);

export interface ClosableListener extends JobListener {
  /** A remark between the events. */
  say(text: string): void;
  /** Takes the progress line away. */
  close(): void;
}

export function listenerFor(stream: NodeJS.WriteStream): ClosableListener {
  return stream.isTTY ? terminalListener(stream) : plainListener(stream);
}

/** One line an event; progress is left to those who can draw over it. */
function plainListener(stream: NodeJS.WritableStream): ClosableListener {
  const say = (text: string): void => {
    stream.write(`${text}\n`);
  };
  return {
    say,
    event: (event) => say(describeEvent(event)),
    progress: () => undefined,
    status: (status) => say(describeStatus(status)),
    away: (why) => say(describeAway(why)),
    back: () => say(BACK),
    close: () => undefined,
  };
}

function terminalListener(stream: NodeJS.WriteStream): ClosableListener {
  let last: Progress__Output | null = null;
  let hasWaited = false;
  const draw = (): void => {
    // The last column stays free: a full line wraps on some terminals.
    if (last !== null) stream.write(CLEAR_LINE + drawProgress(last, (stream.columns || TERMINAL_WIDTH_DEFAULT) - 1));
  };
  const say = (text: string): void => {
    stream.write(`${CLEAR_LINE}${text}\n`);
    draw();
  };
  return {
    say,
    event: (event: CloudEvent) => {
      if (NEWSWORTHY.has(eventName(event))) say(describeEvent(event));
      // Of a job that is planned: what a person should know before it has run for hours.
      const { warnings } = event.data;
      if (Array.isArray(warnings)) for (const warning of warnings) say(`warning: ${clean(String(warning))}`);
    },
    // While it works, the progress line says so; what it waits for stays above it, and that the wait is over.
    status: (status) => {
      const waits = !isWorking(status.reason);
      if (waits || hasWaited) say(describeStatus(status));
      hasWaited = waits;
    },
    progress: (progress) => {
      last = progress;
      draw();
    },
    away: (why) => say(describeAway(why)),
    back: () => say(BACK),
    close: () => {
      last = null;
      stream.write(CLEAR_LINE);
    },
  };
}
