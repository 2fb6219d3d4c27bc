/** `syncline restore` beside an agent that others keep busy. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { serveControl } from "../../../../src/agent/control.ts";
import { systemClock } from "../../../../src/base/clock.ts";
import type { FlushReport } from "../../../../src/agent/reports.ts";
import { openMountState } from "../../../../src/agent/state/state-dir.ts";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { silentLog } from "../../../../src/base/log.ts";

test.each([
  ["is published", true, 0],
  ["still waits", false, 3],
])("restore in a mount that others keep busy: what was written before %s", async (_, published, status) => {
  const folder = await temporaryFolder();
  const [address, mount] = [pathToFileURL(join(folder, "bucket")).href, join(folder, "mount")];
  const run = async (...args: string[]) => {
    const runtime = createFakeRuntime({}, { environmentKey: "42".repeat(32) });
    const line = [...args, "--state", join(folder, "states"), "--json"];
    const ended = await runCommandLine(line, runtime, await commandsFor(args), "1.2.3");
    return { status: ended, text: runtime.out() + runtime.err() };
  };
  writeFileSync(join(folder, "f"), "f");
  await run("init", address);
  const { root } = JSON.parse((await run("put", join(folder, "f"), `${address}/f`)).text) as { root: string };
  mkdirSync(mount);
  const state = openMountState(join(folder, "states"), { address, mount });
  onTestFinished(() => state[Symbol.dispose]());
  state.list(silentLog);
  const pending = { files: 3, bytes: 3, oldestMs: 1, etaMs: null };
  const report: FlushReport = { published, root, version: 2, attempts: 1, conflicts: 0, pending, error: null };
  const never = () => expect.unreachable();
  const answers = { status: never, flush: async () => report, pause: never, resume: never, unmount: never };
  const control = await serveControl(state.path, answers, systemClock);
  onTestFinished(() => control[Symbol.asyncDispose]());
  expect(await run("restore", join(mount, "f"), "--at", root)).toMatchObject({ status });
});
