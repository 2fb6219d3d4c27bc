import { describe, expect, test } from "vitest";
import type { FileId } from "../../../../src/base/ids.ts";
import { ROOT_ID } from "../../../../src/base/ids.ts";
import type { Bucket, CurrentRoot } from "../../../../src/bucket/bucket.ts";
import { readBackrefs, readDentry, readSelf, resolvePath } from "../../../../src/fstree/fs-reader.ts";
import type { TreeObject } from "../../../../src/fstree/fs-reader.ts";
import { directoryNames } from "../../../../src/fstree/merge/conflict-names.ts";
import { publishEpoch } from "../../../../src/bucket/publish.ts";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import { birthId } from "../../../../src/format/files/keys.ts";
import type { FileType } from "../../../../src/format/files/record.ts";
import { epochOf, name } from "../../../support/epochs.ts";
import type { ObjectEdit } from "../../../support/epochs.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { createBucket, newWriter, nodesOf, pathsOf } from "../../../support/test-bucket.ts";

const bytes = (text: string) => Buffer.from(text);
const born = (text: string, type: FileType = "file", parent: FileId = ROOT_ID, generation = 0) =>
  birthId(parent, name(text), type, generation);

/** A bucket with two writers; each epoch must leave a valid tree. */
async function world() {
  const remote = new MemoryRemote();
  const bucket = await createBucket(remote);
  const writers = [await newWriter(bucket, 2), await newWriter(bucket, 3)];
  const epochs = [0, 0];
  /** Publishes edits as writer `who`, on the root of now or on an older one. */
  const publish = async (
    edits: readonly ObjectEdit[],
    options: { who?: number; on?: CurrentRoot; directories?: Record<number, FileId> } = {},
  ) => {
    const { who = 0, on = await root(bucket), directories = {} } = options;
    const [writer, epoch] = [writers[who], (epochs[who] = (epochs[who] ?? 0) + 1)];
    if (writer === undefined) throw new Error("no such writer");
    const { changes, data } = epochOf({ commit: on.commit.cid, seq: on.commit.body.seq }, epoch, edits, directories);
    const outcome = await publishEpoch(writer, changes, data);
    if (outcome.kind !== "published") throw new Error(outcome.kind);
    expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
    return outcome;
  };
  const at = async (...path: string[]): Promise<TreeObject> => {
    const object = await resolvePath(nodesOf(bucket), (await root(bucket)).commit.body.tree, path.map(name));
    if (object === undefined) throw new Error(`nothing at ${path.join("/")}`);
    return object;
  };
  const files = async () => pathsOf(bucket, (await root(bucket)).commit.body.tree);
  return { bucket, publish, at, files };
}

async function root(bucket: Bucket): Promise<CurrentRoot> {
  const current = await bucket.current();
  if (current === undefined) throw new Error("the bucket has no root");
  return current;
}

describe("ids", () => {
  test("a new file gets the birth id of its path, even below a new directory", async () => {
    const { publish, at } = await world();
    await publish([
      { ino: 5, names: [[4, "f"]], bytes: bytes("x") },
      { ino: 4, names: [[1, "d"]], type: "directory" },
    ]);
    const directory = born("d", "directory");
    expect((await at("d")).id).toBe(directory);
    expect((await at("d", "f")).id).toBe(born("f", "file", directory));
  });

  test("a file that replaces a deleted file of the same type takes over its id", async () => {
    const { publish, at } = await world();
    await publish([{ ino: 2, names: [[1, "f"]], bytes: bytes("old") }]);
    const old = await at("f");
    const outcome = await publish([
      { ino: 2, base: old, names: [] },
      { ino: 3, names: [[1, "f"]], bytes: bytes("new") },
    ]);
    expect((await at("f")).id).toBe(old.id);
    expect([...outcome.epoch.objects.values()].map(({ id }) => id)).toEqual([old.id]);
  });

  test("a replacement of another type gets an id of its own", async () => {
    const { publish, at } = await world();
    await publish([{ ino: 2, names: [[1, "f"]], bytes: bytes("old") }]);
    await publish([
      { ino: 2, base: await at("f"), names: [] },
      { ino: 3, names: [[1, "f"]], type: "symlink", fields: { target: "x", size: 1 } },
    ]);
    expect((await at("f")).id).toBe(born("f", "symlink"));
  });

  test("an existing file keeps its id when it is renamed over another", async () => {
    const { publish, at } = await world();
    await publish([
      { ino: 2, names: [[1, "a"]], bytes: bytes("a") },
      { ino: 3, names: [[1, "b"]], bytes: bytes("b") },
    ]);
    const [a, b] = [await at("a"), await at("b")];
    await publish([
      { ino: 2, base: a, names: [[1, "b"]] },
      { ino: 3, base: b, names: [] },
    ]);
    expect((await at("b")).id).toBe(a.id);
  });

  test("a new file at the birthplace of a file that moved away gets the next generation", async () => {
    const { publish, at } = await world();
    await publish([{ ino: 2, names: [[1, "a"]], bytes: bytes("a") }]);
    const old = await at("a");
    await publish([
      { ino: 2, base: old, names: [[1, "b"]] },
      { ino: 3, names: [[1, "a"]], bytes: bytes("again") },
    ]);
    expect((await at("b")).id).toBe(old.id);
    expect((await at("a")).id).toBe(born("a", "file", ROOT_ID, 1));
  });

  test("a directory that replaces a deleted one takes over its id and the ids of its files", async () => {
    const { publish, at } = await world();
    await publish([
      { ino: 2, names: [[1, "d"]], type: "directory" },
      { ino: 3, names: [[2, "f"]], bytes: bytes("old") },
    ]);
    const [d, f] = [await at("d"), await at("d", "f")];
    await publish([
      { ino: 2, base: d, names: [] },
      { ino: 3, base: f, names: [] },
      { ino: 4, names: [[1, "d"]], type: "directory" },
      { ino: 5, names: [[4, "f"]], bytes: bytes("new") },
    ]);
    expect([(await at("d")).id, (await at("d", "f")).id]).toEqual([d.id, f.id]);
  });
});

describe("rows", () => {
  test("a file that gains and loses a second name has the same rows as before", async () => {
    const { bucket, publish, at } = await world();
    await publish([{ ino: 2, names: [[1, "a"]], bytes: bytes("x") }]);
    const before = (await root(bucket)).commit.body.tree;
    const one = await at("a");
    await publish([
      {
        ino: 2,
        base: one,
        names: [
          [1, "a"],
          [1, "b"],
        ],
      },
    ]);
    const linked = (await root(bucket)).commit.body.tree;
    expect((await readSelf(nodesOf(bucket), linked, one.id))?.kind).toBe("file");
    expect(await readBackrefs(nodesOf(bucket), linked, one.id)).toHaveLength(2);
    await publish([{ ino: 2, base: await at("a"), names: [[1, "a"]] }]);
    expect((await root(bucket)).commit.body.tree).toBe(before);
  });

  test("a hard-linked file that keeps only its other name states its id there", async () => {
    const { bucket, publish, at } = await world();
    await publish([
      {
        ino: 2,
        names: [
          [1, "a"],
          [1, "b"],
        ],
        bytes: bytes("x"),
      },
    ]);
    const linked = await at("a");
    await publish([{ ino: 2, base: linked, names: [[1, "b"]] }]);
    const { tree } = (await root(bucket)).commit.body;
    const dentry = await readDentry(nodesOf(bucket), tree, { parent: ROOT_ID, name: name("b") });
    expect(dentry).toMatchObject({ kind: "record", stated: linked.id });
    expect(await readBackrefs(nodesOf(bucket), tree, linked.id)).toHaveLength(1);
  });

  test("subdirectory counts follow directories that are created, moved and removed", async () => {
    const { bucket, publish, at } = await world();
    await publish([
      { ino: 2, names: [[1, "a"]], type: "directory" },
      { ino: 3, names: [[1, "b"]], type: "directory" },
      { ino: 4, names: [[2, "x"]], type: "directory" },
    ]);
    const [a, b, x] = [await at("a"), await at("b"), await at("a", "x")];
    expect([a.subdirs, b.subdirs, (await at()).subdirs]).toEqual([1, 0, 2]);
    await publish([{ ino: 4, base: x, names: [[3, "x"]] }], { directories: { 3: b.id } });
    expect([(await at("a")).subdirs, (await at("b")).subdirs]).toEqual([0, 1]);
    await publish([{ ino: 2, base: await at("a"), names: [] }]);
    expect((await at()).subdirs).toBe(1);
    expect((await root(bucket)).commit.body.totals.directories).toBe(2);
  });

  test("renaming a directory of 2,000 files uploads less than 64 KiB", async () => {
    const { bucket, publish, at } = await world();
    const files = Array.from({ length: 2_000 }, (_, index): ObjectEdit => ({
      ino: 10 + index,
      names: [[2, `f${index}`]],
      bytes: bytes("x"),
    }));
    await publish([{ ino: 2, names: [[1, "d"]], type: "directory" }, ...files]);
    const outcome = await publish([{ ino: 2, base: await at("d"), names: [[1, "e"]] }]);
    expect(outcome.figures.uploadedBytes).toBeLessThan(64 * 1024);
    expect((await at("e", "f77")).record.size).toBe(1);
    expect((await root(bucket)).commit.body.totals.files).toBe(2_000);
  });

  test("long attributes and targets are stored and read back", async () => {
    const { bucket, publish, at } = await world();
    const target = "t".repeat(3_000);
    await publish([
      { ino: 2, names: [[1, "f"]], fields: { xattrs: new Map([["user.x", new Uint8Array(5_000).fill(7)]]) } },
      { ino: 3, names: [[1, "l"]], type: "symlink", fields: { target, size: target.length } },
    ]);
    const { record } = await at("f");
    if (!("linked" in record.xattrs)) throw new Error("expected a linked block");
    expect((await bucket.blocks.get(record.xattrs.linked)).length).toBeGreaterThan(5_000);
  });
});

describe("an epoch whose objects are older than its reference", () => {
  test("directories of the same name that two writers create become one directory", async () => {
    const { publish, at, files } = await world();
    const make = (file: string): ObjectEdit[] => [
      { ino: 2, names: [[1, "d"]], type: "directory" },
      { ino: 3, names: [[2, file]], bytes: bytes(file) },
    ];
    await publish(make("theirs"), { who: 1 });
    await publish(make("ours"));
    expect(await files()).toEqual({ d: "dir", "d/ours": "ours", "d/theirs": "theirs" });
    expect((await at("d")).id).toBe(born("d", "directory"));
  });

  test("a new file does not delete a file that others created under its name since", async () => {
    const { publish, files } = await world();
    await publish([{ ino: 2, names: [[1, "f.bin"]], bytes: bytes("theirs") }], { who: 1 });
    await publish([{ ino: 2, names: [[1, "f.bin"]], bytes: bytes("ours") }]);
    expect(Object.values(await files()).sort()).toEqual(["ours", "theirs"]);
  });

  test("a directory moved onto one that others created since keeps the contents of both", async () => {
    const { publish, at, files } = await world();
    await publish([{ ino: 2, names: [[1, "old"]], type: "directory" }]);
    const old = await at("old");
    await publish(
      [
        { ino: 5, names: [[1, "new"]], type: "directory" },
        { ino: 6, names: [[5, "f"]], bytes: bytes("theirs") },
      ],
      { who: 1 },
    );
    await publish([
      { ino: 2, base: old, names: [[1, "new"]] },
      { ino: 3, names: [[2, "g"]], bytes: bytes("ours") },
    ]);
    expect(await files()).toEqual({ new: "dir", "new/f": "theirs", "new/g": "ours" });
  });

  test("a directory is not deleted when others put a file into it", async () => {
    const { publish, at, files } = await world();
    await publish([
      { ino: 2, names: [[1, "a"]], type: "directory" },
      { ino: 3, names: [[2, "b"]], type: "directory" },
      { ino: 4, names: [[3, "f"]], bytes: bytes("f") },
    ]);
    const [a, b, f] = [await at("a"), await at("a", "b"), await at("a", "b", "f")];
    await publish([{ ino: 9, names: [[3, "theirs"]], bytes: bytes("t") }], { who: 1, directories: { 3: b.id } });
    const outcome = await publish([
      { ino: 2, base: a, names: [] },
      { ino: 3, base: b, names: [] },
      { ino: 4, base: f, names: [] },
    ]);
    expect(await files()).toEqual({ a: "dir", "a/b": "dir", "a/b/theirs": "t" });
    const back = { kind: "dentry", parent: ROOT_ID, name: "a", before: undefined, after: a.id };
    expect(outcome.epoch.base.changes).toContainEqual(back);
  });

  test("a directory kept non-empty under another name leaves others' files in place", async () => {
    const { publish, at, files } = await world();
    await publish([{ ino: 2, names: [[1, "d"]], type: "directory" }]);
    const d = await at("d");
    const [beside = name(""), further = name("")] = directoryNames(name("d"), d.id);
    await publish(
      [
        { ino: 8, names: [[2, "theirs"]], bytes: bytes("t") },
        { ino: 9, names: [[1, beside]], bytes: bytes("precious") },
      ],
      { who: 1, directories: { 2: d.id } },
    );
    await publish([
      { ino: 2, base: d, names: [] },
      { ino: 3, names: [[1, "d"]], bytes: bytes("ours") },
    ]);
    expect(await files()).toEqual({ d: "ours", [beside]: "precious", [further]: "dir", [`${further}/theirs`]: "t" });
  });

  test("a directory displaced from its name takes no name that another object of the epoch had", async () => {
    const { publish, at, files } = await world();
    await publish([
      { ino: 2, names: [[1, "d"]], type: "directory" },
      { ino: 3, names: [[2, "f"]], bytes: bytes("f") },
      { ino: 4, names: [[1, "g"]], bytes: bytes("g") },
    ]);
    const [d, f, g] = [await at("d"), await at("d", "f"), await at("g")];
    const beside = `g (conflict ${d.id.slice(12, 20)})`;
    await publish([{ ino: 5, names: [[1, beside]], bytes: bytes("h") }]);
    const h = await at(beside);
    await publish(
      [
        { ino: 2, base: d, names: [[1, "g"]] },
        { ino: 4, base: g, names: [[1, "g2"]] },
        { ino: 5, base: h, names: [[1, "h2"]] },
      ],
      { who: 1 },
    );
    await publish(
      [
        { ino: 3, base: f, names: [[2, "f"]], bytes: bytes("edited f") },
        { ino: 4, base: g, names: [[1, "g"]], bytes: bytes("edited g") },
        { ino: 5, base: h, names: [[1, beside]], bytes: bytes("edited h") },
      ],
      { directories: { 2: d.id } },
    );
    expect(await files()).toEqual({ g: "dir", "g/f": "edited f", g2: "edited g", h2: "edited h" });
  });

  test("a directory that others removed is resurrected around a file edited here, and reported as a change", async () => {
    const { publish, at, files } = await world();
    await publish([
      { ino: 2, names: [[1, "d"]], type: "directory" },
      { ino: 3, names: [[2, "f"]], bytes: bytes("f") },
    ]);
    const [d, f] = [await at("d"), await at("d", "f")];
    await publish(
      [
        { ino: 2, base: d, names: [] },
        { ino: 3, base: f, names: [] },
      ],
      { who: 1 },
    );
    const edit: ObjectEdit = { ino: 3, base: f, names: [[2, "f"]], bytes: bytes("edited") };
    const outcome = await publish([edit], { directories: { 2: d.id } });
    expect(await files()).toEqual({ d: "dir", "d/f": "edited" });
    const back = { kind: "dentry", parent: ROOT_ID, name: "d", before: undefined, after: d.id };
    expect(outcome.epoch.base.changes).toContainEqual(back);
  });

  test("directories that contain one another are separated, however the cycle arose", async () => {
    const { publish, at, files } = await world();
    await publish([
      { ino: 2, names: [[1, "x"]], type: "directory" },
      { ino: 3, names: [[1, "y"]], type: "directory" },
      { ino: 4, names: [[2, "f"]], bytes: bytes("f") },
    ]);
    const [x, y] = [await at("x"), await at("y")];
    await publish([
      { ino: 2, base: x, names: [[3, "x"]] },
      { ino: 3, base: y, names: [[2, "y"]] },
    ]);
    const once = Object.values(await files()).sort();
    expect(once).toEqual(["dir", "dir", "f"]);
    const inside = {
      x: { ...x, names: [{ parent: y.id, name: name("x") }] },
      y: { ...y, names: [{ parent: x.id, name: name("y") }] },
    };
    await publish([
      { ino: 2, base: inside.x, names: [[3, "x"]], fields: { mode: 0o700 } },
      { ino: 3, base: inside.y, names: [[2, "y"]], fields: { mode: 0o700 } },
    ]);
    expect(Object.values(await files()).sort()).toEqual(once);
  });

  test("files in a directory that no root has, or that has no id, move to the root directory", async () => {
    const { publish, files } = await world();
    const edits: ObjectEdit[] = [
      { ino: 2, names: [[4, "f"]], bytes: bytes("1") },
      { ino: 3, names: [[5, "g"]], bytes: bytes("2") },
    ];
    const lost = "f".repeat(32) as FileId;
    const { epoch } = await publish(edits, { directories: { 4: lost } });
    expect(await files()).toEqual({ f: "1", g: "2" });
    // Nobody saw them there, and one is no longer where it was seen.
    const told = epoch.base.changes?.flatMap((change) => (change.kind === "dentry" ? [change] : []));
    expect(told?.map(({ parent, name: text }) => [parent, text])).toEqual([
      [ROOT_ID, "f"],
      [ROOT_ID, "g"],
      [lost, "f"],
    ]);
  });

  test("an orphan moved to the root directory takes no name from the epoch's files there", async () => {
    const { publish, files } = await world();
    await publish(
      [
        { ino: 2, names: [[4, "f"]], bytes: bytes("stray") },
        { ino: 3, names: [[1, "f"]], bytes: bytes("at home") },
      ],
      { directories: { 4: "f".repeat(32) as FileId } },
    );
    const held = await files();
    expect(held["f"]).toBe("at home");
    expect(Object.values(held).sort()).toEqual(["at home", "stray"]);
  });

  test("a file of which one name was in a directory that no tree has keeps its identity and its other names", async () => {
    const { publish, at, files } = await world();
    const lost = "f".repeat(32) as FileId;
    await publish([{ ino: 2, names: [[1, "f"]], bytes: bytes("text") }]);
    const base = await at("f");
    const linked = { ...base, names: [...base.names, { parent: lost, name: name("y") }] };
    const renamed = {
      ino: 2,
      base: linked,
      names: [
        [1, "h"],
        [4, "y"],
      ],
    } as const;
    const { epoch } = await publish([renamed], { directories: { 4: lost } });
    expect(await files()).toEqual({ h: "text" });
    // A folder that still shows the lost name compares it with the tree.
    expect(epoch.base.changes).toContainEqual(expect.objectContaining({ parent: lost, name: "y" }));
    expect((await at("h")).id).toBe(base.id);
    const here = await at("h");
    const last = {
      ino: 2,
      base: { ...here, names: [...here.names, { parent: lost, name: name("y") }] },
      names: [[4, "y"]],
    } as const;
    await publish([last], { directories: { 4: lost } });
    expect(await files()).toEqual({ y: "text" });
  });

  test("a file keeps its name in a directory that no tree has if the epoch has that directory", async () => {
    const { publish, at, files } = await world();
    const [lost, above] = ["f".repeat(32) as FileId, "e".repeat(32) as FileId];
    await publish([
      { ino: 2, names: [[1, "f"]], bytes: bytes("text") },
      { ino: 3, names: [[1, "other"]], type: "directory" },
    ]);
    const [base, { record }] = [await at("f"), await at("other")];
    const linked = { ...base, names: [...base.names, { parent: lost, name: name("y") }] };
    await publish(
      [
        {
          ino: 2,
          base: linked,
          names: [
            [1, "h"],
            [4, "y"],
          ],
        },
        { ino: 4, base: { id: lost, record, names: [{ parent: above, name: name("d") }] }, names: [[1, "d"]] },
      ],
      { directories: { 4: lost } },
    );
    expect(await files()).toEqual({ h: "text", d: "dir", "d/y": "text", other: "dir" });
    expect([(await at("h")).id, (await at("d", "y")).id]).toEqual([base.id, base.id]);
  });

  test("an edit follows a file that others moved back to its original path", async () => {
    const { publish, at, files } = await world();
    await publish([{ ino: 2, names: [[1, "home"]], bytes: bytes("1") }]);
    await publish([{ ino: 2, base: await at("home"), names: [[1, "away"]] }]);
    const away = await at("away");
    await publish([{ ino: 2, base: away, names: [[1, "home"]] }], { who: 1 });
    await publish([{ ino: 2, base: away, names: [[1, "away"]], bytes: bytes("edited") }]);
    expect(await files()).toEqual({ home: "edited" });
  });

  test("objects that had the same path on different roots, and one moved there, separate and keep their bytes", async () => {
    const { publish, at, files } = await world();
    await publish([
      { ino: 2, names: [[1, "f"]], bytes: bytes("f") },
      { ino: 3, names: [[1, "g"]], bytes: bytes("g") },
      { ino: 4, names: [[1, "h"]], bytes: bytes("h") },
    ]);
    const [f, g, h] = [await at("f"), await at("g"), await at("h")];
    await publish(
      [
        { ino: 2, base: f, names: [] },
        { ino: 3, base: g, names: [[1, "f"]] },
      ],
      { who: 1 },
    );
    await publish([
      { ino: 4, base: h, names: [[1, "f"]], bytes: bytes("edited h") },
      { ino: 2, base: f, names: [[1, "f"]], bytes: bytes("edited f") },
      { ino: 3, base: await at("f"), names: [[1, "f"]], bytes: bytes("edited g") },
    ]);
    const held = await files();
    expect(held["f"]).toBe("edited h");
    expect(Object.values(held).sort()).toEqual(["edited f", "edited g", "edited h"]);
  });

  test("an edit of a file that others deleted survives", async () => {
    const { publish, at, files } = await world();
    await publish([{ ino: 2, names: [[1, "f"]], bytes: bytes("1") }]);
    const f = await at("f");
    await publish([{ ino: 2, base: f, names: [] }], { who: 1 });
    await publish([{ ino: 2, base: f, names: [[1, "f"]], bytes: bytes("edited") }]);
    expect(await files()).toEqual({ f: "edited" });
  });
});
