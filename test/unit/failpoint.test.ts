import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FAILPOINTS, type FailpointName, Failpoints } from '../../shared/failpoint.ts';
import { REPOSITORY } from '../support/secateur-process.ts';

let deaths = 0;
const lastWords: string[] = [];
function failpoints(environment: Record<string, string>): Failpoints {
  deaths = 0;
  lastWords.length = 0;
  return new Failpoints(environment, {
    die: () => {
      deaths += 1;
    },
    dieSaying: (words) => lastWords.push(words),
  });
}

describe('failpoints out of SECATEUR_FAILPOINT', () => {
  it('nothing is set: nothing happens anywhere', () => {
    const points = failpoints({});
    for (const name of Object.keys(FAILPOINTS)) points.reach(name as FailpointName);
    expect(deaths).toBe(0);
  });

  it('the process dies the nth time that it gets there, and only there', () => {
    const points = failpoints({ SECATEUR_FAILPOINT: 'engine.pass-microbatch:3,agent.result-sent' });
    points.reach('engine.layer-written');
    points.reach('engine.pass-microbatch');
    points.reach('engine.pass-microbatch');
    expect(deaths).toBe(0);
    points.reach('engine.pass-microbatch');
    expect(deaths).toBe(1);
    points.reach('agent.result-sent');
    expect(deaths).toBe(2);
  });

  it('EXIT ends the process, with a word on standard error', () => {
    const points = failpoints({ SECATEUR_FAILPOINT: 'engine.pass-computed=EXIT' });
    points.reach('engine.pass-computed');
    expect(lastWords).toEqual(['gave up at the failpoint engine.pass-computed']);
    expect(deaths).toBe(0);
  });

  it.each(['ENOSPC', 'EIO'])('%s is thrown once, as the system call would have', (errno) => {
    const points = failpoints({ SECATEUR_FAILPOINT: `storage.atomic-unsynced:2=${errno}` });
    points.reach('storage.atomic-unsynced');
    expect(() => points.reach('storage.atomic-unsynced')).toThrow(expect.objectContaining({ code: errno }));
    points.reach('storage.atomic-unsynced');
    expect(deaths).toBe(0);
  });

  it.each([
    ['a name that is none', 'engine.layer-writen', /found engine\.layer-writen\. Did you mean engine\.layer-written\?/],
    ['a count of zero', 'engine.layer-written:0', /found engine\.layer-written:0\./],
    ['an errno that it does not know', 'engine.layer-written=EPERM', /found engine\.layer-written=EPERM\./],
  ])('%s is an error, at once', (_, setting, message) => {
    expect(() => failpoints({ SECATEUR_FAILPOINT: setting })).toThrow(message);
  });
});

describe('failpoints that are armed in a folder', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-failpoint-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('an armed one fires once over all processes that share the folder, and says when and where', () => {
    const [one, other] = [
      failpoints({ SECATEUR_FAILPOINT_FOLDER: folder }),
      failpoints({ SECATEUR_FAILPOINT_FOLDER: folder }),
    ];
    one.reach('engine.layer-written');
    expect(deaths).toBe(0);
    writeFileSync(join(folder, 'engine.layer-written'), '');
    one.reach('engine.layer-committed');
    expect(deaths).toBe(0);
    one.reach('engine.layer-written');
    other.reach('engine.layer-written');
    expect(deaths).toBe(1);
    expect(JSON.parse(readFileSync(join(folder, 'engine.layer-written.fired'), 'utf8'))).toMatchObject({
      processId: process.pid,
    });
  });

  it('an errno in the name is thrown instead', () => {
    const points = failpoints({ SECATEUR_FAILPOINT_FOLDER: folder });
    writeFileSync(join(folder, 'storage.staged-synced=ENOSPC'), '');
    expect(() => points.reach('storage.staged-synced')).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    expect(deaths).toBe(0);
    expect(existsSync(join(folder, 'storage.staged-synced=ENOSPC'))).toBe(false);
  });

  it('a process stands still at one with PAUSE until the test lets it go on', async () => {
    writeFileSync(join(folder, 'engine.layer-written=PAUSE'), '');
    const program = `import { reach } from '${join(REPOSITORY, 'shared/failpoint.ts')}'; reach('engine.layer-written'); console.log('went on');`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      env: { ...process.env, SECATEUR_FAILPOINT_FOLDER: folder },
    });
    const printed: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => printed.push(bytes));
    const fired = join(folder, 'engine.layer-written=PAUSE.fired');
    await expect.poll(() => existsSync(fired), { timeout: 20_000 }).toBe(true);
    await pause(100);
    expect([printed, child.exitCode]).toEqual([[], null]);
    rmSync(fired);
    await once(child, 'close');
    expect(Buffer.concat(printed).toString()).toBe('went on\n');
  });
});

it('every failpoint of the table stands somewhere, and none stands anywhere that the table lacks', () => {
  const reached = new Set<string>();
  for (const part of ['coordinator', 'shared', 'worker']) {
    for (const entry of readdirSync(join(REPOSITORY, part), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
      const text = readFileSync(join(entry.parentPath, entry.name), 'utf8');
      for (const match of text.matchAll(/\breach\('([^']+)'\)/g)) reached.add(match[1] as string);
    }
  }
  expect([...reached].sort()).toEqual(Object.keys(FAILPOINTS).sort());
});
