import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // What is waited for comes when it comes: a loaded machine must not decide what a test finds.
    expect: { poll: { timeout: 10_000 } },
    include: ['test/**/*.test.ts'],
    exclude: ['test/gpu/**'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    pool: 'forks',
    reporters: ['default', './test/support/tier-reporter.ts'],
  },
});
