/** `syncline restore` beside an agent that others keep busy. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { serveControl } from "../../../../src/agent/control.ts";
import { systemClock } from "../../../../src/base/clock.ts";
import type { FlushReport } from "../../../../src/agent/reports.ts";
import { openMountState } from "../../../../src/agent/state/state-dir.ts";
import { CommandWorld } from "../../../support/command-world.ts";
import { silentLog } from "../../../../src/base/log.ts";

test.each([
  ["is published", true, 0],
  ["still waits", false, 3],
])("restore in a mount that others keep busy: what was written before %s", async (_, published, status) => {
  const world = await CommandWorld.create("f");
  const { root } = JSON.parse(await world.done("log", world.address, "--count", "1")) as { root: string };
  const mount = join(world.folder, "mount");
  mkdirSync(mount);
  const state = openMountState(world.states, { address: world.address, mount });
  onTestFinished(() => state[Symbol.dispose]());
  state.list(silentLog);
  const pending = { files: 3, bytes: 3, oldestMs: 1, etaMs: null };
  const report: FlushReport = { published, root, version: 2, attempts: 1, conflicts: 0, pending, error: null };
  const never = () => expect.unreachable();
  const answers = { status: never, flush: async () => report, pause: never, resume: never, unmount: never };
  const control = await serveControl(state.path, answers, systemClock);
  onTestFinished(() => control[Symbol.asyncDispose]());
  expect(await world.run("restore", join(mount, "f"), "--at", root)).toMatchObject({ status });
});
