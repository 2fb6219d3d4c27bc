/** What `status` prints of masters. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { serveControl } from "../../../../src/agent/control.ts";
import { syncStatus } from "../../../../src/agent/folder/sync-status.ts";
import { openMountState } from "../../../../src/agent/state/state-dir.ts";
import { systemClock } from "../../../../src/base/clock.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { register } from "../../../../src/cli/commands/status.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const master = (host: string, used: boolean) => ({ address: `https://${host}`, used, left: null, latencyMs: null });

test("several masters are listed; a single one, which may be away, is not called ready", async () => {
  const folder = await temporaryFolder();
  const [states, mount] = [join(folder, "states"), join(folder, "mount")];
  mkdirSync(mount);
  const state = openMountState(states, { address: "https://a/b", mount });
  onTestFinished(() => state[Symbol.dispose]());
  state.list(silentLog);
  let masters = [master("a", false)];
  const facts = {
    folder: mount,
    address: "https://a/b",
    cache: () => ({ bytes: 0, limit: 1 }),
    requests: () => null,
    paused: () => null,
    masters: () => masters,
    conflicts: () => [],
  };
  const never = () => expect.unreachable();
  const status = async () =>
    syncStatus(facts, { report: undefined, error: undefined, scansOnly: undefined, waiting: false });
  const answers = { status, flush: never, pause: never, resume: never, unmount: never };
  const control = await serveControl(state.path, answers, systemClock);
  onTestFinished(() => control[Symbol.asyncDispose]());
  const shown = async () => {
    const runtime = createFakeRuntime({});
    await runCommandLine(["status", "--state", states], runtime, [register], "1.2.3");
    return runtime.out();
  };
  expect(await shown()).not.toContain("  master ");
  masters = [master("a", true), master("b", false)];
  expect(await shown()).toContain("  master     https://a  used\n  master     https://b  ready\n");
});
