/** Which agents a command finds, and what it says of one that is suspended: it takes connections and does not answer. */
import { createServer } from "node:net";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { openMountState, WEBDAV_PLACE } from "../../../../src/agent/state/state-dir.ts";
import { systemClock } from "../../../../src/base/clock.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { parseAddress, pinnedUrl } from "../../../../src/bucket/address.ts";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { statesAt } from "../../../../src/cli/commands/running-agents.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { serveAnswers } from "../../../support/served-state.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const table = vi.hoisted(() => ({ lines: [] as string[] }));

vi.mock(import("../../../../src/fuse/mount-table.ts"), async (original) => {
  const actual = await original();
  return { ...actual, readMountTable: async () => actual.parseMountTable(table.lines.join("\n")) };
});

beforeEach(() => {
  table.lines = [];
});

const URL = "http://127.0.0.1:8888/";

test.each([
  ["pause", URL],
  ["pause"],
  ["resume", URL],
  ["resume"],
  ["upgrade"],
  ["unmount", URL],
  ["status", URL],
  ["status"],
])("%s %s reports that the agent does not answer", async (...args) => {
  const root = await temporaryFolder();
  const state = openMountState(root, { address: "file:///b", mount: `${WEBDAV_PLACE}127.0.0.1:8888` });
  state.list(silentLog);
  const agent = createServer(() => {});
  await new Promise<void>((resolve) => agent.listen(join(state.path, "control.sock"), resolve));
  onTestFinished(() => {
    agent.close();
    state[Symbol.dispose]();
  });
  const clock = { ...systemClock, after: (_: number, action: () => void) => systemClock.after(1, action) };
  const runtime = { ...createFakeRuntime({ SYNCLINE_STATE: root }), clock };
  expect(await runCommandLine(args, runtime, await commandsFor(args), "1")).toBe(6);
  expect(runtime.err()).toContain("did not answer");
});

test.each(["file:///b", "http://127.0.0.1:3600/b", "s3://notes/b?endpoint=http://127.0.0.1:9000"])(
  "a mount is found by its bucket's address, %s",
  async (address) => {
    const root = await temporaryFolder();
    using state = openMountState(root, { address: pinnedUrl(parseAddress(address)), mount: "/m" });
    state.list(silentLog);
    expect(await statesAt(createFakeRuntime({}), root, address)).toMatchObject([{ mount: "/m" }]);
  },
);

test.skipIf(process.platform !== "linux")(
  "a mount that was moved is found at its new place, and another bucket's there is not taken for it",
  async () => {
    const root = await temporaryFolder();
    const mounted = (place: string, source: string) => `40 1 0:7 / ${place} rw - fuse.syncline ${source} rw`;
    for (const mount of ["/old", "/stays"]) {
      const state = openMountState(root, { address: "file:///b", mount });
      onTestFinished(() => state[Symbol.dispose]());
      state.list(silentLog);
    }
    const found = async (place: string) =>
      (await statesAt(createFakeRuntime({}), root, place)).map(({ mount }) => mount);
    expect(await found("/new")).toEqual([]);
    table.lines = [mounted("/stays", "file:///b"), mounted("/new", "file:///b"), mounted("/other", "file:///c")];
    expect([await found("/new"), await found("/stays"), await found("/other")]).toEqual([["/old"], ["/stays"], []]);
  },
);

test("changes that a WebDAV server left are published by another one at its address, not by a mount", async () => {
  const root = await temporaryFolder();
  const facts = { address: "file:///b", mount: `${WEBDAV_PLACE}127.0.0.1:8888` };
  using state = openMountState(root, facts);
  state.list(silentLog);
  const left = { drained: false, pending: { files: 1, bytes: 4, oldestMs: 0, etaMs: null }, error: null };
  const run = async (...args: string[]) => {
    const runtime = createFakeRuntime({ SYNCLINE_STATE: root });
    await runCommandLine(args, runtime, await commandsFor(args), "1");
    return runtime.out() + runtime.err();
  };
  const again = "Serve the bucket at the same address again to publish them.";
  expect(await run("status")).toContain(again);
  expect(await run("status", URL)).toContain("syncline webdav file:///b --listen 127.0.0.1:8888 --background");
  const status = async () => ({ doors: [{ door: "webdav", url: URL }] }) as never;
  await serveAnswers(state.path, { status, unmount: async () => left });
  expect(await run("unmount", URL)).toContain(again);
});
