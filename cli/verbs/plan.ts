/** `secateur plan MANIFEST`: reads the inputs and says what a job would do. Nothing is written. */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import type { Plan } from '../../coordinator/core/state.ts';
import { EXIT, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { locationToPath } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { Connection } from '../connection.ts';
import { loadManifest } from '../load-manifest.ts';
import {
  type CoordinatorOptions,
  DEFAULT_COORDINATOR,
  type EndVerb,
  type OutputOptions,
  wholeNumber,
  withCoordinator,
  withOutput,
  withSet,
} from '../options.ts';
import { type PlanAnswer, planView, renderPlan } from '../plan-view.ts';
import { printData } from '../render/output.ts';

interface PlanOptions extends CoordinatorOptions, OutputOptions {
  readonly set: readonly string[];
  readonly local?: true;
  readonly workers: number;
}

export function addPlan(program: Command, end: EndVerb): void {
  const command = program
    .command('plan')
    .summary('say what a job would do, without doing it')
    .description(
      'Reads the inputs and says what a job would do. Asks the coordinator where one is named, else reads them here.',
    )
    .argument('<manifest>', 'YAML file')
    .option('--local', 'read the inputs here, even where a coordinator is named')
    .option('--workers <n>', 'workers to plan for, when planned here', wholeNumber(1), 2);
  withOutput(withSet(withCoordinator(command))).action(async (file: string, options: PlanOptions) => {
    const manifest = await loadManifest(file, options.set);
    const isLocal = options.local === true || options.coordinator === undefined;
    const view = planView(isLocal ? await planHere(manifest, options.workers) : await planThere(manifest, options));
    printData(options.output, view, () => renderPlan(view));
    end(EXIT.ok);
  });
}

async function planThere(manifest: Manifest, options: CoordinatorOptions): Promise<PlanAnswer> {
  using connection = new Connection(options.coordinator ?? DEFAULT_COORDINATOR);
  return JSON.parse(await connection.plan(manifest)) as PlanAnswer;
}

async function planHere(manifest: Manifest, workerCount: number): Promise<PlanAnswer> {
  const [{ planJob }, { readIntake }, { checkOutputIsFree }, { jobPaths }] = await Promise.all([
    import('../../coordinator/core/plan.ts'),
    import('../../coordinator/effects/read-intake.ts'),
    import('../../coordinator/effects/claim-output.ts'),
    import('../../coordinator/effects/job-paths.ts'),
  ]);
  const intake = await readIntake(manifest);
  await checkOutputIsFree(jobPaths('', 'plan', intake.outputDirectory), null);
  const plan = await withTokenShape(manifest, planJob(manifest, intake, workerCount));
  const workers = Array.from({ length: workerCount }, (_, index) => `worker-${index + 1}`);
  return { plan, intake, workers, freeBytes: await freeBytesAt(intake.outputDirectory) };
}

/** Given token ids bring their own shape: [samples, sequenceLength]. */
async function withTokenShape(manifest: Manifest, plan: Plan): Promise<Plan> {
  const { calibration } = manifest.spec;
  if ('text' in calibration) return plan;
  const { tensors } = await readSafetensorsHeader(locationToPath(calibration.tokens));
  const shape = [...tensors.values()].find((tensor) => tensor.shape.length === 2)?.shape;
  if (shape === undefined) return plan;
  const [samples = 0, sequenceLength = 0] = shape;
  return { ...plan, samples: Math.min(samples, calibration.samples ?? samples), sequenceLength };
}

/** On the file system that a folder is, or will be, on. */
async function freeBytesAt(directory: string): Promise<number> {
  for (let path = directory; ; path = dirname(path)) {
    try {
      const found = await statfs(path);
      return found.bavail * found.bsize;
    } catch (thrown) {
      if (path === dirname(path)) throw toSecateurError(thrown);
    }
  }
}
