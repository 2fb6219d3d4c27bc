/** The search for what others removed or moved under an epoch: what it reads of older trees, and which it may rely on. */
import { describe, expect, test } from "vitest";
import type { Cid, FileId, Ino, Lamport } from "../../../../src/base/ids.ts";
import { ROOT_ID } from "../../../../src/base/ids.ts";
import { lostDirectories } from "../../../../src/fstree/rebase/lost-directories.ts";
import type { ChangeSet } from "../../../../src/fstree/change-set.ts";
import { resolvePath } from "../../../../src/fstree/fs-reader.ts";
import { publishEpoch } from "../../../../src/bucket/publish.ts";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import { birthId, selfKey } from "../../../../src/format/files/keys.ts";
import { encodeSelf } from "../../../../src/format/files/rows.ts";
import { createTreeConfig } from "../../../../src/tree/boundary.ts";
import { buildTree } from "../../../../src/tree/edit.ts";
import type { Entry } from "../../../../src/tree/entry.ts";
import { KeySearch } from "../../../../src/tree/key-search.ts";
import { NodeStore } from "../../../../src/tree/node-store.ts";
import { BlockMap } from "../../../support/block-map.ts";
import { epochOf, name, recordOf } from "../../../support/epochs.ts";
import type { ObjectEdit } from "../../../support/epochs.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { createBucket, newWriter, nodesOf, pathsOf } from "../../../support/test-bucket.ts";
import { dropKept } from "../../../support/thinning.ts";

const config = createTreeConfig({ salt: new Uint8Array(32), targetBytes: 1024 });
const newNodes = (blocks: BlockMap) => new NodeStore(blocks, { capacityBytes: 16 << 20 });
const idOf = (at: number): FileId => birthId(ROOT_ID, name(`d${at}`), "directory", 0);

/** A tree of these directories; each `version` has other nodes. */
async function treeOf(blocks: BlockMap, directories: readonly number[], version: number): Promise<Cid> {
  const rows = directories.map((at): Entry => {
    const record = recordOf("directory", { mtimeNs: BigInt(version) });
    const place = { parent: ROOT_ID, name: name(`d${at}`) };
    const self = { kind: "directory", record, place, subdirs: 0 } as const;
    return { key: selfKey(idOf(at)), ...encodeSelf(self, () => expect.unreachable()) };
  });
  rows.sort((a, b) => Buffer.compare(a.key, b.key));
  return buildTree(newNodes(blocks), blocks, config, rows);
}

function there<Thing>(thing: Thing | undefined): Thing {
  if (thing === undefined) throw new Error("it is not there");
  return thing;
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at);

describe("a search for many keys in many trees", () => {
  test("finds the keys that a tree has, and no others", async () => {
    const blocks = new BlockMap();
    const search = new KeySearch(
      newNodes(blocks),
      numbers(0, 100).map((at) => selfKey(idOf(at))),
    );
    for (const present of [numbers(50, 300), numbers(200, 300), numbers(0, 100), [], [99]]) {
      const found = await search.in(await treeOf(blocks, present, 1));
      const wanted = present.filter((at) => at < 100).map((at) => selfKey(idOf(at)));
      expect(found.map(({ key }) => Buffer.from(key))).toEqual(
        wanted.sort(Buffer.compare).map((key) => Buffer.from(key)),
      );
    }
    expect(await new KeySearch(newNodes(blocks), []).in(await treeOf(blocks, [1], 1))).toEqual([]);
  });

  test("does not reread nodes known to hold no match, even with nothing in memory", async () => {
    const blocks = new BlockMap();
    const [one, other] = [await treeOf(blocks, numbers(0, 400), 1), await treeOf(blocks, numbers(0, 401), 1)];
    const nodes = new NodeStore(blocks, { capacityBytes: 0 });
    const search = new KeySearch(
      nodes,
      numbers(1_000, 1_100).map((at) => selfKey(idOf(at))),
    );
    blocks.forgetCounts();
    await search.in(one);
    const first = blocks.reads.length;
    expect(first).toBeGreaterThan(30);
    blocks.forgetCounts();
    await search.in(one);
    expect(blocks.reads).toEqual([]);
    await search.in(other);
    expect(blocks.reads.length).toBeLessThan(first / 4);
  });
});

test("lost directories are searched for together: a few requests per older tree, however many are lost", async () => {
  const blocks = new BlockMap();
  const [directories, trees] = [60, 20];
  const tree = await treeOf(blocks, numbers(directories, 600), 0);
  const older: Cid[] = [];
  for (const version of numbers(1, trees)) older.push(await treeOf(blocks, numbers(directories, 600), version));
  older.push(await treeOf(blocks, numbers(0, 600), trees));
  const changes: ChangeSet = {
    epoch: 1,
    reference: older[0] as Cid,
    lamport: 1 as Lamport,
    objects: [],
    directories: new Map(numbers(0, directories).map((at) => [(at + 2) as Ino, idOf(at)])),
  };
  const olderTrees = async function* () {
    yield* older;
  };
  blocks.forgetCounts();
  const { found, incomplete } = await lostDirectories(newNodes(blocks), tree, changes, [], olderTrees);
  expect(incomplete).toBe(false);
  expect(found.map(({ id }) => id).sort()).toEqual(numbers(0, directories).map(idOf).sort());
  // One by one they were 715.
  expect(blocks.requests).toBeLessThan(5 * (trees + 1));
});

test("an older tree that is thinned between two attempts is not relied on", async () => {
  const remote = new MemoryRemote();
  const bucket = await createBucket(remote);
  const [me, other, thinner] = [await newWriter(bucket, 2), await newWriter(bucket, 3), await newWriter(bucket, 4)];
  const root = async () => there((await bucket.current())?.commit);
  let epochs = 0;
  const publish = async (edits: readonly ObjectEdit[]) => {
    const { cid, body } = await root();
    const { changes, data } = epochOf({ commit: cid, seq: body.seq }, ++epochs, edits);
    expect((await publishEpoch(other, changes, data)).kind).toBe("published");
  };
  const at = async (...path: string[]) => {
    return there(await resolvePath(nodesOf(bucket), (await root()).body.tree, path.map(name)));
  };
  await publish([
    { ino: 2, names: [[1, "d"]], type: "directory" },
    { ino: 3, names: [[2, "f"]], bytes: Buffer.from("old") },
  ]);
  const [d, f] = [await at("d"), await at("d", "f")];
  const { seq } = (await root()).body;
  await publish([
    { ino: 2, base: d, names: [] },
    { ino: 3, base: f, names: [] },
  ]);
  const { cid, body } = await root();
  const edits: ObjectEdit[] = [{ ino: 3, base: f, names: [[2, "f"]], bytes: Buffer.from("edited") }];
  const { changes, data } = epochOf({ commit: cid, seq: body.seq }, 1, edits, { 2: d.id });
  remote.beforeSwap = async () => {
    remote.beforeSwap = async () => {};
    await dropKept(thinner, [seq]);
  };
  expect((await publishEpoch(me, changes, data)).kind).toBe("published");
  // Nobody knows any more what it was in.
  expect(await pathsOf(bucket, (await root()).body.tree)).toEqual({ f: "edited" });
  expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
});
