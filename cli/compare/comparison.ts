/**
 * What a comparison found, as `compare.json` has it: put together from what the jobs told. Pure.
 */
import { evaluationLocations } from '../../coordinator/core/evaluation.ts';
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import type { Job__Output } from '../../shared/rpc/generated/secateur/v1/Job.ts';
import { eventName } from '../render/event-line.ts';
import { shareOf, showAmount, type Trial } from './trials.ts';

const COMPARISON_FORMAT = 'secateur.comparison/v1';

export interface TextFigure {
  /** Its location, as the manifest has it. */
  readonly text: string;
  readonly perplexity: number;
}

export interface TrialResult {
  readonly name: string;
  readonly method: string;
  /** `50 %`, `2:4` */
  readonly amount: string;
  /** Share of the weights that were asked to go. */
  readonly share: number;
  /** Null where it never began. */
  readonly job: string | null;
  /** Of each text, in the order of the manifest. Empty where the job came to no end. */
  readonly perplexity: readonly TextFigure[];
  /** Share of the weights of pruned tensors that are zero. */
  readonly sparsity: number | null;
  /** Choosing weights and writing them, added up over the layers. */
  readonly pruneMs: number | null;
  /** From the job's start to its end. */
  readonly totalMs: number | null;
  readonly failure: { readonly code: string; readonly message: string } | null;
}

export interface Comparison {
  readonly format: typeof COMPARISON_FORMAT;
  readonly name: string;
  readonly source: string;
  readonly destination: string;
  readonly propagate: string;
  /** Perplexity of the model as it came. */
  readonly dense: readonly TextFigure[];
  readonly trials: readonly TrialResult[];
  /** Trials that have not ended yet. */
  readonly missing: readonly string[];
}

/**
 * @param manifest what is compared; its texts and destination are those of all trials
 * @param found what is known so far of each trial, by its name
 */
export function compareTrials(
  manifest: Manifest,
  trials: readonly Trial[],
  found: ReadonlyMap<string, TrialFigures>,
): Comparison {
  const known = trials.flatMap((trial) => {
    const figures = found.get(trial.name);
    return figures === undefined ? [] : [{ trial, figures }];
  });
  const { metadata, spec } = manifest;
  const texts = evaluationLocations(manifest);
  return {
    format: COMPARISON_FORMAT,
    name: metadata.name,
    source: spec.model.source,
    destination: spec.output.destination,
    propagate: spec.pruning.propagate,
    dense: known.map(({ figures }) => figures.dense(texts)).find((dense) => dense.length > 0) ?? [],
    trials: known.map(({ trial, figures }) => figures.resultOf(trial, texts)),
    missing: trials.filter(({ name }) => !found.has(name)).map(({ name }) => name),
  };
}

/** Perplexity over that of the dense model, of one text; null where either is not known. */
export function ratioOf(comparison: Comparison, { perplexity }: TrialResult, text: string): number | null {
  const dense = comparison.dense.find((each) => each.text === text);
  const pruned = perplexity.find((each) => each.text === text);
  return dense === undefined || pruned === undefined ? null : pruned.perplexity / dense.perplexity;
}

/** Whether no other trial of the same amount has a lower perplexity on this text; false where it has no rival. */
export function isBest(comparison: Comparison, { amount, perplexity }: TrialResult, text: string): boolean {
  const of = (figures: readonly TextFigure[]) => figures.find((each) => each.text === text)?.perplexity;
  const own = of(perplexity);
  const rivals = comparison.trials
    .filter((each) => each.amount === amount)
    .flatMap((each) => of(each.perplexity) ?? []);
  return own !== undefined && rivals.length > 1 && rivals.every((rival) => own <= rival);
}

/** What one job told of itself, event by event; also over its resumptions: what is told again counts as told last. */
export class TrialFigures {
  private readonly measured = { dense: new Map<string, number>(), pruned: new Map<string, number>() };
  private readonly layers = new Map<number, { weights: number; zeros: number; pruneMs: number }>();
  private readonly surveyMs = new Map<number, number>();
  private elapsedMs: number | null = null;
  private job: string | null = null;
  private failure: TrialResult['failure'] = null;

  /** Of a job that could not be begun. */
  static refused(code: string, message: string): TrialFigures {
    const figures = new TrialFigures();
    figures.failure = { code, message };
    return figures;
  }

  take(event: CloudEvent): void {
    const { data } = event;
    switch (eventName(event)) {
      case 'evaluation.measured':
        this.measured[data.model === 'dense' ? 'dense' : 'pruned'].set(
          String(data.text),
          perplexityOf(data.perplexity),
        );
        return;
      case 'job.reused':
        for (const { text, perplexity } of (data.dense ?? []) as unknown as TextFigure[])
          this.measured.dense.set(text, perplexityOf(perplexity));
        return;
      case 'layer.surveyed':
        this.surveyMs.set(Number(data.layer), Number(data.computeMs));
        return;
      case 'layer.committed': {
        const [weights, zeros, pruneMs] = [Number(data.weights), Number(data.zeros), Number(data.pruneMs)];
        this.layers.set(Number(data.layer), { weights, zeros, pruneMs });
        return;
      }
      case 'job.succeeded':
        this.elapsedMs = Number(data.elapsedMs);
        return;
    }
  }

  end({ id, phase, message, failure }: Pick<Job__Output, 'id' | 'phase' | 'message' | 'failure'>): void {
    this.job = id;
    if (phase === 'Succeeded') return;
    this.failure = { code: failure?.code ?? phase, message: failure?.message ?? message };
  }

  /** The job, where it succeeded. */
  get succeeded(): string | null {
    return this.failure === null ? this.job : null;
  }

  /** Of those of `texts` that are measured, in their order. */
  dense(texts: readonly string[]): TextFigure[] {
    return inOrder(texts, this.measured.dense);
  }

  resultOf({ name, method, amount }: Trial, texts: readonly string[]): TrialResult {
    const layers = [...this.layers.values()];
    const total = (of: 'weights' | 'zeros' | 'pruneMs'): number => layers.reduce((sum, layer) => sum + layer[of], 0);
    const isWhole = this.failure === null;
    return {
      name,
      method,
      amount: showAmount(amount),
      share: shareOf(amount),
      job: this.job,
      perplexity: isWhole ? inOrder(texts, this.measured.pruned) : [],
      sparsity: isWhole && total('weights') > 0 ? total('zeros') / total('weights') : null,
      pruneMs: isWhole ? [...this.surveyMs.values()].reduce((sum, ms) => sum + ms, total('pruneMs')) : null,
      totalMs: isWhole ? this.elapsedMs : null,
      failure: this.failure,
    };
  }
}

function inOrder(texts: readonly string[], measured: ReadonlyMap<string, number>): TextFigure[] {
  return texts.flatMap((text) => {
    const perplexity = measured.get(text);
    return perplexity === undefined ? [] : [{ text, perplexity }];
  });
}

/** JSON has no infinity: events have null in its place. */
function perplexityOf(value: unknown): number {
  return typeof value === 'number' ? value : Number.POSITIVE_INFINITY;
}
