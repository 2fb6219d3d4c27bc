import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/property-seed.ts"],
    pool: "forks",
    maxWorkers: 3,
    // Deadlines, not expectations: those of the long run must be far away on a busy machine, too.
    testTimeout: process.env["SYNCLINE_TEST_ALL"] === undefined ? 120_000 : 3_600_000,
    hookTimeout: 60_000,
    // The second that it is else runs out on a busy machine.
    expect: { poll: { timeout: 30_000, interval: 20 } },
  },
});
