/** What OwnerBlocks must do, whatever keeps them. A store's own test file calls this with how to open a fresh one. */
import { expect, test } from "vitest";
import { hasCode } from "../../src/base/errors.ts";
import { BLOCK_OVERHEAD_BYTES, READ_GAP_BYTES } from "../../src/master/limits.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import { cidFromDigest, cidOf, digestOf } from "../../src/format/blocks/cid.ts";
import type { OwnerBlocks } from "../../src/master/store/owner-blocks.ts";
import { noise } from "../support/bytes.ts";
import { blockStoreContract, failure, rawBlock } from "./block-store.ts";

export function ownerBlocksContract(open: () => Promise<OwnerBlocks>): void {
  blockStoreContract(async () => {
    const blocks = await open();
    const put = async (block: Block) => void (await blocks.put([block]));
    return {
      get: (cid) => blocks.get(cid),
      getMany: (cids) => blocks.getMany(cids),
      has: (cids) => blocks.has(cids),
      put,
    };
  });

  test("new and known blocks are counted, within a call and across calls", async () => {
    const blocks = await open();
    const [one, two] = [rawBlock(10), rawBlock(20)];
    expect(await blocks.put([one, one])).toEqual({ stored: 1, known: 1 });
    expect(await blocks.put([one, two])).toEqual({ stored: 1, known: 1 });
    expect(await blocks.put([])).toEqual({ stored: 0, known: 0 });
    expect(blocks.usedBytes).toBe(30 + 2 * BLOCK_OVERHEAD_BYTES);
  });

  test("a block sent by two calls at once is stored once", async () => {
    const blocks = await open();
    const block = rawBlock(1_000);
    const counts = await Promise.all([blocks.put([block]), blocks.put([block]), blocks.put([rawBlock(5), block])]);
    expect(counts.reduce((sum, { stored }) => sum + stored, 0)).toBe(2);
    expect(blocks.usedBytes).toBe(1_005 + 2 * BLOCK_OVERHEAD_BYTES);
    expect(Buffer.from(await blocks.get(block.cid)).equals(block.bytes)).toBe(true);
  });

  test("raw and dag-cbor blocks of the same bytes are stored once", async () => {
    const blocks = await open();
    const bytes = noise(300, 1);
    await blocks.put([{ cid: cidOf("raw", bytes), bytes }]);
    const node = cidOf("dag-cbor", bytes);
    expect(await blocks.put([{ cid: node, bytes }])).toEqual({ stored: 0, known: 1 });
    expect(await blocks.has([node])).toEqual(new Set([node]));
    expect([...(await blocks.getMany([node, cidOf("raw", bytes)])).keys()]).toHaveLength(2);
  });

  test("the size of a block is reported, even of an empty one", async () => {
    const blocks = await open();
    const [some, none, gone] = [rawBlock(10), rawBlock(0), rawBlock(11)];
    await blocks.put([some, none]);
    expect([await blocks.size(some.cid), await blocks.size(none.cid), await blocks.size(gone.cid)]).toEqual([
      10,
      0,
      undefined,
    ]);
  });

  test("blocks are read into the caller's buffer, which needs one read gap of slack per block", async () => {
    const blocks = await open();
    const made = Array.from({ length: 200 }, (_, at) => rawBlock(1 + ((at * 7_919) % 30_000), at));
    await blocks.put(made);
    // Every third, so that there are gaps of all sizes.
    const wanted = made.filter((_, at) => at % 3 === 0).reverse();
    const memory = Buffer.alloc(wanted.reduce((sum, { bytes }) => sum + bytes.length + READ_GAP_BYTES, 0));
    let used = 0;
    const room = (length: number) => memory.subarray(used, (used += length));
    const found = await blocks.getMany(
      wanted.map(({ cid }) => cid),
      room,
    );
    expect(used).toBeLessThanOrEqual(memory.length);
    expect(found.size).toBe(wanted.length);
    for (const { cid, bytes } of wanted) expect(Buffer.compare(found.get(cid) ?? Buffer.alloc(0), bytes)).toBe(0);
  });

  test("completeness is recorded for stored nodes, never for raw blocks", async () => {
    const blocks = await open();
    const bytes = [noise(100, 1), noise(100, 2), noise(100, 3)];
    const [node, other, gone] = bytes.map((each) => ({ cid: cidOf("dag-cbor", each), bytes: each })) as [
      Block,
      Block,
      Block,
    ];
    const raw = cidFromDigest("raw", digestOf(node.cid));
    await blocks.put([node, other]);
    const era = await blocks.era();
    await blocks.markComplete([raw, gone.cid], era);
    expect(await blocks.complete([node.cid, raw, gone.cid])).toEqual(new Set());
    await blocks.markComplete([node.cid], era);
    expect(await blocks.complete([node.cid, raw, other.cid])).toEqual(new Set([node.cid]));
  });

  test("a missing block can be leased, and stays missing", async () => {
    const blocks = await open();
    const [here, gone] = [rawBlock(10), rawBlock(11)];
    await blocks.put([here]);
    await blocks.lease([here.cid, gone.cid]);
    expect(await blocks.has([here.cid, gone.cid])).toEqual(new Set([here.cid]));
    expect(hasCode(await failure(blocks.get(gone.cid)), "block_not_found")).toBe(true);
  });
}
