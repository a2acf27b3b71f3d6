/**
 * Places where a test lets a process die or stand still, or lets a write fail. Off unless the environment says otherwise; nothing but
 * tests ever sets it.
 *
 *   SECATEUR_FAILPOINT=<name>[:<n>][=<how>][,…]         the nth time (the first, by default) that this process gets there
 *                                                       it ends by SIGKILL; with ENOSPC or EIO the errno is thrown; with
 *                                                       EXIT it says so on standard error and ends, as native code that
 *                                                       gives up does
 *   SECATEUR_FAILPOINT_FOLDER=<folder>                  for processes that are running already: a file named
 *                                                       <name>[=ENOSPC|=EIO|=PAUSE] fires once, in whichever process
 *                                                       gets there first, and becomes <file>.fired: when, and in which
 *                                                       one; after PAUSE, that one stands still while <file>.fired is
 *                                                       there: time for the test to let somebody else die
 *   SECATEUR_SLOW_MS=<n>                                a pause after every microbatch, so that a kill from outside finds
 *                                                       the work half done
 *   SECATEUR_COMPACT_BYTES=<n>                          the journal is compacted so early that a test gets there
 *
 * The settings are read once, when the process starts; a name that is none of these is an error at once. The state is the
 * process's own, as the environment is: what writes files deep down has nobody to be handed it by.
 */
import { existsSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SecateurError } from './errors/secateur-error.ts';
import { nearestName } from './manifest/nearest-name.ts';

/** Every failpoint: which process comes past it (storage: any that writes), and where it then stands. */
export const FAILPOINTS = {
  'coordinator.output-unclaimed': 'the staging folder is made, the claim on it is not taken yet',
  'coordinator.output-claimed': 'the claim is taken, intake is not in the journal',
  'coordinator.journal-unwritten': 'events were taken, nothing of them is in the journal',
  'coordinator.journal-unsynced': 'the line is written, not synced',
  'coordinator.journal-synced': 'the line is durable, nobody was told',
  'coordinator.journal-superseded': 'events stand in files of their own, the compacted journal is not begun',
  'coordinator.journal-compacted': 'the compacted journal is durable beside the old one',
  'coordinator.journal-replaced': 'the compacted journal has taken its place, the folder is not synced',
  'coordinator.samples-unsynced': 'the statistics of a pass are written, not synced',
  'coordinator.samples-stored': 'the statistics of a pass are durable, its result is not in the journal',
  'coordinator.sums-reduced': 'the sums of a layer are durable, not in the journal',
  'coordinator.samples-dropped': 'the samples of a layer whose sums are in the journal are removed',
  'coordinator.result-journaled': 'a result is in the journal, its worker does not know',
  'coordinator.upload-received-part': 'in the middle of a file that a worker uploads',
  'coordinator.upload-received': 'an uploaded file is whole, not yet in its place',
  'coordinator.shard-copied-part': 'in the middle of writing an output shard',
  'coordinator.shard-copied': 'an output shard is durable, not renamed',
  'coordinator.shard-renamed': 'an output shard has its name, the folder is not synced',
  'coordinator.shard-linked': 'an output shard that is a committed layer has its second name, the folder is not synced',
  'coordinator.shard-assembled': 'an output shard is durable under its name, not in the journal',
  'coordinator.publish-prepared': 'every file to publish is written, the list of them is not',
  'coordinator.publish-listed': 'the list of files to publish is durable, nothing is moved',
  'coordinator.publish-moved': 'one more file is in its place',
  'coordinator.publish-unindexed': 'every file but the one that makes the checkpoint loadable is in its place, durable',
  'coordinator.publish-indexed': 'every file is in its place, durable; the claim is still there',
  'coordinator.publish-unclaimed': 'the claim is gone, the staging folder is still there',
  'coordinator.publish-cleared': 'the staging folder is gone, nothing of it is in the journal',
  'coordinator.event-unpublished': 'an event is about to be offered to NATS',
  'coordinator.event-sent': 'an event is handed to the connection, NATS has not acknowledged it',
  'coordinator.event-published': 'NATS acknowledged an event, the cursor does not know',
  'coordinator.cursor-unwritten': 'the cursor file is to be replaced, nothing of the new one is written',
  'coordinator.cursor-unrenamed': "the outbox's new cursor file is durable beside the old one",
  'coordinator.cursor-written': "the outbox's cursor file is replaced",

  'storage.atomic-unsynced': 'a file that appears whole is written under its temporary name, not synced',
  'storage.atomic-synced': 'it is durable under its temporary name',
  'storage.atomic-renamed': 'it has its name, the folder is not synced',
  'storage.atomic-durable': 'it is durable under its name',
  'storage.staged-unsynced': 'a file for the staging folder is written under its temporary name, not synced',
  'storage.staged-synced': 'it is durable under its temporary name',
  'storage.staged-renamed': 'it has its name, the folders are not synced',
  'storage.staged-durable': 'it is durable under its name',

  'agent.task-received': 'a task came, the engine does not have it',
  'agent.result-made': 'the engine has ended a task, its result is not sent',
  'agent.result-sent': 'the result is handed to the stream',
  'agent.result-acknowledged': 'the coordinator has the result in its journal, the agent has not forgotten it',

  'engine.task-begun': 'the engine has a task and has done nothing for it',
  'engine.pass-microbatch': 'one more microbatch of a pass is computed',
  'engine.pass-computed': 'every microbatch of a pass is computed, nothing is told',
  'engine.snapshot-written': 'one more file of hidden states is in its place',
  'engine.hand-over-written': 'a worker that leaves has written one more file of what it holds, nothing is told',
  'engine.linear-pruned': 'one more linear of a layer is in its temporary file',
  'engine.layer-written': 'a pruned layer is durable in its temporary file',
  'engine.layer-committed': 'a pruned layer is in its place, nothing is told',
  'engine.upload-sent-part': 'in the middle of a file that is uploaded',
} as const satisfies Record<string, string>;

export type FailpointName = keyof typeof FAILPOINTS;

const ERRNOS = { ENOSPC: 'no space left on device', EIO: 'i/o error' } as const;
type Errno = keyof typeof ERRNOS;
/** What happens where a failpoint of the folder fires; null: the process dies. */
export type FailpointAction = Errno | 'PAUSE' | null;
const ACTIONS: readonly FailpointAction[] = [null, 'PAUSE', ...(Object.keys(ERRNOS) as Errno[])];
const LOOK_AGAIN_MS = 5;

/** What a setting may ask for; null: an end without a word. */
type How = Errno | 'EXIT' | null;
const EXIT_CODE = 70;

interface Setting {
  remaining: number;
  readonly how: How;
}

/** The two ways in which a process ends here. */
export interface Deaths {
  /** At once, without a word. */
  die(): void;
  dieSaying(words: string): void;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What one process was told. */
export class Failpoints {
  private readonly settings: ReadonlyMap<FailpointName, Setting>;
  private readonly folder: string | null;
  private readonly deaths: Deaths;

  /** @throws ArgumentInvalid for a setting that could never fire */
  constructor(environment: Environment, deaths: Deaths) {
    this.settings = parseSettings(environment.SECATEUR_FAILPOINT ?? '');
    this.folder = environment.SECATEUR_FAILPOINT_FOLDER ?? null;
    this.deaths = deaths;
  }

  reach(name: FailpointName): void {
    const setting = this.settings.get(name);
    if (setting !== undefined) {
      setting.remaining -= 1;
      if (setting.remaining === 0) this.fire(name, setting.how);
    }
    if (this.folder === null) return;
    for (const action of ACTIONS) {
      const path = join(this.folder, failpointFile(name, action));
      if (!takeArmed(path)) continue;
      if (action === 'PAUSE') standStill(`${path}.fired`);
      else this.fire(name, action);
    }
  }

  private fire(name: FailpointName, how: How): void {
    if (how === null) return this.deaths.die();
    if (how === 'EXIT') return this.deaths.dieSaying(`gave up at the failpoint ${name}`);
    throw Object.assign(new Error(`${how}: ${ERRNOS[how]}, at the failpoint ${name}`), { code: how });
  }
}

/** The name of the file that arms a failpoint. */
export function failpointFile(name: FailpointName, action: FailpointAction): string {
  return action === null ? name : `${name}=${action}`;
}

/** The whole process, as a SIGSTOP at this very place: nothing else of it goes on either. */
function standStill(whilePath: string): void {
  const never = new Int32Array(new SharedArrayBuffer(4));
  while (existsSync(whilePath)) Atomics.wait(never, 0, 0, LOOK_AGAIN_MS);
}

/** The rename decides: of several processes that come past, one fires. */
function takeArmed(path: string): boolean {
  try {
    renameSync(path, `${path}.fired`);
  } catch {
    return false; // Not armed, or another process was first.
  }
  writeFileSync(`${path}.fired`, JSON.stringify({ atMs: Date.now(), processId: process.pid }));
  return true;
}

function parseSettings(text: string): Map<FailpointName, Setting> {
  const settings = new Map<FailpointName, Setting>();
  for (const part of text.split(',').filter((each) => each !== '')) {
    const match = /^([a-z.-]+)(?::([1-9][0-9]*))?(?:=([A-Z]+))?$/.exec(part);
    const [, name = part, count = '1', how = null] = match ?? [];
    if (match === null || !Object.hasOwn(FAILPOINTS, name)) throw unknownSetting(part, name);
    if (how !== null && how !== 'EXIT' && !Object.hasOwn(ERRNOS, how)) throw unknownSetting(part, name);
    settings.set(name as FailpointName, { remaining: Number(count), how: how as How });
  }
  return settings;
}

function unknownSetting(part: string, name: string): SecateurError {
  const nearest = nearestName(name, Object.keys(FAILPOINTS));
  const hint = nearest === undefined || nearest === name ? '' : ` Did you mean ${nearest}?`;
  return new SecateurError(
    'ArgumentInvalid',
    `SECATEUR_FAILPOINT: expected <name>[:<n>][=${Object.keys(ERRNOS).join('|')}|EXIT] with a name of shared/failpoint.ts; found ${part}.${hint}`,
    { details: { setting: part } },
  );
}

const ofProcess = new Failpoints(process.env, {
  die: () => process.kill(process.pid, 'SIGKILL'),
  dieSaying: (words) => {
    writeSync(process.stderr.fd, `${words}\n`);
    process.exit(EXIT_CODE);
  },
});
const slowMs = Number(process.env.SECATEUR_SLOW_MS ?? 0);

/** @throws the errno that a setting asks for, as the system call before it might have */
export function reach(name: FailpointName): void {
  ofProcess.reach(name);
}

/** Undefined: as it is for everybody. */
export const compactAtBytes =
  process.env.SECATEUR_COMPACT_BYTES === undefined ? undefined : Number(process.env.SECATEUR_COMPACT_BYTES);

export async function slowDown(): Promise<void> {
  if (slowMs > 0) await sleep(slowMs);
}
