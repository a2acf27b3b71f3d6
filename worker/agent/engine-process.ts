/** The engine as a child process: started when needed, and its death is an answer. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { Task__Output } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import { ENGINE_ENVIRONMENT } from '../engine/environment.ts';
import type { EngineOptions, EngineReady, FromEngine, ToEngine } from '../engine/messages.ts';
import type { Engine, EngineListener } from './engine.ts';

const ENGINE_MAIN = fileURLToPath(new URL('../engine/main.ts', import.meta.url));
/** What of the engine's standard error is kept as its last words. */
const LAST_WORDS_BYTES = 8 * 1024;
const START_TIMEOUT_MS = 60_000;

export class EngineProcess implements Engine {
  readonly ready: Promise<EngineReady>;
  private readonly child: ChildProcess;
  private lastWords = '';

  constructor(options: EngineOptions, listener: EngineListener) {
    this.child = fork(ENGINE_MAIN, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, ...ENGINE_ENVIRONMENT },
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.lastWords = (this.lastWords + text).slice(-LAST_WORDS_BYTES);
      listener.message({ type: 'log', level: 'warn', message: text.trimEnd() });
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      listener.message({ type: 'log', level: 'info', message: text.trimEnd() });
    });
    this.child.on('message', (message: FromEngine) => listener.message(message));
    this.ready = this.waitUntilReady(listener);
    // Whoever runs a task waits for it; nobody else needs to know.
    this.ready.catch(() => undefined);
    this.send({ type: 'start', options });
  }

  get processId(): number | undefined {
    return this.child.pid;
  }

  run(task: Task__Output): void {
    this.send({ type: 'run', task });
  }

  yield(): void {
    this.send({ type: 'yield' });
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }

  private send(message: ToEngine): void {
    // A channel that is closed means a process that has ended, which `ended` tells.
    this.child.send(message, () => undefined);
  }

  private waitUntilReady(listener: EngineListener): Promise<EngineReady> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.kill(), START_TIMEOUT_MS);
      this.child.on('message', (message: FromEngine) => {
        if (message.type !== 'ready') return;
        clearTimeout(timer);
        const { provider, engineVersion, figures } = message;
        resolve({ provider, engineVersion, figures });
      });
      const end = (how: string, isKilled: boolean): void => {
        clearTimeout(timer);
        const words = this.lastWords.trim();
        const why = words === '' ? how : `${how}; its last words: ${words}`;
        // Ended from outside (memory, most often) it may start the next time; ended by itself it will not.
        reject(
          new SecateurError(
            isKilled ? 'EngineCrashed' : 'ProviderUnavailable',
            `the engine process did not start: ${why}`,
          ),
        );
        listener.ended(why);
      };
      // 'close' comes after the pipes are drained, so that the last words are complete.
      this.child.on('close', (code, signal) =>
        end(signal === null ? `it exited with code ${code}` : `it was ended by ${signal}`, signal !== null),
      );
      this.child.on('error', (error) => end(error.message, false));
    });
  }
}
