#!/usr/bin/env node
/**
 * The launcher: plain JavaScript that any Node can read. Where this Node is too old for the TypeScript sources, the npm
 * package `node`, a dependency of the project, brings one that is not; the command runs on that instead.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 24;
const EXIT_FAILURE = 1;

/** The `node` package's binary in this project's node_modules, or in those that hold this project. */
function findBundledNode() {
  for (let folder = dirname(dirname(fileURLToPath(import.meta.url))); ; folder = dirname(folder)) {
    const binary = join(folder, 'node_modules', 'node', 'bin', 'node');
    if (existsSync(binary)) return binary;
    if (folder === dirname(folder)) return null;
  }
}

/**
 * Runs this file again on another Node; ends as that one ends. That one holds the other end of a pipe (cli/main.ts): where
 * this process is killed, it ends too, as if the two were one.
 */
function runOn(binary) {
  const child = spawn(binary, process.argv.slice(1), {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, SECATEUR_LAUNCHER_FD: '3' },
  });
  // Nothing is sent: a command that ends closes its end first.
  child.stdio[3].on('error', () => undefined);
  // The terminal sends these to the whole group of processes: the child has them already, and decides.
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('error', (error) => {
    process.stderr.write(
      `error: cannot start ${binary}: ${error.message}. Install the dependencies again. [Internal]\n`,
    );
    process.exit(EXIT_FAILURE);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? EXIT_FAILURE);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
    // A signal that does not end this process (it was blocked, say) still has its conventional exit code.
    setTimeout(() => process.exit(128 + constants.signals[signal]), 100);
  });
}

const major = Number(process.versions.node.split('.')[0]);
const bundled = major >= NODE_MAJOR_MIN ? null : findBundledNode();
if (major >= NODE_MAJOR_MIN) {
  await import('./main.ts');
} else if (bundled !== null && bundled !== process.execPath) {
  runOn(bundled);
} else {
  process.stderr.write(
    `error: secateur needs Node ${NODE_MAJOR_MIN} or newer; this is Node ${process.versions.node} (${process.execPath}). ` +
      'Run "npm install" in the project (with install scripts: not --ignore-scripts), which brings one, or install a newer Node.\n',
  );
  process.exit(EXIT_FAILURE);
}
