/** An upload frees the memory of blocks that were handed over to it, and only of those, once their pack is stored. */
import { expect, test } from "vitest";
import type { WriterId } from "../../../../src/base/ids.ts";
import { PACK_TARGET_BYTES } from "../../../../src/base/limits.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { cachingRemote } from "../../../../src/bucket/caching-remote.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import type { BucketRemote } from "../../../../src/bucket/remote.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { PACK_FOLDER } from "../../../../src/format/blocks/object-name.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { alteredStore } from "../../../support/altered-store.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { made, randomLooking } from "../../../support/opaque-commits.ts";

const MIB = 1024 * 1024;
const [HELD, OWN] = [1, 2];

const remoteOf = (store: ObjectStore) =>
  new PackedRemote(store, {
    clock: new ManualClock(),
    random: seededRandom(1),
    writer: () => "ab".repeat(16) as WriterId,
  });

/** Whether a block has the bytes of its address. */
const isWhole = ({ cid, bytes }: Block) => cidOf("raw", bytes) === cid;

/** Uploads blocks for two packs, the second of which is not full. All but `OWN` are handed over; `HELD` is read before it is stored. */
async function uploaded(remote: BucketRemote): Promise<Block[]> {
  const blocks = Array.from({ length: PACK_TARGET_BYTES / MIB + 2 }, (_, at): Block => {
    return { ...randomLooking(`block ${at}`, MIB), isHandedOver: at !== OWN };
  });
  const session = remote.beginUpload();
  for (const [at, block] of blocks.entries()) {
    await session.putContent(block);
    if (at === HELD) await session.blocks.get(block.cid);
  }
  await session.suspend?.();
  return blocks;
}

test("blocks of a stored pack are freed, but not those that others read, or that wait for the next pack", async () => {
  const blocks = await uploaded(await made(async () => remoteOf(new MemoryObjectStore())));
  for (const [at, block] of blocks.entries()) {
    const isKept = [HELD, OWN].includes(at) || at >= PACK_TARGET_BYTES / MIB;
    expect(isKept ? isWhole(block) : block.bytes.length === 0, `block ${at}`).toBe(true);
  }
});

test("no block is freed while a store may read it, or if its pack was not stored", async () => {
  const slow = Object.assign(new MemoryObjectStore(), { isDoneWithBodies: false });
  const memory = new MemoryObjectStore();
  const failing = alteredStore(memory, {
    putNew: async (name, body, options) =>
      name.startsWith(PACK_FOLDER) ? { kind: "unknown", cause: new Error("cut") } : memory.putNew(name, body, options),
  });
  for (const store of [slow, failing])
    expect((await uploaded(await made(async () => remoteOf(store)))).every(isWhole)).toBe(true);
});

test("blocks that also go into a local cache are not freed", async () => {
  const kept: Block[] = [];
  const cache = { keep: (blocks: readonly Block[]) => void kept.push(...blocks) };
  const blocks = await uploaded(cachingRemote(await made(async () => remoteOf(new MemoryObjectStore())), cache));
  expect(kept).toHaveLength(blocks.length);
  expect(kept.every(isWhole)).toBe(true);
});
