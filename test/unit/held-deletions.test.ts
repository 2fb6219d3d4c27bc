/** What commands tell of deletions that wait for a yes. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { serveControl } from "../../src/agent/control.ts";
import type { AgentStatus, FlushReport } from "../../src/agent/reports.ts";
import { openMountState } from "../../src/agent/state-dir.ts";
import { syncStatus } from "../../src/agent/sync-status.ts";
import { commandsFor } from "../../src/cli/commands.ts";
import { allowCommand } from "../../src/cli/held-deletions.ts";
import { runCommandLine } from "../../src/cli/program.ts";
import { createFakeRuntime } from "../support/fake-runtime.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const HELD = { digest: "d1", files: 101 };
const MOUNT = { door: "mount", mount: "/m1" } as const;
const WEB = { door: "webdav", url: "http://127.0.0.1:8888/", fingerprint: null } as const;

test("the command that lets deletions through names one door, as one word to a shell", () => {
  const command = (folder: string) => allowCommand([MOUNT, WEB, { door: "sync", folder }], HELD);
  expect(command("/f1")).toBe("syncline flush /f1 --allow-deletes d1");
  expect(command("/my work")).toBe("syncline flush '/my work' --allow-deletes d1");
  expect(command("/it's")).toBe("syncline flush '/it'\\''s' --allow-deletes d1");
  expect(allowCommand([WEB], HELD)).toBe("syncline flush http://127.0.0.1:8888/ --allow-deletes d1");
});

test("flush and status say that deletions wait, how many, and the command that lets them through", async () => {
  const folder = await temporaryFolder();
  const [states, mount] = [join(folder, "states"), join(folder, "mount")];
  mkdirSync(mount);
  const state = openMountState(states, { address: "file:///b", mount });
  onTestFinished(() => state[Symbol.dispose]());
  state.list();
  const facts = { folder: "/f1", address: "file:///b", cache: () => ({ bytes: 0, limit: 1 }) };
  const quiet = syncStatus(facts, { report: undefined, error: undefined, scansOnly: undefined, waiting: false });
  const status: AgentStatus = { ...quiet, doors: [MOUNT, { door: "sync", folder: "/f1" }], guard: HELD };
  const { pending } = status;
  const report: FlushReport = {
    published: false,
    root: "root",
    version: 1,
    attempts: 1,
    conflicts: 0,
    pending,
    error: null,
  };
  const answers = { status: async () => status, flush: async () => report, unmount: () => expect.unreachable() };
  const control = await serveControl(state.path, answers);
  onTestFinished(() => control[Symbol.asyncDispose]());
  const run = async (...args: string[]) => {
    const runtime = createFakeRuntime({});
    const ended = await runCommandLine([...args, "--state", states], runtime, await commandsFor(args), "1.2.3");
    return { ended, out: runtime.out(), told: runtime.out() + runtime.err() };
  };
  const flushed = await run("flush", mount);
  expect(flushed.ended).toBe(7);
  expect(flushed.told).toContain("101 files would be deleted");
  expect(flushed.told).toContain("syncline flush /f1 --allow-deletes d1");
  expect(flushed.told).not.toContain("out of reach");
  expect(JSON.parse((await run("flush", mount, "--json")).out)).toMatchObject({ published: false, guard: HELD });
  expect((await run("status", mount)).told).toContain("syncline flush /f1 --allow-deletes d1");
});
