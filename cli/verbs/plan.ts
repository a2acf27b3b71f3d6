/** `secateur plan MANIFEST`: reads the inputs and says what a job would do. Nothing is written. */
import type { Command } from 'commander';
import type { PlanPreview } from '../../coordinator/effects/preview-plan.ts';
import { EXIT } from '../../shared/errors/secateur-error.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { Connection } from '../connection.ts';
import { withManifest } from '../load-manifest.ts';
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
import { planView } from '../plan-view.ts';
import { printData } from '../render/output.ts';
import { renderPlan } from '../render/plan-text.ts';

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
    const isLocal = options.local === true || options.coordinator === undefined;
    const preview = await withManifest(file, options.set, (manifest) =>
      isLocal ? planHere(manifest, options.workers) : planThere(manifest, options),
    );
    const view = planView(preview, isLocal ? 'measured here' : 'measured by the workers when they started');
    printData(options.output, view, () => renderPlan(view));
    end(EXIT.ok);
  });
}

/** Planned here, nobody is asked about jobs. */
const NO_JOBS = (): undefined => undefined;

async function planThere(manifest: Manifest, options: CoordinatorOptions): Promise<PlanPreview> {
  using connection = new Connection(options.coordinator ?? DEFAULT_COORDINATOR);
  return JSON.parse(await connection.plan(manifest)) as PlanPreview;
}

/** Loaded only here: most verbs start faster without the code of coordinator and worker. */
async function planHere(manifest: Manifest, workerCount: number): Promise<PlanPreview> {
  const { previewPlan } = await import('../../coordinator/effects/preview-plan.ts');
  const { measureHere } = await import('../measure-here.ts');
  // For their errors: what cannot be planned is told before anything is measured.
  await previewPlan(manifest, [], NO_JOBS);
  return previewPlan(manifest, await measureHere(workerCount), NO_JOBS);
}
