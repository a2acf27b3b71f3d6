/** New lines of a job's log for one reader, who may be slow: the newest are kept, and a line says how many are not. */
import { LineQueue } from '../../shared/line-queue.ts';
import type { JobLogLine } from './read-job-log.ts';

/** Of messages: some thousand lines. A reader that is further behind has not looked for a while. */
const KEPT_CHARACTERS_MAX = 1024 * 1024;
/** What a line costs beside its message. */
const LINE_OVERHEAD_CHARACTERS = 256;

export class LogFollower {
  private readonly queue = new LineQueue<JobLogLine>({
    characters: KEPT_CHARACTERS_MAX,
    overheadCharacters: LINE_OVERHEAD_CHARACTERS,
  });

  add(line: JobLogLine): void {
    this.queue.add(line);
  }

  /** Everything since the last call. */
  take(): readonly JobLogLine[] {
    const dropped = this.queue.takeDropped();
    const lines: JobLogLine[] = [];
    for (let line = this.queue.shift(); line !== undefined; line = this.queue.shift()) lines.push(line);
    const [oldest] = lines;
    if (dropped === 0 || oldest === undefined) return lines;
    const message = `(${dropped} lines before this one were dropped: this reader was too slow; without --follow all are read)`;
    return [{ ...oldest, level: 'warn', message }, ...lines];
  }
}
