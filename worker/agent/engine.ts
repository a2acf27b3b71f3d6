/** The engine as the agent sees it, whatever stands behind it: a child process, or a simulation. */
import type { Task__Output } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import type { FromEngine } from '../engine/messages.ts';

export interface EngineListener {
  message(message: FromEngine): void;
  /** The engine is gone; `why` holds what ended it and its last words. */
  ended(why: string): void;
}

export interface EngineReady {
  readonly provider: 'cpu' | 'cuda';
  readonly engineVersion: string;
}

export interface Engine {
  readonly ready: Promise<EngineReady>;
  readonly processId: number | undefined;
  run(task: Task__Output): void;
  /** The worker is about to leave: a pass stops after the microbatch that it is at, and brings what it has. */
  yield(): void;
  /** Ends it at once, and whatever it is computing with it. */
  kill(): void;
}

export type StartEngine = (listener: EngineListener) => Engine;
