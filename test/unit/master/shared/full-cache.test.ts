/** A master's cache of packs on a full disk. */
import type Database from "better-sqlite3";
import { expect, test } from "vitest";
import type { Wallet } from "../../../../src/base/ids.ts";
import { type Databases, systemDatabases } from "../../../../src/objects/databases.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { SharedWorld } from "../../../support/shared-world.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const OWNER = `0x${"11".repeat(20)}` as Wallet;

/** SQLite takes no number below the present one. */
const NO_GROWTH = "max_page_count = 1";
const NO_WRITE = "query_only = 1";

/** A master that has stored a block. From then on, its cache has this limit. */
async function limited(limit: string) {
  const clock = new ManualClock();
  const world = new SharedWorld(clock);
  const opened: Database.Database[] = [];
  const open: Databases["open"] = (...at) => {
    const db = systemDatabases.open(...at);
    opened.push(db);
    return db;
  };
  const blocks = await world.stores(await temporaryFolder(), { ...systemDatabases, open }).of(OWNER);
  const stored = blockOf("raw", noise(1_000, 1));
  await blocks.put([stored]);
  await blocks.era();
  const set = (pragma: string) => opened.at(-1)?.pragma(pragma);
  set(limit);
  const packs = async () => {
    const names: string[] = [];
    for await (const { name } of world.objects.of(OWNER).list("pack/")) names.push(name);
    return names.length;
  };
  const many = Array.from({ length: 400 }, (_, at) => blockOf("raw", noise(2_000, 10 + at)));
  return { clock, blocks, stored, packs, many, set };
}

test("an upload that the cache cannot take is stored once, and later ones are refused until there is space", async () => {
  const { blocks, stored, packs, many, set } = await limited(NO_GROWTH);
  expect(await blocks.put(many)).toMatchObject({ stored: many.length });
  const before = await packs();
  for (let retry = 0; retry < 3; retry++) await expect(blocks.put(many)).rejects.toMatchObject({ code: "disk_full" });
  expect(await packs()).toBe(before);
  expect(await blocks.has([stored.cid])).toEqual(new Set([stored.cid]));
  expect(Buffer.compare(await blocks.get(stored.cid), stored.bytes)).toBe(0);
  set("max_page_count = 1000000");
  expect(await blocks.put(many)).toEqual({ stored: 0, known: many.length });
  expect(await packs()).toBe(before);
});

test("what the cache knows can be asked for and read, however long its disk is full", async () => {
  const { clock, blocks, stored } = await limited(NO_WRITE);
  const unknown = blockOf("raw", noise(1_000, 2));
  for (let hour = 0; hour < 3; hour++) {
    await clock.advance(60 * 60_000);
    expect(await blocks.has([stored.cid, unknown.cid])).toEqual(new Set([stored.cid]));
    expect(Buffer.compare(await blocks.get(stored.cid), stored.bytes)).toBe(0);
  }
});
