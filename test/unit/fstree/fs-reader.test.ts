import { describe, expect, test } from "vitest";
import type { FileName } from "../../../src/base/ids.ts";
import { ROOT_ID } from "../../../src/base/ids.ts";
import { BlockMiss } from "../../../src/blocks/block-store.ts";
import { differences } from "../../../src/fstree/differences.ts";
import {
  listDirectory,
  peekBackrefs,
  peekDentry,
  peekDirectory,
  pathOfDirectory,
  readBackrefs,
  resolvePath,
  whenLoaded,
} from "../../../src/fstree/fs-reader.ts";
import { publishEpoch } from "../../../src/bucket/publish.ts";
import { epochOf, name } from "../../support/epochs.ts";
import type { ObjectEdit } from "../../support/epochs.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { createBucket, newWriter, nodesOf } from "../../support/test-bucket.ts";

async function world() {
  const bucket = await createBucket(new MemoryRemote());
  const me = await newWriter(bucket, 2);
  let epoch = 0;
  const publish = async (edits: readonly ObjectEdit[]) => {
    const current = await bucket.current();
    if (current === undefined) throw new Error("the bucket has no root");
    const on = { commit: current.commit.cid, seq: current.commit.body.seq };
    const { changes, data } = epochOf(on, ++epoch, edits);
    const outcome = await publishEpoch(me, changes, data);
    if (outcome.kind !== "published") throw new Error(outcome.kind);
    return outcome.epoch.base.tree;
  };
  return { bucket, publish };
}

const file = (ino: number, ...names: [number, string][]): ObjectEdit => ({ ino, names, bytes: Buffer.from("x") });

describe("reading a tree as a filesystem", () => {
  test("a directory of any length is listed in byte order, starting at any name", async () => {
    const { bucket, publish } = await world();
    const names = Array.from({ length: 1_500 }, (_, index) => `f${index}`);
    const tree = await publish(names.map((text, index) => file(index + 2, [1, text])));
    const nodes = nodesOf(bucket);
    const listed: FileName[] = [];
    for await (const entry of listDirectory(nodes, tree, ROOT_ID)) listed.push(entry.name);
    expect(listed).toEqual([...names].sort());
    const some = await whenLoaded(nodes, () => peekDirectory(nodes, tree, ROOT_ID, name("f1499"), 3));
    expect(some.map((entry) => entry.name)).toEqual(["f15", "f150", "f1500"].slice(0, 2).concat("f151"));
  });

  test("reading a block that is not in memory names it, and succeeds once it is loaded", async () => {
    const { bucket, publish } = await world();
    const tree = await publish([file(2, [1, "a"])]);
    const nodes = nodesOf(bucket);
    const peek = () => peekDentry(nodes, tree, ROOT_ID, name("a"));
    expect(peek).toThrow(BlockMiss);
    expect(await whenLoaded(nodes, peek)).toMatchObject({ kind: "record" });
    expect(peek()).toMatchObject({ kind: "record" });
    expect(peekDentry(nodes, tree, ROOT_ID, name("b"))).toBeUndefined();
  });

  test("all names of a hard-linked file are found, a page at a time", async () => {
    const { bucket, publish } = await world();
    const names = Array.from({ length: 1_200 }, (_, index): [number, string] => [1, `l${index}`]);
    const tree = await publish([file(2, ...names)]);
    const nodes = nodesOf(bucket);
    const object = await resolvePath(nodes, tree, [name("l77")]);
    expect(object?.names).toHaveLength(1_200);
    const all = await readBackrefs(nodes, tree, object?.id ?? ROOT_ID);
    const page = peekBackrefs(nodes, tree, object?.id ?? ROOT_ID, 5, all[10]);
    expect(page).toEqual(all.slice(11, 16));
  });

  test("paths lead to objects, and directories back to paths", async () => {
    const { bucket, publish } = await world();
    const tree = await publish([
      { ino: 2, names: [[1, "a"]], type: "directory" },
      { ino: 3, names: [[2, "b"]], type: "directory" },
      file(4, [3, "f"]),
    ]);
    const nodes = nodesOf(bucket);
    const b = await resolvePath(nodes, tree, ["a", "b"].map(name));
    expect(await pathOfDirectory(nodes, tree, b?.id ?? ROOT_ID)).toEqual(["a", "b"]);
    expect(await resolvePath(nodes, tree, ["a", "b", "f", "g"].map(name))).toBeUndefined();
    expect((await resolvePath(nodes, tree, []))?.id).toBe(ROOT_ID);
  });
});

describe("differences", () => {
  test("name the entries that lead elsewhere, the changed objects, and the moved or removed directories", async () => {
    const { bucket, publish } = await world();
    const before = await publish([
      { ino: 2, names: [[1, "d"]], type: "directory" },
      { ino: 3, names: [[1, "gone"]], type: "directory" },
      file(4, [1, "f"]),
    ]);
    const nodes = nodesOf(bucket);
    const [d, gone, f] = await Promise.all(["d", "gone", "f"].map((text) => resolvePath(nodes, before, [name(text)])));
    if (d === undefined || gone === undefined || f === undefined) throw new Error("the tree is incomplete");
    const after = await publish([
      { ino: 2, base: d, names: [[1, "e"]] },
      { ino: 3, base: gone, names: [] },
      { ino: 4, base: f, names: [[1, "f"]], fields: { mode: 0o600 } },
    ]);
    const changes = (await differences(nodes, before, after)) ?? [];
    const dentry = (text: string) => changes.find((change) => change.kind === "dentry" && change.name === text);
    const self = (id: string) => changes.find((change) => change.kind === "self" && change.id === id);
    expect(dentry("d")).toMatchObject({ before: d.id, after: undefined });
    expect(dentry("e")).toMatchObject({ before: undefined, after: d.id });
    expect(dentry("f")).toMatchObject({ before: f.id, after: f.id });
    expect(self(d.id)).toMatchObject({ moved: true, removed: false });
    expect(self(gone.id)).toMatchObject({ moved: false, removed: true });
    expect(self(ROOT_ID)).toMatchObject({ moved: false, removed: false });
    expect(await differences(nodes, before, after, 3)).toBeUndefined();
  });
});
