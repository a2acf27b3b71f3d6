/**
 * Closes a test run with a table of the tiers and one plain line that a reader, or a script, can trust. A tier without a
 * single executed test is a failure: a green run must mean that every tier ran.
 */
import type { Reporter, TestCase, TestModule } from 'vitest/node';

const TIERS = ['unit', 'golden', 'hostile', 'contract', 'simulation', 'e2e', 'network'] as const;
/** What not every machine can do: tests that say that they were skipped are enough, except in CI. */
const MAY_SKIP: ReadonlySet<string> = new Set(['network']);
/** Why tests are skipped that CI must run: it installs what they need. */
const NEVER_IN_CI = ['no nats-server', 'no network hosts', 'no tmpfs'];

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

export default class TierReporter implements Reporter {
  /** `vitest run <files>` or `-t <name>`: a part was asked for, so the other tiers may be empty. */
  private readonly filtered = process.argv
    .slice(2)
    .some((argument) => argument === '-t' || !/^(run|-.*)$/.test(argument));

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts = new Map<string, Count>(TIERS.map((tier) => [tier, { passed: 0, failed: 0, skipped: 0 }]));
    const skipped: string[] = [];
    for (const module of modules) {
      const tier = /(?:^|\/)test\/([^/]+)\//.exec(module.moduleId)?.[1] ?? 'other';
      const count = counts.get(tier) ?? { passed: 0, failed: 0, skipped: 0 };
      counts.set(tier, count);
      // A file that does not even load has no test that could fail.
      if (module.errors().length > 0) count.failed += 1;
      for (const test of module.children.allTests()) {
        add(count, test);
        if (test.result().state === 'skipped') skipped.push(`${tier}: ${test.fullName}`);
      }
    }
    this.print(counts, skipped, unhandled.length);
  }

  private print(counts: ReadonlyMap<string, Count>, skipped: readonly string[], unhandled: number): void {
    const total: Count = { passed: 0, failed: unhandled, skipped: 0 };
    const lines = ['', 'tier        passed  failed  skipped'];
    for (const [tier, count] of counts) {
      total.passed += count.passed;
      total.failed += count.failed;
      total.skipped += count.skipped;
      lines.push(
        `${tier.padEnd(10)}${[count.passed, count.failed, count.skipped].map((n) => String(n).padStart(8)).join('')}`,
      );
      const isSaid = MAY_SKIP.has(tier) && count.skipped > 0;
      if (!this.filtered && count.passed + count.failed === 0 && !isSaid) {
        lines.push(`  the tier "${tier}" ran no test: that counts as a failure`);
        total.failed += 1;
      }
    }
    if (skipped.length > 0) lines.push('', 'skipped:', ...skipped.map((name) => `  ${name}`));
    for (const reason of process.env.SECATEUR_CI === '1' ? NEVER_IN_CI : []) {
      if (!skipped.some((name) => name.includes(`skipped: ${reason}`))) continue;
      lines.push(`  CI installs what that needs: a test skipped for "${reason}" counts as a failure`);
      total.failed += 1;
    }
    if (total.failed > 0) process.exitCode = 1;
    lines.push('', `${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`, '');
    process.stdout.write(lines.join('\n'));
  }
}

function add(count: Count, test: TestCase): void {
  const { state } = test.result();
  if (state === 'passed') count.passed += 1;
  else if (state === 'failed') count.failed += 1;
  else if (state === 'skipped') count.skipped += 1;
}
