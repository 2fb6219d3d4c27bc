/** `syncline restore` beside an agent that others keep busy. */
import { join } from "node:path";
import { expect, test } from "vitest";
import type { FlushReport } from "../../../../src/agent/reports.ts";
import { CommandWorld } from "../../../support/command-world.ts";
import { servedState } from "../../../support/served-state.ts";

test.each([
  ["is published", true, 0],
  ["still waits", false, 3],
])("restore in a mount that others keep busy: what was written before %s", async (_, published, status) => {
  const world = await CommandWorld.create("f");
  const { root } = JSON.parse(await world.done("log", world.address, "--count", "1")) as { root: string };
  const mount = join(world.folder, "mount");
  const pending = { files: 3, bytes: 3, oldestMs: 1, etaMs: null };
  const report: FlushReport = { published, root, version: 2, attempts: 1, conflicts: 0, pending, error: null };
  await servedState(world.states, { address: world.address, mount }, { flush: async () => report });
  expect(await world.run("restore", join(mount, "f"), "--at", root)).toMatchObject({ status });
});
