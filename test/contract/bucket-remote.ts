/** What every BucketRemote must do, below commits and trees: blocks are opaque here. */
import { describe, expect, test } from "vitest";
import type { Cid } from "../../src/base/ids.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import type { BucketRemote, Upload } from "../../src/bucket/remote.ts";
import { cidOf } from "../../src/format/cid.ts";
import type { Root } from "../../src/roots/root-store.ts";

/** Opens the same fresh storage any number of times, as separate agents would. */
export type OpenStorage = () => Promise<() => Promise<BucketRemote>>;

export function bucketRemoteContract(openStorage: OpenStorage): void {
  describe("a bucket", () => {
    test("is not there before it is made", async () => {
      const remote = await (await openStorage())();
      await expect(remote.readGenesis()).rejects.toMatchObject({ code: "no_such_bucket" });
      expect(await remote.readRoot()).toBeUndefined();
    });

    test("is made once; who comes second changes nothing", async () => {
      const open = await openStorage();
      const [first, second] = [await open(), await open()];
      expect(await first.create(node("genesis"), upload("one"))).toBe(true);
      expect(await second.create(node("another genesis"), upload("two"))).toBe(false);
      expect(text(await second.readGenesis())).toBe("genesis");
      expect(await second.readRoot()).toEqual({ commit: upload("one").commit.cid, version: 1 });
    });

    test("is made by one of two who try at once, and the genesis is theirs", async () => {
      const open = await openStorage();
      const names = ["one", "two"];
      const made = await Promise.all(
        names.map(async (name) => (await open()).create(node(`genesis ${name}`), upload(name))),
      );
      expect(made.filter(Boolean)).toHaveLength(1);
      const winner = made[0] === true ? "one" : "two";
      const reader = await open();
      expect(text(await reader.readGenesis())).toBe(`genesis ${winner}`);
      expect((await reader.readRoot())?.commit).toBe(upload(winner).commit.cid);
    });
  });

  describe("publishing", () => {
    test("what was uploaded before a swap is readable by everyone after it", async () => {
      const open = await openStorage();
      const writer = await made(open);
      const content = Array.from({ length: 5 }, (_, index) => raw(`content ${index}`));
      const nodes = [node("leaf"), node("inner")];
      const root = await publish(writer, "two", content, nodes);
      const reader = await open();
      expect(await reader.readRoot()).toEqual(root);
      const cids = [...content, ...nodes, upload("one").commit, upload("two").commit].map(({ cid }) => cid);
      const read = await reader.blocks.getMany(cids);
      expect(cids.map((cid) => cidOfSame(cid, read.get(cid)))).toEqual(cids);
      expect(await reader.blocks.get(upload("genesis's block").commit.cid).catch(codeOf)).toBe("block_not_found");
    });

    test("a reader that stands on an old root finds blocks that were published meanwhile", async () => {
      const open = await openStorage();
      const writer = await made(open);
      const reader = await open();
      await reader.readRoot();
      await publish(writer, "two", [raw("new")], []);
      expect(text(await reader.blocks.get(raw("new").cid))).toBe("new");
    });

    test("of two swaps from one root the second is a conflict that names the first, and can be prepared again", async () => {
      const open = await openStorage();
      const [one, two] = [await made(open), await open()];
      const base = await rootOf(two);
      await using session = two.beginUpload();
      await session.putContent(raw("mine"));
      const late = await session.prepare(base, upload("mine"));
      const won = await publish(one, "theirs", [raw("theirs")], []);
      expect(await late.swap()).toEqual({ kind: "conflict", current: won });
      const again = await session.prepare(won, upload("mine again"));
      expect(await again.swap()).toMatchObject({ kind: "committed", root: { version: 3 } });
      const reader = await open();
      for (const content of ["mine", "theirs"]) expect(text(await reader.blocks.get(raw(content).cid))).toBe(content);
    });

    test("sending a swap again after it was won is a conflict with itself, not a second win", async () => {
      const open = await openStorage();
      const writer = await made(open);
      await using session = writer.beginUpload();
      const prepared = await session.prepare(await rootOf(writer), upload("two"));
      expect((await prepared.swap()).kind).toBe("committed");
      const repeated = await prepared.swap();
      expect(repeated).toMatchObject({ kind: "conflict", current: { commit: upload("two").commit.cid, version: 2 } });
    });

    test("a session reads back what it took before anybody else can", async () => {
      const open = await openStorage();
      const writer = await made(open);
      await using session = writer.beginUpload();
      await session.putContent(raw("early"));
      expect(text(await session.blocks.get(raw("early").cid))).toBe("early");
      expect(text(await session.blocks.get(upload("one").commit.cid))).toBe("commit one");
      expect(await writer.blocks.get(raw("early").cid).catch(codeOf)).toBe("block_not_found");
    });

    test("a block that the bucket holds is not sent again", async () => {
      const open = await openStorage();
      const writer = await made(open);
      const large = randomLooking("large", 500_000);
      await publish(writer, "two", [large], []);
      await using session = writer.beginUpload();
      await session.putContent(large);
      const prepared = await session.prepare(await rootOf(writer), upload("three"));
      expect(prepared.uploaded.bytes).toBeLessThan(10_000);
      await prepared.swap();
      expect(Buffer.compare(await (await open()).blocks.get(large.cid), large.bytes)).toBe(0);
    });

    test("blocks of equal bytes under two codecs are both readable", async () => {
      const open = await openStorage();
      await publish(await made(open), "two", [raw("the same")], [node("the same")]);
      const reader = await open();
      expect(text(await reader.blocks.get(raw("the same").cid))).toBe("the same");
      expect(text(await reader.blocks.get(node("the same").cid))).toBe("the same");
    });
  });

  test("a watcher hears of a root that another swapped", async () => {
    const open = await openStorage();
    const [writer, reader] = [await made(open), await open()];
    const next = upload("two").commit.cid;
    const seen = new Promise<void>((resolve) => {
      const look = async () => {
        if ((await reader.readRoot())?.commit !== next) return;
        watch[Symbol.dispose]();
        resolve();
      };
      const watch = reader.watch(() => void look());
    });
    await publish(writer, "two", [], []);
    await expect(seen).resolves.toBeUndefined();
  });
}

/** A bucket whose first commit is "one". */
export async function made<Remote extends BucketRemote>(open: () => Promise<Remote>): Promise<Remote> {
  const remote = await open();
  expect(await remote.create(node("genesis"), upload("one"))).toBe(true);
  return remote;
}

/** Publishes a commit of this name on top of the current root. */
export async function publish(remote: BucketRemote, name: string, content: Block[], nodes: Block[]): Promise<Root> {
  await using session = remote.beginUpload();
  for (const block of content) await session.putContent(block);
  const prepared = await session.prepare(await rootOf(remote), { ...upload(name), blocks: nodes });
  const outcome = await prepared.swap();
  if (outcome.kind !== "committed") throw new Error(`the swap of ${name} was ${outcome.kind}`);
  return outcome.root;
}

export async function rootOf(remote: BucketRemote): Promise<Root> {
  const root = await remote.readRoot();
  if (root === undefined) throw new Error("the bucket has no root");
  return root;
}

export function upload(name: string): Upload {
  return { commit: node(`commit ${name}`), blocks: [] };
}

export function node(content: string): Block {
  return { cid: cidOf("dag-cbor", Buffer.from(content)), bytes: Buffer.from(content) };
}

export function raw(content: string): Block {
  return { cid: cidOf("raw", Buffer.from(content)), bytes: Buffer.from(content) };
}

/** A content block of this size that differs from every other label's. */
export function randomLooking(label: string, size: number): Block {
  const bytes = Buffer.alloc(size);
  let state = Buffer.from(label).reduce((sum, byte) => (Math.imul(sum, 31) + byte) | 0, 7);
  for (let at = 0; at + 4 <= size; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes.writeInt32LE(state, at);
  }
  return { cid: cidOf("raw", bytes), bytes };
}

function cidOfSame(cid: Cid, bytes: Uint8Array | undefined): Cid {
  return cidOf(cid.startsWith("bafyr4i") ? "dag-cbor" : "raw", bytes ?? new Uint8Array());
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : error;
}
