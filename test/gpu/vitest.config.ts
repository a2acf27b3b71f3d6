import { defineConfig } from 'vitest/config';

/** `npm run test:gpu`: a machine has one device, so one file after the other. */
export default defineConfig({
  test: {
    include: ['test/gpu/**/*.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 120_000,
    fileParallelism: false,
    pool: 'forks',
    reporters: ['default', './test/support/tier-reporter.ts'],
  },
});
