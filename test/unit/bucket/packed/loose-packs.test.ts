import { describe, expect, test } from "vitest";
import { STORE_CONCURRENCY } from "../../../../src/base/limits.ts";
import type { WriterId } from "../../../../src/base/ids.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { PackDirectory } from "../../../../src/bucket/packed/pack-directory.ts";
import { UNASKED_NODE_BYTES } from "../../../../src/bucket/packed/packed-upload.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { PlacementIndex } from "../../../../src/bucket/packed/placement-index.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { commitObjectName } from "../../../../src/format/blocks/object-name.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { countedStore } from "../../../support/counted-store.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { made, node, publish, randomLooking, raw, rootOf } from "../../../support/opaque-commits.ts";

const COMMITS = 30;
let agents = 0;

function agent(store: ObjectStore): PackedRemote {
  const writer = (++agents).toString(16).padStart(32, "0") as WriterId;
  return new PackedRemote(store, { clock: new ManualClock(), random: seededRandom(agents), writer: () => writer });
}

/** A bucket with COMMITS small edits: the commit `edit N` brought `content(N)` and `leaf(N)`. */
async function bucketOfEdits() {
  const counted = countedStore(new MemoryObjectStore());
  const remote = await made(async () => agent(counted.store));
  for (let edit = 0; edit < COMMITS; edit++) await publish(remote, `edit ${edit}`, [content(edit)], [leaf(edit)]);
  const reader = agent(counted.store);
  await reader.readRoot();
  counted.take();
  return { ...counted, reader };
}

const content = (edit: number) => raw(`content ${edit}.`);
const leaf = (edit: number) => node(`leaf ${edit}.`);
const commit = (edit: number) => node(`commit edit ${edit}`).cid;

async function damageFooter(store: ObjectStore, edit: number): Promise<void> {
  const name = commitObjectName(commit(edit));
  const { bytes = new Uint8Array(), token = "" } = (await store.get(name)) ?? {};
  expect((await store.putIfMatch(name, [bytes.with(bytes.length - 60, 0xff)], token)).kind).toBe("stored");
}

describe("a block in loose packs", () => {
  test("is found in the oldest pack, and each pack is read once", async () => {
    const { reader, take } = await bucketOfEdits();
    expect(Buffer.from(await reader.blocks.get(content(0).cid)).toString()).toBe("content 0.");
    expect(take().reads).toBeLessThanOrEqual(COMMITS + 1);
    for (let edit = 0; edit < COMMITS; edit++) await reader.blocks.getMany([content(edit).cid, leaf(edit).cid]);
    expect(take().reads).toBe(0);
  });

  test("is found without reading older packs if it was written recently", async () => {
    const { reader, take } = await bucketOfEdits();
    await reader.blocks.get(content(COMMITS - 3).cid);
    expect(take().reads).toBeLessThanOrEqual(1 + STORE_CONCURRENCY);
  });

  test("that is a commit is found in its own object, without searching the packs around it", async () => {
    const { reader, take } = await bucketOfEdits();
    await reader.blocks.getMany([commit(2), commit(17)]);
    expect(take().reads).toBe(3);
  });

  test("is found even if the object named after that commit does not hold it", async () => {
    const { store } = await bucketOfEdits();
    const moved = node(`commit edit ${COMMITS - 4}`);
    await publish(agent(store), "holds that one, too", [], [moved]);
    await publish(agent(store), "newest", [], []);
    await damageFooter(store, COMMITS - 4);
    expect(Buffer.compare(await agent(store).blocks.get(moved.cid), moved.bytes)).toBe(0);
  });

  test("is found despite damaged footers of other packs, which are not reported", async () => {
    const { store, reader } = await bucketOfEdits();
    await damageFooter(store, 3);
    const directory = new PackDirectory(store);
    const index = new PlacementIndex(directory, await directory.commitObject((await rootOf(reader)).commit));
    const wanted = [COMMITS - 2, COMMITS - 1].map((edit) => content(edit).cid);
    const { found, damage } = await index.locate(wanted);
    expect([...found.keys()].toSorted()).toEqual(wanted.toSorted());
    expect(damage).toEqual([]);
  });

  test("is missing with the reason when the footer of its pack is damaged, and older packs are still searched", async () => {
    const { store, reader } = await bucketOfEdits();
    await damageFooter(store, 3);
    await expect(reader.blocks.get(content(3).cid)).rejects.toMatchObject({
      code: "block_not_found",
      message: expect.stringContaining(commitObjectName(commit(3))),
    });
    await expect(reader.blocks.get(commit(3))).rejects.toMatchObject({ code: "block_not_found" });
    expect(Buffer.from(await reader.blocks.get(content(1).cid)).toString()).toBe("content 1.");
  });

  test("is looked up again once placement is forgotten", async () => {
    const { store, reader } = await bucketOfEdits();
    await reader.blocks.get(content(5).cid);
    await damageFooter(store, 5);
    expect((await reader.blocks.get(content(5).cid)).length).toBe(10);
    reader.forgetPlacement();
    await expect(reader.blocks.get(content(5).cid)).rejects.toMatchObject({ code: "block_not_found" });
  });
});

describe("an upload by a client that has read little", () => {
  /** How many objects hold these bytes. */
  const holders = async (store: ObjectStore, { bytes }: Block) => {
    let count = 0;
    for await (const { name } of store.list("commit/")) {
      if (Buffer.from((await store.get(name))?.bytes ?? []).includes(Buffer.from(bytes))) count++;
    }
    return count;
  };

  test("of a few nodes reads no older packs", async () => {
    const { reader, take } = await bucketOfEdits();
    await publish(reader, "again", [], [node("new")]);
    const { reads, puts } = take();
    expect(puts).toBe(2);
    expect(reads).toBeLessThanOrEqual(2);
  });

  test("resends a node that only an older pack holds, and every block is found", async () => {
    const { store, reader } = await bucketOfEdits();
    await publish(reader, "again", [], [leaf(2), leaf(COMMITS - 1)]);
    expect(await holders(store, leaf(2))).toBe(2);
    expect(await holders(store, leaf(COMMITS - 1))).toBe(1);
    expect((await agent(store).blocks.getMany([leaf(2).cid, content(2).cid, leaf(3).cid])).size).toBe(3);
  });

  test("does not resend content that an older pack holds", async () => {
    const { store, reader } = await bucketOfEdits();
    await publish(reader, "again", [content(2)], []);
    expect(await holders(store, content(2))).toBe(1);
  });

  test("of many nodes does not resend those already stored", async () => {
    const { store, reader, take } = await bucketOfEdits();
    const { bytes } = randomLooking("large", UNASKED_NODE_BYTES);
    const nodes = [leaf(2), { cid: cidOf("dag-cbor", bytes), bytes }];
    take();
    await publish(reader, "again", [], nodes);
    expect(await holders(store, leaf(2))).toBe(1);
  });
});
