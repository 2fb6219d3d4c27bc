import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/property-seed.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // A deadline, not an expectation: the second that it is else runs out on a busy machine.
    expect: { poll: { timeout: 30_000, interval: 20 } },
  },
});
