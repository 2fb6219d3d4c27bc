/** What becomes of damaged blocks at a master beside collections and restarts: they are healed by sending them again, and never come back as good. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Cid, Wallet } from "../../../src/base/ids.ts";
import type { Block } from "../../../src/blocks/block-store.ts";
import { failure } from "../../contract/block-store.ts";
import { CollectedMaster, LATER_MS, damageIn, retaining } from "../../support/collected-master.ts";
import { CommitChain, nodeBlock } from "../../support/commit-chain.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { SimulatedPackDisk } from "../../support/simulated-pack-disk.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

let dir: string;
let clock: ManualClock;
let disk: SimulatedPackDisk;
let chain: CommitChain;
let owner: Wallet;

beforeEach(async () => {
  dir = await temporaryFolder();
  clock = new ManualClock();
  disk = new SimulatedPackDisk();
  chain = await CommitChain.create();
  owner = chain.owner.wallet;
});

describe("a damaged block", () => {
  test("that is sent again gets a lease like any other block", async () => {
    await using master = await CollectedMaster.open(masterOptions());
    await publishOne(master);
    const block = blockOf("sent again");
    await damaged(master, block);
    await clock.advance(LATER_MS);
    const blocks = await master.blocksOf(owner);
    expect(await blocks.put([block])).toEqual({ stored: 1, known: 0 });
    await master.collect(owner);
    expect(await blocks.has([block.cid])).toEqual(new Set([block.cid]));
    await clock.advance(LATER_MS);
    expect(await master.collect(owner)).toMatchObject({ blocks: 1 });
  });

  test("that was collected from an open pack does not come back as good after a restart", async () => {
    const block = blockOf("damaged");
    await within(async (master) => {
      await publishOne(master);
      await damaged(master, block);
      await clock.advance(LATER_MS);
      await master.collect(owner);
    });
    await within((master) => isMissing(master, block.cid));
    // By then its pack is sealed.
    await within((master) => master.collect(owner));
    await within((master) => isMissing(master, block.cid));
    expect(await damageIn({ dir, disk })).toEqual([expect.stringContaining(`block: `)]);
  });

  test("that was healed and collected in another pack does not come back from its damaged copy", async () => {
    const block = blockOf("healed");
    await within(async (master) => {
      await publishOne(master);
      await damaged(master, block);
      disk.before = (call, path) => {
        // Its pack stays one that grows.
        if (call === "write" && path.endsWith(".open") && disk.files.get(path)?.size !== 0) throw new Error("EIO");
      };
      await (await master.blocksOf(owner)).put([block]);
      disk.before = () => {};
      await clock.advance(LATER_MS);
      expect(await master.collect(owner)).toMatchObject({ blocks: 2 });
    });
    await within((master) => isMissing(master, block.cid));
  });
});

test("garbage collected from an open pack does not come back after a restart", async () => {
  const garbage = blockOf("garbage");
  await within(async (master) => {
    await publishOne(master);
    const blocks = await master.blocksOf(owner);
    await blocks.put([garbage]);
    await clock.advance(LATER_MS);
    expect(await master.collect(owner)).toMatchObject({ blocks: 1, dropped: 0 });
  });
  await within(async (master) => {
    await isMissing(master, garbage.cid);
    await (await master.blocksOf(owner)).put([garbage]);
  });
  await within(async (master) => {
    const blocks = await master.blocksOf(owner);
    expect(Buffer.compare(await blocks.get(garbage.cid), garbage.bytes)).toBe(0);
  });
  expect(await damageIn({ dir, disk })).toEqual([]);
});

const masterOptions = () => ({ dir, clock, disk, packBytes: 100_000 });

function within(work: (master: CollectedMaster) => Promise<unknown>): Promise<unknown> {
  return CollectedMaster.within(masterOptions(), work);
}

/** A root, whose blocks are most of its pack. */
async function publishOne(master: CollectedMaster): Promise<void> {
  await master.publish(owner, "photos", retaining(chain, "x".repeat(20_000), undefined, []));
}

function blockOf(label: string): Block {
  return nodeBlock(`${label} ${"x".repeat(1_000)}`);
}

/** Stores a block that is found damaged, and one more behind it. */
async function damaged(master: CollectedMaster, block: Block): Promise<void> {
  const blocks = await master.blocksOf(owner);
  await blocks.put([block]);
  await blocks.put([blockOf("behind it")]);
  for (const { bytes } of disk.files.values()) {
    const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(Buffer.from(block.bytes));
    if (at >= 0) bytes[at + 9] = (bytes[at + 9] ?? 0) ^ 4;
  }
  expect(await failure(blocks.get(block.cid))).toMatchObject({ code: "block_corrupt" });
}

async function isMissing(master: CollectedMaster, cid: Cid): Promise<void> {
  const blocks = await master.blocksOf(owner);
  expect(await blocks.has([cid])).toEqual(new Set());
}
