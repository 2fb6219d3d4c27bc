/** `syncline restore` beside an agent that others keep busy. */
import { join } from "node:path";
import { expect, test } from "vitest";
import type { FlushReport } from "../../../../src/agent/reports.ts";
import type { StateFacts } from "../../../../src/agent/state/state-dir.ts";
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

test.each<[string, Partial<StateFacts>]>([
  ["that refuses changes", { readOnly: true }],
  ["of an old state", { old: true }],
])("commands that write refuse a path in a mount %s, and name the bucket", async (_, facts) => {
  const world = await CommandWorld.create("f");
  const { root } = JSON.parse(await world.done("log", world.address, "--count", "1")) as { root: string };
  const mount = join(world.folder, "mount");
  await servedState(world.states, { address: world.address, mount, ...facts });
  for (const words of [
    ["restore", join(mount, "f"), "--at", root],
    ["policy", "set", mount, "default"],
    ["conflicts", "resolve", join(mount, "f"), "--keep", "kept"],
  ]) {
    const { status, err } = await world.run(...words);
    expect([status, JSON.parse(err)]).toEqual([2, expect.objectContaining({ code: "usage" })]);
    expect(err).toContain(world.address);
  }
  expect(JSON.parse(await world.done("log", mount, "--count", "1"))).toMatchObject({ root });
});
