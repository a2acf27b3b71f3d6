/** One process of the coordinator: the real parts, wired as coordinator/main.ts wires them, on simulated surroundings. */
import { JobsService } from '../../coordinator/api/jobs-service.ts';
import { ProgressTracker } from '../../coordinator/api/progress.ts';
import type { WorkerStream } from '../../coordinator/api/worker-stream.ts';
import { WorkersService } from '../../coordinator/api/workers-service.ts';
import { Effects } from '../../coordinator/effects/command-runner.ts';
import { Journal } from '../../coordinator/journal/journal.ts';
import type { JobLogs } from '../../coordinator/logs/job-logs.ts';
import { LogFollower } from '../../coordinator/logs/log-follower.ts';
import { CoordinatorLoop } from '../../coordinator/loop.ts';
import { EventLog } from '../../coordinator/outbox/event-log.ts';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { between } from './between.ts';
import type { SimulatedDisk } from './disk.ts';
import type { Invariants } from './invariants.ts';
import { type ModelOptions, STATE } from './model.ts';
import type { Breakage } from './mutants.ts';
import type { SimulatedNetwork } from './network.ts';
import type { SimulatedProcess } from './time.ts';
import { SimulatedWork } from './work.ts';

/** Small, so that compaction and spilling are part of every life. */
const BOUNDS = { bytes: 16 * 1024, records: 60 };
const WINDOW_BYTES_MAX = 8 * 1024;

export interface CoordinatorSettings {
  readonly process: SimulatedProcess;
  readonly local: SimulatedDisk;
  readonly shared: SimulatedDisk;
  readonly network: SimulatedNetwork;
  readonly model: ModelOptions;
  readonly invariants: Invariants;
  readonly breakage: Breakage;
  readonly trace: (text: string) => void;
}

/** Started: what it is made of. */
export class SimulatedCoordinator {
  readonly process: SimulatedProcess;
  readonly loop: CoordinatorLoop;
  readonly jobs: JobsService;

  constructor(process: SimulatedProcess, loop: CoordinatorLoop, jobs: JobsService) {
    this.process = process;
    this.loop = loop;
    this.jobs = jobs;
  }

  /** @throws StateLocked, and whatever the disk answers: then the process has ended */
  static async start(settings: CoordinatorSettings): Promise<SimulatedCoordinator> {
    const { process, trace } = settings;
    try {
      return await boot(settings);
    } catch (thrown) {
      trace(`does not start: ${toSecateurError(thrown).message}`);
      process.kill();
      throw thrown;
    }
  }
}

async function boot(settings: CoordinatorSettings): Promise<SimulatedCoordinator> {
  const { process, local, shared, network, model, invariants, breakage, trace } = settings;
  const { timers } = process;
  if (!breakage.ignoresLock && !local.tryLock(STATE, process)) {
    throw new SecateurError('StateLocked', 'another coordinator has this state');
  }
  const disk = breakage.disk(local.of(process));
  const nowMs = timers.now();
  const journal = await Journal.open({ disk, directory: STATE, nowMs, newId: () => 'simulated', bounds: BOUNDS });
  const events = new EventLog({ disk, stateDirectory: STATE, windowBytesMax: WINDOW_BYTES_MAX });
  const warn = (error: SecateurError): void => trace(`warn ${error.message}`);
  const loop = new CoordinatorLoop({ journal, events, timers, warn });
  const submit = loop.submit.bind(loop);
  loop.submit = (event) => {
    const taken = submit(breakage.event(event, loop.state));
    taken.then(
      () => invariants.stepped(loop.state),
      () => undefined,
    );
    return taken;
  };
  const work = new SimulatedWork({ process, local, shared, model, breakage });
  const progress = new ProgressTracker();
  const log = (level: string, message: string): void => trace(`${level} ${message}`);
  const logs = { append: async () => true, lastSequence: async () => 0, read: noLines, follow: noFollower };
  const workers = new WorkersService({
    loop,
    logs,
    progress,
    statistics: work,
    checkStaged: async (asked, outcome) => work.checkStaged(asked, outcome),
    coordinatorId: loop.coordinatorId,
    timers,
    log,
  });
  const effects = new Effects(loop, work, workers, (thrown) => trace(`error ${toSecateurError(thrown).message}`));
  await loop.start(
    {
      run: (command) => {
        invariants.commanded(command, loop.state);
        effects.run(command);
      },
    },
    (thrown) => {
      trace(`its journal cannot be written: ${toSecateurError(thrown).message}`);
      process.kill();
    },
  );
  const jobs = new JobsService({ loop, events, logs, progress, workers, timers });
  network.listen(process, (stream) => workers.attach(breakage.stream(watched(stream, loop, invariants), loop)));
  trace(`serves, epoch ${loop.state.epoch}`);
  return new SimulatedCoordinator(process, loop, jobs);
}

/** Lines of logs go to the trace of the simulation instead. */
async function* noLines(): AsyncGenerator<never> {}

function noFollower(): ReturnType<JobLogs['follow']> {
  return { follower: new LogFollower(), end: () => undefined };
}

/** What is acknowledged must be in the journal: `loop.state` is what the journal holds. */
function watched(stream: WorkerStream, loop: CoordinatorLoop, invariants: Invariants): WorkerStream {
  return between(stream, {
    write: (message) => {
      if (message.acknowledge) invariants.acknowledged(message.acknowledge, loop.state);
      return stream.write(message);
    },
  });
}
