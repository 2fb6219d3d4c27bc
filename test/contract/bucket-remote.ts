/** What every BucketRemote must do, with commits as real as a master wants them, and trees of which only the links count. */
import { beforeAll, describe, expect, test } from "vitest";
import type { Cid } from "../../src/base/ids.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import type { BucketRemote } from "../../src/bucket/remote.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import type { Root } from "../../src/roots/root-store.ts";
import { randomLooking, raw } from "../support/opaque-commits.ts";
import { cborBlock, madeSigned, publishSigned, SignedHistory } from "../support/signed-history.ts";

/** Opens the same fresh storage any number of times, as separate agents would. */
export type OpenStorage = () => Promise<() => Promise<BucketRemote>>;

export function bucketRemoteContract(openStorage: OpenStorage): void {
  let history: SignedHistory;
  let other: SignedHistory;
  beforeAll(async () => {
    [history, other] = [await SignedHistory.create(1), await SignedHistory.create(2)];
  });

  const made = (open: () => Promise<BucketRemote>) => madeSigned(history, open);
  const publish = (remote: BucketRemote, note: string, content: Block[] = [], nodes: Block[] = []) =>
    publishSigned(history, remote, note, content, nodes);
  const one = () => history.first.commit.cid;

  describe("a bucket", () => {
    test("does not exist before it is created", async () => {
      const remote = await (await openStorage())();
      await expect(remote.readGenesis()).rejects.toMatchObject({ code: "no_such_bucket" });
      expect(await remote.readRoot()).toBeUndefined();
    });

    test("is created once; a second attempt changes nothing", async () => {
      const open = await openStorage();
      const [first, second] = [await open(), await open()];
      expect(await first.create(history.genesis, history.first)).toBe(true);
      expect(await second.create(other.genesis, other.first)).toBe(false);
      expect(cidOf("dag-cbor", await second.readGenesis())).toBe(history.genesis.cid);
      expect(await second.readRoot()).toEqual({ commit: one(), version: 1 });
    });

    test("is created by one of two concurrent callers, with that caller's genesis", async () => {
      const open = await openStorage();
      const both = [history, other];
      const made = await Promise.all(both.map(async ({ genesis, first }) => (await open()).create(genesis, first)));
      expect(made.filter(Boolean)).toHaveLength(1);
      const winner = made[0] === true ? history : other;
      const reader = await open();
      expect(cidOf("dag-cbor", await reader.readGenesis())).toBe(winner.genesis.cid);
      expect((await reader.readRoot())?.commit).toBe(winner.first.commit.cid);
    });
  });

  describe("publishing", () => {
    test("everyone can read after a swap what was uploaded before it", async () => {
      const open = await openStorage();
      const writer = await made(open);
      const content = Array.from({ length: 5 }, (_, index) => raw(`content ${index}`));
      const nodes = [cborBlock("leaf"), cborBlock("inner")];
      const root = await publish(writer, "two", content, nodes);
      const reader = await open();
      expect(await reader.readRoot()).toEqual(root);
      const cids = [...[...content, ...nodes].map(({ cid }) => cid), one(), root.commit];
      const read = await reader.blocks.getMany(cids);
      expect(cids.map((cid) => cidOfSame(cid, read.get(cid)))).toEqual(cids);
      expect(await reader.blocks.get(cborBlock("nobody's").cid).catch(codeOf)).toBe("block_not_found");
    });

    test("a reader on an old root finds blocks published since", async () => {
      const open = await openStorage();
      const writer = await made(open);
      const reader = await open();
      await reader.readRoot();
      await publish(writer, "two", [raw("new")]);
      expect(text(await reader.blocks.get(raw("new").cid))).toBe("new");
    });

    test("the second of two swaps from one root is a conflict that names the first, and can be prepared again", async () => {
      const open = await openStorage();
      const [writer, late] = [await made(open), await open()];
      const base = await rootOf(late);
      await using session = late.beginUpload();
      await session.putContent(raw("mine"));
      const mine = await session.prepare(base, history.next(base.commit, "mine", [raw("mine")]));
      const won = await publish(writer, "theirs", [raw("theirs")]);
      expect(await mine.swap()).toEqual({ kind: "conflict", current: won });
      const again = await session.prepare(won, history.next(won.commit, "mine again", [raw("mine")]));
      expect(await again.swap()).toMatchObject({ kind: "committed", root: { version: 3 } });
      const reader = await open();
      for (const content of ["mine", "theirs"]) expect(text(await reader.blocks.get(raw(content).cid))).toBe(content);
    });

    test("sending a won swap again is a conflict with itself, not a second win", async () => {
      const open = await openStorage();
      const writer = await made(open);
      await using session = writer.beginUpload();
      const prepared = await session.prepare(await rootOf(writer), history.next(one(), "two"));
      expect((await prepared.swap()).kind).toBe("committed");
      const current = { commit: prepared.commit, version: 2 };
      expect(await prepared.swap()).toMatchObject({ kind: "conflict", current });
    });

    test("an upload session reads its own blocks before anyone else can", async () => {
      const open = await openStorage();
      const writer = await made(open);
      await using session = writer.beginUpload();
      await session.putContent(raw("early"));
      expect(text(await session.blocks.get(raw("early").cid))).toBe("early");
      expect(cidOf("dag-cbor", await session.blocks.get(one()))).toBe(one());
      expect(await writer.blocks.get(raw("early").cid).catch(codeOf)).toBe("block_not_found");
    });

    test("a block that the bucket already holds is not uploaded again", async () => {
      const open = await openStorage();
      const writer = await made(open);
      const large = randomLooking("large", 500_000);
      const { commit } = await publish(writer, "two", [large]);
      await using session = writer.beginUpload();
      await session.putContent(large);
      const prepared = await session.prepare(await rootOf(writer), history.next(commit, "three", [large]));
      expect(prepared.uploaded.bytes).toBeLessThan(10_000);
      await prepared.swap();
      expect(Buffer.compare(await (await open()).blocks.get(large.cid), large.bytes)).toBe(0);
    });

    test("blocks with equal bytes under two codecs are both readable", async () => {
      const open = await openStorage();
      const node = cborBlock("the same");
      const content: Block = { cid: cidOf("raw", node.bytes), bytes: node.bytes };
      await publish(await made(open), "two", [content], [node]);
      const reader = await open();
      for (const { cid, bytes } of [content, node]) {
        expect(Buffer.compare(await reader.blocks.get(cid), bytes)).toBe(0);
      }
    });
  });

  test("a watcher hears of a root that another agent swapped in", async () => {
    const open = await openStorage();
    const [writer, reader] = [await made(open), await open()];
    const seen = new Promise<Cid>((resolve, reject) => {
      const look = async () => {
        const root = await reader.readRoot();
        if (root === undefined || root.version < 2) return;
        watch[Symbol.dispose]();
        resolve(root.commit);
      };
      const watch = reader.watch(() => void look().catch(reject));
    });
    const root = await publish(writer, "two");
    expect(await seen).toBe(root.commit);
  });
}

async function rootOf(remote: BucketRemote): Promise<Root> {
  const root = await remote.readRoot();
  if (root === undefined) throw new Error("the bucket has no root");
  return root;
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
