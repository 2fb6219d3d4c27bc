/** How long commands wait for a bucket that is out of reach: those that change it longer than those that read it. */
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { beforeAll, expect, test, vi } from "vitest";
import { type Clock, systemClock } from "../../../../src/base/clock.ts";
import { READ_PATIENCE_MS, WRITE_PATIENCE_MS } from "../../../../src/base/limits.ts";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

let address: string;

beforeAll(async () => {
  const keys = { AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret", AWS_REGION: "us-east-1" };
  for (const [name, value] of Object.entries(keys)) vi.stubEnv(name, value);
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  address = `s3://bucket/prefix?endpoint=http://127.0.0.1:${port}`;
});

/** Pauses take no time here, and as long as they should by this clock. */
function hurried(): Clock {
  let sleptMs = 0;
  return {
    nowNs: () => systemClock.nowNs(),
    monotonicMs: () => systemClock.monotonicMs() + sleptMs,
    sleep: async (ms) => void (sleptMs += ms),
    after: (ms, action) => systemClock.after(ms, action),
  };
}

test.each([
  ["restore", ["--at", "2026-01-31T12:00:00Z"], WRITE_PATIENCE_MS],
  ["policy set", ["default"], WRITE_PATIENCE_MS],
  ["conflicts resolve", ["--keep", "kept"], WRITE_PATIENCE_MS],
  ["verify", ["--repair"], WRITE_PATIENCE_MS],
  ["rm", [], WRITE_PATIENCE_MS],
  ["sync", ["FOLDER", "--once"], WRITE_PATIENCE_MS],
  ["log", [], READ_PATIENCE_MS],
  ["policy show", [], READ_PATIENCE_MS],
  ["conflicts resolve", ["--keep", "kept", "--dry-run"], READ_PATIENCE_MS],
  ["verify", [], READ_PATIENCE_MS],
  ["sync", ["FOLDER", "--dry-run"], READ_PATIENCE_MS],
])("%s %j waits %i ms for S3", async (name, more, ms) => {
  const runtime = { ...createFakeRuntime({}, { environmentKey: "42".repeat(32) }), clock: hurried() };
  const folder = await temporaryFolder();
  const given = more.map((word) => (word === "FOLDER" ? folder : word));
  const args = [...name.split(" "), address, ...given, "--state", await temporaryFolder()];
  const status = await runCommandLine(args, runtime, await commandsFor(args), "1.2.3");
  expect({ status, err: runtime.err() }).toEqual({
    status: 6,
    err: expect.stringContaining(`Retrying for up to ${ms / 1_000} s.`),
  });
});

test("a watched folder takes no --timeout: it waits for its bucket", async () => {
  const runtime = createFakeRuntime({}, { environmentKey: "42".repeat(32) });
  const args = ["sync", address, await temporaryFolder(), "--timeout", "5", "--state", await temporaryFolder()];
  expect(await runCommandLine(args, runtime, await commandsFor(args), "1.2.3")).toBe(2);
  expect(runtime.err()).toContain("--timeout is for --once and --dry-run");
});
