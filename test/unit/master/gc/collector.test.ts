/** What the owner of a bucket, and the operator, see of a collection that failed. */
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { type ErrorCode, SynclineError } from "../../../../src/base/errors.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { type Log, silentLog } from "../../../../src/base/log.ts";
import { Collector } from "../../../../src/master/gc/collector.ts";
import { RootAlarm } from "../../../../src/master/roots/root-alarm.ts";
import { SwapGate } from "../../../../src/master/roots/swap-gate.ts";
import { MemoryBlockStores } from "../../../support/memory-owner-blocks.ts";
import { SharedWorld } from "../../../support/shared-world.ts";

const OWNER = `0x${"11".repeat(20)}` as Wallet;
const SECRET = "postgres://db.internal/syncline";

test.each<[ErrorCode, string]>([
  ["store_failed", "store_failed"],
  ["store_unreachable", "store_unreachable"],
  ["arbiter_unreachable", "arbiter_unreachable"],
  ["disk_full", "disk_full"],
  ["local_io_failed", "store_failed"],
  ["block_corrupt", "store_failed"],
  ["state_corrupt", "internal"],
])("a collection that ends with %s tells the owner neither paths nor addresses", async (code, told) => {
  const { state, logged } = await failed(new SynclineError(code, `${SECRET} failed`, { cause: new Error("403") }));
  expect(state).toMatchObject({ error: { code: told } });
  expect(JSON.stringify(state)).not.toContain(SECRET);
  expect(logged).toContain(`${SECRET} failed ← 403`);
});

test("an error of another kind is internal to the owner, and whole in the log", async () => {
  const { state, logged } = await failed(new Error(`ENOENT: ${SECRET}`));
  expect(state).toMatchObject({ error: { code: "internal" } });
  expect(JSON.stringify(state)).not.toContain(SECRET);
  expect(logged).toContain(SECRET);
});

test("an owner learns which bucket keeps its garbage from being collected, without the cause", async () => {
  const message = "Bucket photos reaches a block that is damaged.";
  const { state } = await failed(new SynclineError("store_corrupt", message, { cause: new Error(SECRET) }));
  expect(state).toMatchObject({ error: { code: "store_corrupt", message } });
});

async function failed(error: Error): Promise<{ state: unknown; logged: string }> {
  let logged = "";
  const log: Log = { ...silentLog, error: (_message, fields) => void (logged += String(fields?.["error"])) };
  await using collector = new Collector({
    roots: new SharedWorld().arbiter.roots,
    stores: new MemoryBlockStores(),
    gate: new SwapGate(),
    clock: systemClock,
    log,
    alarm: new RootAlarm(silentLog),
    collect: async () => {
      throw error;
    },
    counter: "one",
  });
  collector.ask(OWNER, false);
  await expect.poll(() => collector.stateOf(OWNER).collected).not.toBeNull();
  return { state: collector.stateOf(OWNER).collected, logged };
}
