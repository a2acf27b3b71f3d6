/**
 * From when on the silence of a worker's engine is told of. Runs of a wide model take longer than that each time; who was told
 * of one such silence, and that it ended, need not hear of every other one like it.
 */

/** With a heartbeat's delay and a watcher's, within ten seconds. */
const TOLD_AFTER_MS = 7_000;
/** Times the longest silence that ended well. */
const UNUSUAL_FACTOR = 1.5;

export class EngineSilence {
  private longestMs = 0;
  private lastMs = 0;

  /** @param silentMs as a heartbeat has it, of the task that the engine runs @returns whether it is told of */
  isToldOf(silentMs: number): boolean {
    // It has spoken meanwhile: what was known of its silence before is how long that was, to within a heartbeat.
    if (silentMs < this.lastMs) this.longestMs = Math.max(this.longestMs, this.lastMs);
    this.lastMs = silentMs;
    return silentMs >= Math.max(TOLD_AFTER_MS, UNUSUAL_FACTOR * this.longestMs);
  }
}
