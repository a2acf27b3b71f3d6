/** Entry of the command line, on a Node that runs TypeScript: cli/secateur.js sees to that. */
import { Socket } from 'node:net';
import { runCommandLine } from './program.ts';

// Where the launcher is a process of its own (an older Node), one that is killed takes this one with it: whoever kills
// the process that he started means the command. What it leaves is what a kill leaves: every part can bear it.
const launcherPipe = process.env.SECATEUR_LAUNCHER_FD;
if (launcherPipe !== undefined) {
  // Not for the processes that this one starts.
  delete process.env.SECATEUR_LAUNCHER_FD;
  const endWithLauncher = (): void => {
    process.kill(process.pid, 'SIGKILL');
  };
  new Socket({ fd: Number(launcherPipe) }).on('error', endWithLauncher).on('close', endWithLauncher).resume().unref();
}

// A reader that has seen enough (`secateur get | head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
}

process.exit(await runCommandLine(process.argv.slice(2)));
