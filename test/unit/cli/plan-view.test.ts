/** A plan as a person reads it: what is chosen and why, what it takes, who does what, and what to beware of. */
import { describe, expect, it } from 'vitest';
import { planView } from '../../../cli/plan-view.ts';
import { renderPlan } from '../../../cli/render/plan-text.ts';
import type { PlannedWorker } from '../../../coordinator/core/worker-rates.ts';
import { type PlanPreview, toPreview } from '../../../coordinator/effects/preview-plan.ts';
import type { Manifest } from '../../../shared/manifest/schema.ts';
import { fakeIntake, fakeManifest } from '../../simulation/cluster.ts';
import { A100, plannedWorkers } from '../coordinator/planned-workers.ts';

interface Asked {
  readonly stages?: number | 'auto';
  readonly replicas?: number | 'auto';
  readonly propagate?: 'pruned' | 'dense';
  readonly samples?: number;
}

function preview(
  asked: Asked,
  workers: readonly PlannedWorker[],
  freeBytes = 1e12,
  problem: string | null = null,
): PlanPreview {
  const { stages = 'auto', replicas = 'auto', propagate = 'pruned', samples = 4096 } = asked;
  const { spec, ...rest } = fakeManifest({ propagate, stages });
  const manifest: Manifest = {
    ...rest,
    spec: {
      ...spec,
      calibration: { text: ['a.txt'], samples, sequenceLength: 512, seed: 0, microbatch: 'auto' },
      placement: { stages, replicas, snapshotInterval: 'auto' },
    },
  };
  const intake = fakeIntake(6);
  return toPreview(manifest, intake, workers, { freeBytes, problem });
}

const text = (asked: Asked, workers = plannedWorkers(4)): string =>
  renderPlan(planView(preview(asked, workers), 'measured here'));

describe('a plan', () => {
  it('says what is chosen, how long it takes and of what, and where the figures come from', () => {
    const shown = text({});
    expect(shown).toMatch(/^placement +1 stage x 4 replicas, propagate: pruned; no snapshots$/m);
    expect(shown).toMatch(/^time +about \d.*: compute .*overhead /m);
    expect(shown).toMatch(/^figures +measured here$/m);
    expect(shown).toMatch(/^memory +about .* a worker$/m);
  });

  it('on a device says what a microbatch takes of it, and what happens where that is too much', () => {
    const on = (deviceMemoryBytes: number): string => text({}, plannedWorkers(1, { ...A100, deviceMemoryBytes }));
    expect(on(80e9)).toMatch(/^memory +about .* a worker, and .* of its device$/m);
    expect(on(80e9)).toMatch(/^WORKER .*NEEDS +DEVICE +DEVICE NEEDS/m);
    expect(text({})).not.toContain('DEVICE');
    expect(on(80e9)).not.toMatch(/^warning/m);
    expect(on(0)).not.toMatch(/^warning/m);
    expect(on(0)).toContain('not known');
    expect(on(0.5e9)).toMatch(
      /^warning +a microbatch of 1 needs about .* of the device of w1, which has .*; one sample alone needs about /m,
    );
  });

  it('a microbatch that is asked for and does not fit a device will be halved there', () => {
    const found = preview({}, plannedWorkers(1, { ...A100, deviceMemoryBytes: 80e9 }));
    const [worker] = found.workers;
    const small = { ...(worker as (typeof found.workers)[number]) };
    const capabilities = { ...small.capabilities, deviceMemoryBytes: small.deviceMemoryBytes - 1 };
    const view = planView({ ...found, workers: [{ ...small, capabilities }] }, '');
    expect(view.warnings.join()).toMatch(/a microbatch of 4 needs about .*: runs that do not fit are done in halves/);
  });

  it('says where nothing would be published', () => {
    expect(text({})).toMatch(/^output +\S.* in 1 shard$/m);
    const view = planView(preview({}, plannedWorkers(4)), '');
    expect(renderPlan({ ...view, outputShards: [] })).toMatch(/^output +no checkpoint, only the record/m);
  });

  it('sets the alternatives beside it, the chosen one first, with a reason for each', () => {
    const lines = text({}).split('\n');
    const begin = lines.findIndex((line) => line.startsWith('PLACEMENT'));
    expect(lines[begin]).toMatch(/^PLACEMENT +TIME +MOVED +MEMORY\/WORKER +DISK\/WORKER +NOTE$/);
    expect(lines[begin + 1]).toMatch(/^1 x 4 .*chosen: the fastest that fits$/);
    expect(lines.slice(begin + 2, begin + 5).every((line) => /slower$|times as long$|as fast$/.test(line))).toBe(true);
  });

  it('shows what the manifest rules out as ruled out', () => {
    expect(text({ replicas: 1 })).toMatch(/^1 x 4 .*spec\.placement\.replicas is 1$/m);
    expect(text({ stages: 3, replicas: 2 })).toMatch(/^3 x 2 .*chosen: asked for$/m);
  });

  it('maps stages, workers and microbatches to the files that they read, and layers to output shards', () => {
    const shown = text({ stages: 2, replicas: 2 });
    expect(shown).toMatch(/^ +0 +0-2 +w1 +0-511 +model\.safetensors$/m);
    expect(shown).toMatch(/^ +1 +3-5 +w4 +512-1023 +model\.safetensors$/m);
    expect(shown).toMatch(/^model\.safetensors +320 B +0-5 +2$/m);
  });

  it('of stages that follow one another gives each of them all workers, unless the manifest says otherwise', () => {
    const shown = text({ stages: 2 });
    expect(shown).toMatch(/^placement +2 stages x 4 replicas/m);
    for (const [stage, layers] of ['0-2', '3-5'].entries())
      expect(shown).toMatch(new RegExp(`^ +${stage} +${layers} +w4 +768-1023 `, 'm'));
  });

  it('has waves only where there is a pipeline', () => {
    expect(text({ propagate: 'dense' })).toContain('WAVE');
    expect(text({ propagate: 'pruned' })).not.toContain('WAVE');
  });

  it('says so where nothing was measured, or nobody is there', () => {
    const unknown = { computeFlops: 0, storageReadBytesPerSecond: 0, storageWriteBytesPerSecond: 0 };
    expect(text({}, plannedWorkers(2, unknown))).toMatch(/^figures +assumed/m);
    expect(planView(preview({}, []), '').warnings.join()).toContain('no worker is attached');
  });

  it('cuts long tables and counts what it leaves out', () => {
    expect(text({}, plannedWorkers(40))).toContain('\n(28 more: -o json has them)');
  });
});

describe('a warning', () => {
  const warnings = (asked: Asked, workers = plannedWorkers(4), freeBytes = 1e12): string =>
    planView(preview(asked, workers, freeBytes), '').warnings.join('\n');

  it('is not given without need', () => expect(warnings({})).toBe(''));

  it('tells what is in the way at the destination, and the plan is shown all the same', () => {
    const view = planView(preview({}, plannedWorkers(4), 1e12, 'the destination is taken'), '');
    expect(renderPlan(view)).toMatch(/^warning +the destination is taken$/m);
    expect(renderPlan(view)).toMatch(/^placement /m);
  });

  it('tells of replicas without a microbatch', () => {
    expect(warnings({ replicas: 9, samples: 4 }, plannedWorkers(9))).toContain(
      'spec.placement.replicas is 9, but there are 4 microbatches: replicas beyond that have nothing to do',
    );
  });

  it('tells of workers that stand by, and why', () => {
    expect(warnings({ stages: 4, replicas: 1 })).toContain(
      'at most 1 of 4 workers compute at one time: with propagate: pruned stages follow one another',
    );
    // What `auto` gives to every stage, or to some of them, stands by nowhere.
    expect(warnings({ stages: 4 })).toBe('');
    expect(warnings({ stages: 3, propagate: 'dense' })).toBe('');
    expect(warnings({ stages: 2, samples: 2 })).toContain('there are 2 microbatches');
    expect(warnings({ samples: 2 })).toContain('at most 2 of 4 workers compute at one time: there are 2 microbatches');
  });

  it('tells of a host that is too small for its workers, and of a full disk', () => {
    expect(warnings({}, plannedWorkers(2, { host: 'small', memoryBytes: 600e6 }))).toMatch(
      /the workers on small need about .* of its 572\.2 MiB/,
    );
    expect(warnings({}, plannedWorkers(1), 10)).toContain('the destination has 10 B free');
  });
});
