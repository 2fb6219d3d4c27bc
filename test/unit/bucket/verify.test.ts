import { describe, expect, test, vi } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import type { Cid, FileId } from "../../../src/base/ids.ts";
import { ROOT_ID } from "../../../src/base/ids.ts";
import { Bucket } from "../../../src/bucket/bucket.ts";
import { resolvePath } from "../../../src/fstree/fs-reader.ts";
import { publishEpoch } from "../../../src/bucket/publish.ts";
import type { PublishContext } from "../../../src/bucket/publish.ts";
import { NO_TOTALS, totalsAfter } from "../../../src/bucket/totals.ts";
import { verifyBucket } from "../../../src/bucket/verify.ts";
import { checkTree } from "../../../src/bucket/verify/tree-check.ts";
import { ChunkCache } from "../../../src/content/chunk-cache.ts";
import { encodeChunkList } from "../../../src/format/files/chunk-list.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { backrefKey, birthId, dentryKey, selfKey } from "../../../src/format/files/keys.ts";
import type { FileRecord } from "../../../src/format/files/record.ts";
import { encodeDentry, encodeSelf } from "../../../src/format/files/rows.ts";
import type { SelfRow } from "../../../src/format/files/rows.ts";
import { editTree, emptyTree } from "../../../src/tree/edit.ts";
import type { Edit } from "../../../src/tree/entry.ts";
import { NodeStore } from "../../../src/tree/node-store.ts";
import { Attacker } from "../../support/attacker.ts";
import { noise } from "../../support/bytes.ts";
import { epochOf, name, recordOf } from "../../support/epochs.ts";
import type { ObjectEdit } from "../../support/epochs.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { putRepeatingList } from "../../support/repeating-list.ts";
import { createBucket, newWriter, nodesOf, openBucket } from "../../support/test-bucket.ts";
import { dropKept } from "../../support/thinning.ts";

async function publish(context: PublishContext, epoch: number, edits: readonly ObjectEdit[]): Promise<void> {
  const current = await context.bucket.current();
  if (current === undefined) throw new Error("the bucket has no root");
  const on = { commit: current.commit.cid, seq: current.commit.body.seq };
  const { changes, data } = epochOf(on, epoch, edits);
  expect((await publishEpoch(context, changes, data)).kind).toBe("published");
}

/** Two directories; one large file under two names, one of equal bytes, and many small ones. */
async function filledBucket() {
  const remote = new MemoryRemote();
  const bucket = await createBucket(remote);
  const me = await newWriter(bucket, 2);
  const large = noise(300_000, 5);
  await publish(me, 1, [
    { ino: 2, names: [[1, "d"]], type: "directory" },
    {
      ino: 3,
      names: [
        [2, "twice"],
        [1, "linked"],
      ],
      bytes: large,
    },
    { ino: 4, names: [[1, "copy"]], bytes: large },
    ...Array.from({ length: 400 }, (_, index): ObjectEdit => ({
      ino: 10 + index,
      names: [[2, `f${index}`]],
      bytes: noise(100, index + 1),
    })),
  ]);
  return { remote, bucket, me };
}

async function tree(bucket: Bucket): Promise<Cid> {
  return (await bucket.current())?.commit.body.tree as Cid;
}

async function objectAt(bucket: Bucket, ...path: string[]) {
  const object = await resolvePath(nodesOf(bucket), await tree(bucket), path.map(name));
  if (object === undefined) throw new Error("no such path");
  return object;
}

function flip(remote: MemoryRemote, cid: Cid): void {
  const bytes = Uint8Array.from(remote.blocks.held.get(cid) ?? []);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  remote.blocks.held.set(cid, bytes);
}

describe("verifying a bucket", () => {
  test("finds nothing wrong in a sound bucket, and reads each block once", async () => {
    const { remote, bucket, me } = await filledBucket();
    await publish(me, 2, [{ ino: 900, names: [[1, "more"]], bytes: Buffer.from("x") }]);
    const seen: number[] = [];
    remote.blocks.forgetCounts();
    const report = await verifyBucket(bucket, {
      blocks: remote.blocks,
      onProgress: ({ blocks }) => void seen.push(blocks),
    });
    expect(report.damage).toEqual([]);
    expect(report.roots).toBe(3);
    // Two commits before the newest, each with a list of kept commits that counts no more.
    expect(report.blocks).toBe(remote.blocks.held.size - 2);
    expect(seen.at(-1)).toBe(report.blocks);
  });

  test("names every path that uses a damaged chunk", async () => {
    const { remote, bucket } = await filledBucket();
    const { record } = await objectAt(bucket, "copy");
    if (record.content.kind !== "list") throw new Error("expected a list of chunks");
    const source = new ChunkCache(remote.blocks, { capacityBytes: 1 << 20 });
    await source.load([record.content.cid]);
    const chunk = source.peekList(record.content.cid)?.entry(1).cid as Cid;
    flip(remote, chunk);
    const { damage } = await verifyBucket(await openBucket(remote), { blocks: remote.blocks });
    expect(damage.map(({ path, cid }) => [path, cid]).sort()).toEqual([
      ["/copy", chunk],
      ["/d/twice", chunk],
      ["/linked", chunk],
    ]);
  });

  test("names the directory with a damaged node, and continues elsewhere", async () => {
    const { remote, bucket } = await filledBucket();
    const nodes = nodesOf(bucket);
    const root = await nodes.node(await tree(bucket));
    const child = root.childAt(1);
    const { record } = await objectAt(bucket, "d", "f1");
    expect(root.level).toBeGreaterThan(0);
    expect(record.content.kind).toBe("inline");
    flip(remote, child);
    const { damage } = await verifyBucket(await openBucket(remote), { blocks: remote.blocks });
    expect(damage[0]).toMatchObject({ cid: child });
    expect(damage[0]?.path).toBe("/d");
    expect(damage.at(-1)?.what).toMatch(/could not be checked/);
  });

  test("names the older root of a damaged file that the current root no longer has", async () => {
    const { remote, bucket, me } = await filledBucket();
    const before = (await bucket.current())?.commit.cid;
    const copy = await objectAt(bucket, "copy");
    const linked = await objectAt(bucket, "linked");
    await publish(me, 2, [{ ino: 4, base: copy, names: [] }]);
    await publish(me, 3, [{ ino: 3, base: linked, names: [] }]);
    remote.blocks.held.delete(copy.record.content.kind === "list" ? copy.record.content.cid : ("" as Cid));
    const { damage } = await verifyBucket(await openBucket(remote), { blocks: remote.blocks });
    expect(damage.length).toBeGreaterThan(0);
    expect(damage.every(({ root }) => root !== undefined)).toBe(true);
    expect(damage.map(({ path }) => path)).toContain("/linked");
    expect(damage.some(({ root }) => root === before)).toBe(false);
  });

  test.each(["a device is looked up", "a list of chunks is checked"])(
    "fails, and reports no damage, if the store becomes unreachable while %s",
    async (when) => {
      const { remote, bucket } = await filledBucket();
      const { content } = (await objectAt(bucket, "copy")).record;
      if (content.kind !== "list") throw new Error("expected a list of chunks");
      const certificate = (await bucket.current())?.commit.certificate as Cid;
      // What the walk read before, it does not read again.
      const [away, last] = when === "a device is looked up" ? [certificate, 0] : [content.cid, 1];
      let reads = 0;
      const getMany = async (cids: readonly Cid[]) => {
        if (cids.includes(away) && reads++ === last) throw new SynclineError("store_unreachable", "It went away.");
        return remote.blocks.getMany(cids);
      };
      const get = async (cid: Cid) => (await getMany([cid])).get(cid) ?? new Uint8Array();
      const opened = await Bucket.open(remote, { blocks: { get, getMany } });
      const verifying = verifyBucket(opened, { blocks: { get, getMany } });
      await expect(verifying).rejects.toMatchObject({ code: "store_unreachable" });
    },
  );

  test("names a lost certificate itself, so that a repair looks for it", async () => {
    const { remote, bucket } = await filledBucket();
    const certificate = (await bucket.current())?.commit.certificate as Cid;
    remote.blocks.held.delete(certificate);
    const { damage, lost } = await verifyBucket(await openBucket(remote), { blocks: remote.blocks });
    expect(lost).toContain(certificate);
    expect(damage.map(({ cid }) => cid)).toContain(certificate);
  });

  test("visits each node of a chunk list once, however often it is in the nodes above, and names a lost chunk below", async () => {
    const remote = new MemoryRemote();
    await createBucket(remote);
    const list = await putRepeatingList(remote.blocks, Buffer.of(1), 5);
    if (list.cid === undefined) throw new Error("expected a list of chunks");
    const record = recordOf("file", { size: list.length, content: { kind: "list", cid: list.cid } });
    const row = encodeDentry({ kind: "record", stated: undefined, record }, () => expect.unreachable());
    const totals = { files: 1, directories: 0, bytes: list.length };
    const attacker = await Attacker.start(remote, 7);
    await attacker.publish([{ key: dentryKey(ROOT_ID, name("a")), ...row }], { totals });
    let visits = 0;
    const visit = () => {
      if (++visits > 1_000) throw new Error("too many visits");
    };
    const { peekList } = ChunkCache.prototype;
    const peeks = vi.spyOn(ChunkCache.prototype, "peekList").mockImplementation(function (this: ChunkCache, cid) {
      visit();
      return peekList.call(this, cid);
    });
    const getMany = (cids: readonly Cid[]) => {
      visit();
      return remote.blocks.getMany(cids);
    };
    const get = async (cid: Cid) => (await getMany([cid])).get(cid) ?? new Uint8Array();
    const verified = async () => verifyBucket(await openBucket(remote), { blocks: { get, getMany } });
    expect((await verified()).damage).toEqual([]);
    remote.blocks.held.delete(cidOf("raw", Buffer.of(1)));
    expect((await verified()).damage).toMatchObject([{ path: "/a", cid: cidOf("raw", Buffer.of(1)) }]);
    peeks.mockRestore();
  });

  test("reports no damage where only a newer version can read the root", async () => {
    const { remote, me } = await filledBucket();
    await dropKept(me, [], { features: { incompat: ["future/1"], roCompat: [], compat: [] } });
    const verifying = verifyBucket(await openBucket(remote), { blocks: remote.blocks });
    await expect(verifying).rejects.toMatchObject({ code: "feature_unknown" });
  });

  test("reports a missing current root", async () => {
    const { remote, bucket } = await filledBucket();
    const root = (await bucket.current())?.commit.cid as Cid;
    remote.blocks.held.delete(root);
    const { damage } = await verifyBucket(await openBucket(remote), { blocks: remote.blocks });
    expect(damage).toMatchObject([{ cid: root }, { cid: root }].slice(0, damage.length));
  });
});

describe("checking a tree", () => {
  const directory: SelfRow = { kind: "directory", record: recordOf("directory"), place: undefined, subdirs: 0 };
  const noLink = () => {
    throw new Error("no long values here");
  };
  const file = birthId(ROOT_ID, name("a"), "file", 0);
  const elsewhere = birthId(ROOT_ID, name("b"), "file", 0);
  const dir = birthId(ROOT_ID, name("d"), "directory", 0);
  const put = (key: Uint8Array, row: { value: Uint8Array; links: readonly Cid[] }): Edit => ({ key, ...row });
  const root = (subdirs = 0) => put(selfKey(ROOT_ID), encodeSelf({ ...directory, subdirs }, noLink));
  const dirRow = (parent: FileId, text: string, subdirs = 0, id = dir) =>
    put(selfKey(id), encodeSelf({ ...directory, place: { parent, name: name(text) }, subdirs }, noLink));
  const dirDentry = (parent: FileId, text: string, id = dir) =>
    put(dentryKey(parent, name(text)), encodeDentry({ kind: "reference", type: "directory", id }, noLink));
  const inline = (parent: FileId, text: string, stated?: FileId) =>
    put(dentryKey(parent, name(text)), encodeDentry({ kind: "record", stated, record: recordOf("file") }, noLink));
  const holeListBytes = encodeChunkList(0, [{ cid: undefined, length: 100_000, dataLength: 0 }]);
  const holeList = cidOf("dag-cbor", holeListBytes);
  const sparse = (text: string, dataBytes: number) => {
    const record: FileRecord = {
      ...recordOf("file"),
      size: 100_000,
      content: { kind: "list", cid: holeList, dataBytes },
    };
    return put(dentryKey(ROOT_ID, name(text)), encodeDentry({ kind: "record", stated: undefined, record }, noLink));
  };
  const linked = (parent: FileId, text: string, id: FileId) =>
    put(dentryKey(parent, name(text)), encodeDentry({ kind: "reference", type: "file", id }, noLink));
  const fileRow = (id: FileId) => put(selfKey(id), encodeSelf({ kind: "file", record: recordOf("file") }, noLink));
  const backref = (id: FileId, parent: FileId, text: string) =>
    put(backrefKey(id, parent, name(text)), { value: new Uint8Array(), links: [] });

  async function wrongs(rows: Edit[], totals = true): Promise<string[]> {
    const { blocks } = new MemoryRemote();
    await blocks.put({ cid: holeList, bytes: holeListBytes });
    const bucket = await createBucket(new MemoryRemote());
    const nodes = new NodeStore(blocks, { capacityBytes: 1 << 20 });
    const content = new ChunkCache(blocks, { capacityBytes: 1 << 20 });
    const empty = await emptyTree(nodes, blocks, bucket.treeConfig);
    const sorted = rows.sort((a, b) => Buffer.compare(a.key, b.key));
    const made = await editTree(nodes, blocks, bucket.treeConfig, empty, sorted);
    const right = await totalsAfter(nodes, empty, NO_TOTALS, made);
    const found: string[] = [];
    const stated = totals ? right : { ...right, files: right.files + 1 };
    for await (const { what } of checkTree({ nodes, content, blocks }, made, stated)) found.push(what);
    return found;
  }

  const cases: readonly (readonly [string, Edit[], RegExp])[] = [
    ["a valid tree", [root(1), inline(ROOT_ID, "a"), dirDentry(ROOT_ID, "d"), dirRow(ROOT_ID, "d")], /^$/],
    ["a sparse file", [root(), sparse("a", 0)], /^$/],
    ["a sparse file that says of holes that they are data", [root(), sparse("a", 1)], /misstates how much/],
    ["a moved file", [root(), inline(ROOT_ID, "a", elsewhere), backref(elsewhere, ROOT_ID, "a")], /^$/],
    [
      "a hard-linked file",
      [
        root(),
        linked(ROOT_ID, "a", file),
        linked(ROOT_ID, "b", file),
        fileRow(file),
        backref(file, ROOT_ID, "a"),
        backref(file, ROOT_ID, "b"),
      ],
      /^$/,
    ],
    ["no root directory", [inline(ROOT_ID, "a")], /no root directory|not a directory/],
    [
      "a wrong count of subdirectories",
      [root(2), dirDentry(ROOT_ID, "d"), dirRow(ROOT_ID, "d")],
      /records 2 subdirectories, but has 1/,
    ],
    ["a directory whose name leads nowhere", [root(1), dirDentry(ROOT_ID, "d")], /does not exist/],
    ["a directory that no name leads to", [root(), dirRow(ROOT_ID, "d")], /leads elsewhere/],
    [
      "a directory under two names",
      [root(2), dirDentry(ROOT_ID, "d"), dirDentry(ROOT_ID, "e"), dirRow(ROOT_ID, "d")],
      /second name/,
    ],
    ["a name in what is no directory", [root(), inline(dir, "x")], /not a directory/],
    ["a directory in itself", [root(), dirDentry(dir, "x"), dirRow(ROOT_ID, "d", 1)], /leads elsewhere|second name/],
    [
      "directories in a cycle",
      [root(), dirRow(file, "x", 1), dirDentry(file, "x"), dirRow(dir, "y", 1, file), dirDentry(dir, "y", file)],
      /is not connected to the root/,
    ],
    [
      "a moved file without a back-reference",
      [root(), inline(ROOT_ID, "a", elsewhere)],
      /back-reference .* is missing/,
    ],
    [
      "a back-reference to nothing",
      [root(), backref(file, ROOT_ID, "a")],
      /back-reference claims this name .* but the name leads elsewhere/,
    ],
    [
      "a back-reference of a file at its birth place",
      [root(), inline(ROOT_ID, "a"), backref(file, ROOT_ID, "a")],
      /at its original name|Another object/,
    ],
    [
      "one id under two records",
      [root(), inline(ROOT_ID, "a"), inline(ROOT_ID, "b", file), backref(file, ROOT_ID, "b")],
      /has the id/,
    ],
    [
      "a hard-linked file with one name",
      [root(), linked(ROOT_ID, "a", file), fileRow(file), backref(file, ROOT_ID, "a")],
      /file with a self-record but 1 names/,
    ],
    [
      "a hard link without a back-reference",
      [root(), linked(ROOT_ID, "a", file), linked(ROOT_ID, "b", file), fileRow(file), backref(file, ROOT_ID, "a")],
      /back-reference .* is missing/,
    ],
  ];
  test.each(cases)("%s", async (_, rows, expected) => {
    const found = await wrongs([...rows]);
    expect(found.join("\n")).toMatch(expected);
  });

  test("totals that do not match the tree", async () => {
    expect((await wrongs([root(), inline(ROOT_ID, "a")], false)).join()).toMatch(/totals/);
  });
});
