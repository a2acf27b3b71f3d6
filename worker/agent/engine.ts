/** The engine as the agent sees it, whatever stands behind it: a child process, or a simulation. */
import type { Task__Output } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import type { EngineReady, FromEngine } from '../engine/messages.ts';

export interface EngineListener {
  message(message: FromEngine): void;
  /** The engine is gone; `why` holds what ended it and its last words. */
  ended(why: string): void;
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

/** `measure`: whether to measure the machine before saying that it is ready; a worker's first engine does. */
export type StartEngine = (listener: EngineListener, options: { readonly measure: boolean }) => Engine;
