/** Entry of the command line, on a Node that runs TypeScript: cli/secateur.js sees to that. */
import { runCommandLine } from './program.ts';

// A reader that has seen enough (`secateur get | head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
}

process.exit(await runCommandLine(process.argv.slice(2)));
