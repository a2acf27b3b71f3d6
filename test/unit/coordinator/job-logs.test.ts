/** A job's log: nothing lost at its two ends, bounded in the middle, readable by a process that wrote none of it. */
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JobLogs } from '../../../coordinator/logs/job-logs.ts';
import { JobNarrator } from '../../../coordinator/logs/job-narrator.ts';
import { LogFollower } from '../../../coordinator/logs/log-follower.ts';
import { type JobLogLine, mergeJobLog, openJobLog } from '../../../coordinator/logs/read-job-log.ts';
import { LOG_MESSAGE_CHARACTERS_MAX, shortenMessage } from '../../../shared/shorten-message.ts';

const line = (atMs: number, message = String(atMs), worker = 'w'): JobLogLine => ({
  worker,
  source: 'agent',
  level: 'info',
  atMs,
  task: '',
  message,
});

async function messages(lines: AsyncIterable<JobLogLine>): Promise<string[]> {
  const all: string[] = [];
  for await (const each of lines) all.push(each.message);
  return all;
}

describe('a job’s logs', () => {
  let folder: string;
  let logs: JobLogs;
  const unexpected = (thrown: unknown): void => expect.unreachable(String(thrown));
  const append = (each: JobLogLine): void => void logs.append('job', each, unexpected);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-logs-'));
    logs = new JobLogs(() => folder);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('read and followed in one turn miss no line and repeat none', async () => {
    append(line(1));
    append(line(2));
    const { follower, end } = logs.follow('job', '');
    const reading = messages(logs.read('job', ''));
    append(line(3));
    const read = await reading;
    append(line(4));
    end();
    append(line(5));
    expect([...read, ...follower.take().map((each) => each.message)]).toEqual(['1', '2', '3', '4']);
    expect(await messages(logs.read('job', 'nobody'))).toEqual([]);
  });

  it('are merged by time over workers and the coordinator, each worker’s lines in its own order', async () => {
    append(line(10, 'w1 first', 'w1'));
    append(line(30, 'w1 second', 'w1'));
    append(line(20, 'w2 first', 'w2'));
    append(line(25, 'coordinator', ''));
    append(line(5, 'w1 third, its clock set back', 'w1'));
    expect(await messages(logs.read('job', ''))).toEqual([
      'w1 first',
      'w2 first',
      'coordinator',
      'w1 second',
      'w1 third, its clock set back',
    ]);
    expect(await messages(logs.read('job', 'w2'))).toEqual(['w2 first']);
  });

  it('of a flood keep the first lines and the newest in at most 4 MiB, and say how many are gone', async () => {
    const count = 12_000;
    const long = 'x'.repeat(1000);
    for (let from = 0; from < count; from += 1000) {
      for (let n = from; n < from + 1000; n++) append(line(n, `${n} ${long}`));
      await messages(logs.read('job', 'nobody'));
    }
    const read = await messages(logs.read('job', ''));
    const sizeBytes = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    expect(sizeBytes).toBeLessThanOrEqual(4 * 1024 * 1024);
    expect(read[0]).toMatch(/^0 x/);
    expect(read.at(-1)).toMatch(new RegExp(`^${count - 1} x`));
    const numbers = read.map((text) => Number(text.split(' ')[0]));
    const gap = numbers.findIndex((n) => Number.isNaN(n));
    const missing = (numbers[gap + 1] ?? 0) - (numbers[gap - 1] ?? 0) - 1;
    expect(missing).toBeGreaterThan(1000);
    expect(read[gap]).toBe(`(${missing} lines before this one were dropped)`);
    expect(numbers.filter((n) => Number.isNaN(n))).toHaveLength(1);
    // The newest megabyte and a half is whole.
    expect(numbers.slice(-1400)).toEqual(Array.from({ length: 1400 }, (_, index) => count - 1400 + index));
  });

  it('go on after a crash at any point of a rotation, and after half a line', async () => {
    append(line(1));
    await messages(logs.read('job', ''));
    appendFileSync(join(folder, 'w.jsonl'), '{"worker":"w","mess');
    logs = new JobLogs(() => folder);
    append(line(2));
    expect(await messages(logs.read('job', ''))).toEqual(['1', '2']);
    // The newest part was moved, and the next was not begun.
    writeFileSync(join(folder, 'w+older.jsonl'), `{"dropped":7}\n${JSON.stringify(line(20))}\n`);
    logs = new JobLogs(() => folder);
    append(line(21));
    expect(await messages(logs.read('job', ''))).toEqual([
      '1',
      '2',
      '(7 lines before this one were dropped)',
      '20',
      '21',
    ]);
  });

  it('are read by another process while they are written, with every part that it has hold of', async () => {
    append(line(1));
    await messages(logs.read('job', ''));
    const opened = await openJobLog(folder, '');
    append(line(2));
    await messages(logs.read('job', ''));
    expect(await messages(mergeJobLog(opened))).toEqual(['1']);
    expect(await messages(mergeJobLog(await openJobLog(join(folder, 'none'), '')))).toEqual([]);
  });

  it('that cannot be written tell so once a line, go on when they can, and count what is missing', async () => {
    const failures: unknown[] = [];
    const broken = new JobLogs(() => join(folder, 'file', 'logs'));
    writeFileSync(join(folder, 'file'), '');
    const isWritten = broken.append('job', line(1), (thrown) => failures.push(thrown));
    expect(await isWritten).toBe(false);
    await messages(broken.read('job', '')).catch(() => undefined);
    expect(failures).toHaveLength(1);
    rmSync(join(folder, 'file'));
    expect(await broken.append('job', line(2), unexpected)).toBe(true);
    expect(await messages(broken.read('job', ''))).toEqual([
      '(1 lines were not written: the disk of the state folder was full or too slow)',
      '2',
    ]);
  });

  it('know the newest line of each life of a worker, in whatever part it is, and after half a line', async () => {
    const from = (life: string, sequence: number) =>
      logs.append('job', line(sequence, 'x'.repeat(16_000)), unexpected, { life, sequence });
    for (let sequence = 1; sequence <= 100; sequence++) void from('a', sequence);
    expect(await logs.lastSequence('job', 'w', 'a')).toBe(100);
    void from('b', 1);
    await logs.flush();
    appendFileSync(join(folder, 'w+newer.jsonl'), '{"worker":"w","life":"b","sequence":2,"mess');
    logs = new JobLogs(() => folder);
    expect(await logs.lastSequence('job', 'w', 'b')).toBe(1);
    expect(await logs.lastSequence('job', 'w', 'a')).toBe(100);
    expect(await logs.lastSequence('job', 'w2', 'a')).toBe(0);
    await from('b', 2);
    expect(await logs.lastSequence('job', 'w', 'b')).toBe(2);
    for await (const each of logs.read('job', '')) expect(Object.keys(each)).not.toContain('sequence');
  });

  it('that the disk is too slow for are left out past a bound, and counted', async () => {
    const long = 'x'.repeat(16_000);
    // All in one turn: the disk gets its first chance after it.
    for (let n = 0; n < 400; n++) append(line(n, `${n} ${long}`, `w${n % 4}`));
    await logs.flush();
    const read = await messages(logs.read('job', ''));
    const kept = read.filter((text) => text.endsWith(long)).length;
    expect(kept).toBeLessThan(300);
    expect(read).toContain(`(${400 - kept} lines were not written: the disk of the state folder was full or too slow)`);
  });

  it('of more workers than have a log of their own stand in one that they share', async () => {
    for (let n = 0; n < 1_003; n++) append(line(n, `from ${n}`, `w${n}`));
    expect(await messages(logs.read('job', ''))).toHaveLength(1_003);
    expect(readdirSync(folder)).toHaveLength(1_001);
    expect(await messages(logs.read('job', 'w1002'))).toEqual(['from 1002']);
  }, 30_000);

  it('hold what the coordinator does for the job: tasks given, lost, failed', async () => {
    const ran: string[] = [];
    const narrator = new JobNarrator({ run: (command) => ran.push(command.kind) }, logs, unexpected);
    const identity = { job: 'job', task: 'prune-00003', attempt: 2, epoch: 5 };
    narrator.run({ kind: 'assign', worker: 'w1', identity, spec: { kind: 'prune', stage: 0, layer: 3 } });
    const event = { job: 'job', namespace: 'default', sequence: 1, atMs: Date.now() + 1 };
    const data = { epoch: 5, task: 'prune-00003', attempt: 2, worker: 'w1', why: 'it was away for 10 s' };
    narrator.tell({ ...event, entity: 'task', verb: 'lost', data });
    const times = { layer: 3, computeMs: 593.2781540000015, workers: [{ worker: 'w1', computeMs: 0.12345678 }] };
    narrator.tell({ ...event, sequence: 2, entity: 'layer', verb: 'calibrated', data: times });
    const read: JobLogLine[] = [];
    for await (const each of logs.read('job', '')) read.push(each);
    expect(ran).toEqual(['assign']);
    expect(read).toMatchObject([
      { source: 'coordinator', level: 'info', task: 'prune-00003', message: 'given to w1, lease 2, epoch 5' },
      { level: 'warn', task: 'prune-00003', message: 'task lost lease=2 worker=w1 why=it was away for 10 s' },
      { message: 'layer calibrated layer=3 computeMs=593.278 workers=[{"worker":"w1","computeMs":0.123}]' },
    ]);
  });
});

describe('a follower that does not read', () => {
  it('keeps the newest lines in a bounded memory and says how many it has not', () => {
    const follower = new LogFollower();
    const long = 'x'.repeat(10_000);
    for (let n = 0; n < 1000; n++) follower.add(line(n, `${n} ${long}`));
    const taken = follower.take();
    const kept = taken.length - 1;
    expect(kept * 10_000).toBeLessThan(1024 * 1024);
    expect(kept).toBeGreaterThan(90);
    expect(taken[0]?.message).toContain(`(${1000 - kept} lines before this one were dropped`);
    expect(taken[1]?.message).toMatch(new RegExp(`^${1000 - kept} x`));
    expect(taken.at(-1)?.message).toMatch(/^999 x/);
    follower.add(line(1000));
    expect(follower.take().map((each) => each.message)).toEqual(['1000']);
    expect(follower.take()).toEqual([]);
  });
});

describe('shortenMessage', () => {
  it('leaves what is short, and of what is long its beginning and its end', () => {
    expect(shortenMessage('short')).toBe('short');
    const shortened = shortenMessage(`begin${'x'.repeat(1_000_000)}end`);
    expect(shortened.length).toBeLessThan(LOG_MESSAGE_CHARACTERS_MAX + 100);
    expect(shortened).toMatch(/^begin.*\(98\d{4} characters left out\).*end$/);
  });
});
