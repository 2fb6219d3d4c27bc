/** What every BlockStore must do. A store's own test file calls this with how to open a fresh one. */
import { expect, test } from "vitest";
import { hasCode } from "../../src/base/errors.ts";
import type { Block, BlockStore } from "../../src/blocks/block-store.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { noise } from "../support/bytes.ts";

export function blockStoreContract(open: () => Promise<BlockStore>): void {
  test("a stored block is read back", async () => {
    const store = await open();
    const block = rawBlock(70_000);
    await store.put(block);
    expect(Buffer.from(await store.get(block.cid))).toEqual(Buffer.from(block.bytes));
  });

  test("blocks of both codecs and any size are stored, even an empty one", async () => {
    const store = await open();
    const blocks = [rawBlock(0), rawBlock(1), rawBlock(1 << 20), nodeBlock(300)];
    for (const block of blocks) await store.put(block);
    const found = await store.getMany(blocks.map(({ cid }) => cid));
    expect(blocks.map(({ cid, bytes }) => Buffer.from(found.get(cid) ?? []).equals(bytes))).toEqual(
      blocks.map(() => true),
    );
  });

  test("one call reads many blocks, each once, in any order", async () => {
    const store = await open();
    const blocks = Array.from({ length: 200 }, (_, index) => rawBlock(100 + index));
    for (const block of blocks) await store.put(block);
    const wanted = blocks.filter((_, index) => index % 3 === 0).map(({ cid }) => cid);
    const found = await store.getMany([...wanted.toReversed(), ...wanted]);
    expect([...found.keys()].toSorted()).toEqual(wanted.toSorted());
    expect((await store.getMany([])).size).toBe(0);
  });

  test("blocks already read keep their bytes while others are read", async () => {
    const store = await open();
    const blocks = Array.from({ length: 40 }, (_, index) => rawBlock(3_000 + index));
    for (const block of blocks) await store.put(block);
    const some = await store.getMany(blocks.slice(0, 20).map(({ cid }) => cid));
    await store.getMany(blocks.slice(20).map(({ cid }) => cid));
    for (const { cid, bytes } of blocks.slice(0, 20)) {
      expect(Buffer.compare(some.get(cid) ?? Buffer.alloc(0), bytes)).toBe(0);
    }
  });

  test("reading a missing block fails with block_not_found, alone or among others", async () => {
    const store = await open();
    const [here, gone] = [rawBlock(10), rawBlock(11)];
    await store.put(here);
    expect(hasCode(await failure(store.get(gone.cid)), "block_not_found")).toBe(true);
    expect(hasCode(await failure(store.getMany([here.cid, gone.cid])), "block_not_found")).toBe(true);
  });

  test("the store reports which blocks it holds", async () => {
    const store = await open();
    const [here, gone] = [rawBlock(10), rawBlock(11)];
    await store.put(here);
    expect(await store.has([here.cid, gone.cid])).toEqual(new Set([here.cid]));
  });

  test("putting a block twice is harmless", async () => {
    const store = await open();
    const block = rawBlock(5_000);
    await store.put(block);
    await store.put(block);
    expect((await store.getMany([block.cid])).size).toBe(1);
  });
}

export function rawBlock(length: number, seed = length + 1): Block {
  const bytes = noise(length, seed);
  return { cid: cidOf("raw", bytes), bytes };
}

export async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

function nodeBlock(length: number): Block {
  const bytes = noise(length, length);
  return { cid: cidOf("dag-cbor", bytes), bytes };
}
