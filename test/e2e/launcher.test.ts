/** The launcher on a Node that is too old: another Node runs the command, and the two live and die as one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { REPOSITORY } from '../support/secateur-process.ts';

/** This Node says that it is an old one, and another binary than the one that the project brings. */
const OLD_NODE = `data:text/javascript,
  Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.0.0' } });
  Object.defineProperty(process, 'execPath', { value: '/old/node' });`;

it('a launcher that is killed takes its command with it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'secateur-launcher-'));
  const owner = join(folder, 'owner.json');
  const launcher = spawn(
    process.execPath,
    [
      '--import',
      OLD_NODE,
      join(REPOSITORY, 'cli/secateur.js'),
      'coordinator',
      '--state',
      folder,
      '--listen',
      '127.0.0.1:0',
    ],
    { stdio: 'ignore' },
  );
  let command: number | null = null;
  try {
    await expect.poll(() => existsSync(owner) && readFileSync(owner, 'utf8'), { timeout: 30_000 }).toMatch(/\n/);
    const { processId } = JSON.parse(readFileSync(owner, 'utf8')) as { processId: number };
    expect(processId).not.toBe(launcher.pid);
    command = processId;
    launcher.kill('SIGKILL');
    await once(launcher, 'exit');
    await expect.poll(() => isAlive(processId), { timeout: 10_000 }).toBe(false);
    command = null;
  } finally {
    launcher.kill('SIGKILL');
    if (command !== null) process.kill(command, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});

/** One that has ended and that nobody has waited for yet is not alive. */
function isAlive(processId: number): boolean {
  try {
    const stat = readFileSync(`/proc/${processId}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z';
  } catch {
    return false;
  }
}
