/** What becomes of a root's check while the index of its owner's blocks cannot be written, as on a full disk. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Budget } from "../../../../src/base/budget.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { WALKS_BYTES } from "../../../../src/master/limits.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { TimeSlice } from "../../../../src/base/time-slice.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { cidFromDigest } from "../../../../src/format/blocks/cid.ts";
import { checkComplete } from "../../../../src/master/roots/completeness.ts";
import { BlockIndex } from "../../../../src/master/store/block-index.ts";
import { MAX_UNNOTED, packsFolder } from "../../../../src/master/store/owner-packs.ts";
import { openMasterStore, ownerFolder } from "../../../../src/master/store/master-store.ts";
import type { BlockStores, OwnerBlocks } from "../../../../src/master/store/owner-blocks.ts";
import { nodeBlock } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const OWNER = `0x${"a".repeat(40)}` as Wallet;
const full = () => {
  throw new Database.SqliteError("database or disk is full", "SQLITE_FULL");
};

let stores: BlockStores;
let blocks: OwnerBlocks;

beforeEach(async () => {
  const clock = new ManualClock();
  stores = await openMasterStore({ dir: await temporaryFolder(), clock, random: systemRandom, log: silentLog });
  blocks = await stores.of(OWNER);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await stores[Symbol.asyncDispose]();
});

describe("while an index cannot be written", () => {
  test.each(["markComplete", "add"] as const)("(%s) a check still reads each node about once", async (call) => {
    vi.spyOn(BlockIndex.prototype, call).mockImplementation(full);
    const levels = lattice();
    await blocks.put(levels.flat());
    const read = vi.spyOn(blocks, "get");
    const [root] = levels.at(-1) ?? [];
    const found = await check(root);
    expect(found).toEqual({ kind: "complete" });
    expect(read.mock.calls.length).toBeLessThan(levels.flat().length * 2);
  });

  test("a check too large for memory ends with a clear error, and later writes count again", async () => {
    const cids = Array.from({ length: MAX_UNNOTED + 1 }, (_, index) => {
      const digest = Buffer.alloc(32);
      digest.writeUInt32LE(index);
      return cidFromDigest("dag-cbor", digest);
    });
    const [node] = lattice().at(0) ?? [];
    if (node !== undefined) await blocks.put([node]);
    vi.spyOn(BlockIndex.prototype, "markComplete").mockImplementation(full);
    await expect(blocks.markComplete(cids, 0)).rejects.toMatchObject({ code: "disk_full" });
    vi.restoreAllMocks();
    expect(await check(node)).toEqual({ kind: "complete" });
  });
});

test("when a lost pack cannot be recorded for want of space, its blocks are not reported as present", async () => {
  const dir = await temporaryFolder();
  const options = { dir, clock: new ManualClock(), random: systemRandom, log: silentLog };
  const block = nodeBlock("gone");
  {
    await using before = await openMasterStore(options);
    await (await before.of(OWNER)).put([block]);
  }
  const folder = packsFolder(ownerFolder(dir, OWNER));
  for (const file of await readdir(folder)) await rm(join(folder, file));
  await using after = await openMasterStore(options);
  vi.spyOn(BlockIndex.prototype, "dropPack").mockImplementation(full);
  await expect(after.of(OWNER)).rejects.toMatchObject({ code: "disk_full" });
  vi.restoreAllMocks();
  expect(await (await after.of(OWNER)).put([block])).toEqual({ stored: 1, known: 0 });
});

function check(root: Block | undefined) {
  const pace = new TimeSlice(new ManualClock(), 5);
  return checkComplete(
    { blocks, pace, memory: new Budget(WALKS_BYTES), era: 0 },
    root?.cid ?? cidFromDigest("raw", Buffer.alloc(32)),
  );
}

/** Levels of nodes, each linked by every one above: so many ways lead down that nobody goes all of them. */
function lattice(): Block[][] {
  const levels: Block[][] = [];
  for (let level = 0; level < 40; level++) {
    levels.push(Array.from({ length: 40 }, (_, at) => nodeBlock(`${level} ${at}`, ...(levels.at(-1) ?? []))));
  }
  return levels;
}
