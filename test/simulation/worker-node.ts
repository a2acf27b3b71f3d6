/** One worker: the real agent, and a simulated engine. It is started again when it ends, as a fleet or a unit would. */
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import type { TaskIdentity__Output } from '../../shared/rpc/generated/secateur/v1/TaskIdentity.ts';
import { Agent } from '../../worker/agent/agent.ts';
import { type EngineSettings, SimulatedEngine } from './compute.ts';
import type { Breakage } from './mutants.ts';
import type { SimulatedNetwork } from './network.ts';
import { SimulatedProcess, type SimulatedTime } from './time.ts';

export interface WorkerSettings
  extends Pick<EngineSettings, 'shared' | 'sampleMs' | 'engineVersion' | 'isPoisoned' | 'guesses' | 'looksAtNoDigest'> {
  readonly time: SimulatedTime;
  readonly network: SimulatedNetwork;
  readonly random: () => number;
  readonly heard: Breakage['heard'];
  readonly trace: (text: string) => void;
}

export class SimulatedWorker {
  readonly name: string;
  process: SimulatedProcess;
  agent: Agent | null = null;
  engine: SimulatedEngine | null = null;
  /** It drained, and is not started again by itself. */
  hasLeft = false;
  readonly settings: WorkerSettings;
  private incarnation = 0;

  constructor(name: string, settings: WorkerSettings) {
    this.name = name;
    this.settings = settings;
    this.process = new SimulatedProcess(settings.time, name);
    this.process.kill();
  }

  start(): void {
    if (this.process.isAlive) return;
    const { time, network, random, heard, trace } = this.settings;
    this.incarnation += 1;
    this.hasLeft = false;
    const process = new SimulatedProcess(time, this.name);
    this.process = process;
    const agent = new Agent({
      worker: this.name,
      incarnation: String(this.incarnation),
      threads: 1,
      host: { name: this.name, processId: this.incarnation, memoryBytes: 1e9, residentBytes: () => 1e6 },
      startEngine: (listener) => {
        this.engine = new SimulatedEngine({ ...this.settings, agent: process }, this.incarnation, listener);
        return this.engine;
      },
      transport: network.transport(process, this.name, heard),
      removeCache: async () => undefined,
      timers: process.timers,
      random,
      log: (level, message) => trace(`${level} ${message}`),
    });
    this.agent = agent;
    agent.serve().then(
      () => {
        trace('has left');
        this.hasLeft = true;
        process.kill();
      },
      (thrown: unknown) => {
        trace(`ended: ${toSecateurError(thrown).message}`);
        process.kill();
      },
    );
  }

  isComputing(identity: Pick<TaskIdentity__Output, 'task' | 'attempt' | 'epoch'>): boolean {
    const task = this.engine?.process.isAlive ? this.engine.task?.identity : null;
    return task?.task === identity.task && task.attempt === identity.attempt && task.epoch === identity.epoch;
  }
}
