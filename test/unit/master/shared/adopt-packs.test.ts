/** Which packs of a store are entered in a log that does not name them. */
import { expect, test } from "vitest";
import { SqliteArbiter } from "../../../../src/arbiter/sqlite-arbiter.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { PackName, Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { adoptPacks, PackAdoption } from "../../../../src/master/shared/adopt-packs.ts";
import { objectOf } from "../../../../src/master/shared/pack-objects.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import { buildPack } from "../../../../src/packs/pack-builder.ts";
import { alteredStore } from "../../../support/altered-store.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { raw } from "../../../support/opaque-commits.ts";

const OWNER = `0x${"11".repeat(20)}` as Wallet;

test("a pack whose footer the store cannot read is left alone, and the others are entered", async () => {
  await using arbiter = new SqliteArbiter("", new ManualClock());
  const store = new MemoryObjectStore();
  const packs = ["1", "2"].map((digit) => digit.repeat(32));
  for (const pack of packs) await store.putNew(objectOf(pack), buildPack(objectOf(pack) as PackName, [raw(pack)]).body);
  const objects = alteredStore(store, {
    getTail: async (name, length) => {
      if (name === objectOf(packs[0] ?? "")) throw new SynclineError("block_corrupt", "a bad sector");
      return store.getTail(name, length);
    },
  });
  expect(await adoptPacks(arbiter, OWNER, objects)).toBe(1);
  const { entries } = await arbiter.packs.after(OWNER, 0);
  expect(entries.map(({ pack }) => pack)).toEqual([packs[1]]);
});

test("while that fails, it is tried again ever more rarely, and lists a large store twice a minute at most", async () => {
  const clock = new ManualClock();
  let tries = 0;
  const owners = async () => {
    tries++;
    throw new SynclineError("store_unreachable", "the store is away");
  };
  await using arbiter = new SqliteArbiter("", clock);
  using adoption = new PackAdoption({ arbiter, objects: { owners } as never, clock, log: silentLog });
  adoption.begin();
  await clock.advance(10_000);
  expect(tries).toBe(4);
  await clock.advance(600_000);
  expect(tries).toBe(25);
  expect(adoption.isRunning).toBe(true);
});
