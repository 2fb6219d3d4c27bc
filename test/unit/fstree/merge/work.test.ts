/** What a merge reads and writes, and what stays of earlier merges: bounds that no single scenario shows. */
import { describe, expect, test, vi } from "vitest";
import type { Cid, FileId, Lamport } from "../../../../src/base/ids.ts";
import { codecOf } from "../../../../src/format/blocks/cid.ts";
import type { Head } from "../../../../src/fstree/merge/context.ts";
import { Snapshot } from "../../../../src/fstree/merge/snapshot.ts";
import { mergeSnapshots } from "../../../../src/fstree/merge/merge-snapshots.ts";
import { gainedName } from "../../../../src/fstree/merge/locations.ts";
import { MergedTree } from "../../../../src/fstree/merge/merged-tree.ts";
import type { TreeObject } from "../../../../src/fstree/fs-reader.ts";
import type { Place } from "../../../../src/fstree/object-rows.ts";
import { NodeStore } from "../../../../src/tree/node-store.ts";
import { ChunkCache } from "../../../../src/content/chunk-cache.ts";
import { name, recordOf } from "../../../support/epochs.ts";
import { listPaths } from "../../../support/merge-scenario.ts";
import { MergeWorld } from "../../../support/merge-world.ts";
import type { Operation } from "../../../../src/simulate/scenarios/scenario.ts";

const theme = { actions: [0], files: [0] };

describe("the work of a merge", () => {
  const world = new MergeWorld(theme);

  test("grows with the smaller change, not with the bucket or the larger change", async () => {
    const base = await sealed(world, filesIn("d", 3_000, "old"));
    const small: Operation[] = [
      { op: "write", path: "d/1500", content: "x" },
      { op: "rename", path: "d/7", to: "moved" },
    ];
    const alone = await readsOf(world, base, small, [{ op: "write", path: "d/2900", content: "y" }]);
    const against = await readsOf(world, base, small, [
      ...filesIn("e", 1_000, "new"),
      ...Array.from({ length: 400 }, (_, at) => ({ op: "write" as const, path: `d/${at}`, content: "y" })),
    ]);
    expect(alone.reads).toBeLessThan(35);
    expect(against.reads).toBeLessThan(80);
    expect(against.puts).toBeLessThan(20);
  });

  test("reads what the changed objects need in few requests", async () => {
    const base = await sealed(world, Array.from({ length: 40 }, (_, at) => filesIn(`d${at}`, 100, "old")).flat());
    const edits = (side: string, from: number) =>
      Array.from({ length: 40 }, (_, at): Operation => ({ op: "write", path: `d${at}/${from + at}`, content: side }));
    const { reads, requests } = await readsOf(world, base, edits("x", 0), edits("y", 50));
    expect(reads).toBeGreaterThan(50);
    expect(requests).toBeLessThan(30);
  });

  test("reads the larger change once, however many repositories both sides changed", async () => {
    const countOf = async (count: number) => {
      const repositories = Array.from({ length: count }, (_, at) => `r${at}/.git`);
      const base = await sealed(world, [
        ...repositories.flatMap((path): Operation[] => [
          { op: "mkdir", path: path.slice(0, -5) },
          { op: "mkdir", path },
          { op: "write", path: `${path}/HEAD`, content: path },
          { op: "write", path: `${path}/index.lock`, content: path },
        ]),
        ...filesIn("d", 1_000, "old"),
        { op: "commit" },
        ...repositories.map((path): Operation => ({ op: "rename", path: `${path}/index.lock`, to: `${path}/index` })),
      ]);
      const small = repositories.map((path): Operation => ({ op: "write", path: `${path}/FETCH_HEAD`, content: "x" }));
      const gone = repositories.map((path): Operation => ({ op: "unlink", path: `${path}/index` }));
      const large = Array.from({ length: 1_000 }, (_, at): Operation => ({
        op: "write",
        path: `d/${at}`,
        content: `y ${at}`,
      }));
      return (await readsOf(world, base, small, [...gone, ...large], 64 * 1024)).all;
    };
    expect(await countOf(12)).toBeLessThan(2 * (await countOf(2)));
  });

  test("grows with the number of a file's names, not with its square", () => {
    let reads = 0;
    const parent = "ab".repeat(16) as FileId;
    const placeAt = (at: number): Place => ({
      get parent() {
        reads++;
        return parent;
      },
      name: name(`${at}`),
    });
    const fileWith = (from: number, to: number): TreeObject => {
      const names = Array.from({ length: to - from }, (_, at) => placeAt(from + at));
      return { id: "cd".repeat(16) as FileId, record: recordOf("file"), names, subdirs: 0 };
    };
    const [stay, now] = [fileWith(0, 1_000), fileWith(10, 1_010)];
    const merged = new MergedTree({
      object: async () => undefined,
      remembered: () => undefined,
      at: async () => undefined,
      children: async function* () {},
    });
    merged.layer(now.id, stay, now);
    for (let pass = 0; pass < 3; pass++) expect(merged.newPlaces()).toHaveLength(10);
    expect(gainedName(stay, now)).toBe(true);
    expect(gainedName(now, fileWith(10, 1_010))).toBe(false);
    expect(reads).toBeLessThan(20 * 1_000);
  });

  test("reads a file with many names once where one side moved their directory and the other removed it", async () => {
    const count = 400;
    const links = Array.from({ length: count }, (_, at): Operation => ({ op: "link", path: "d/f", to: `d/${at}` }));
    const base = await sealed(world, [
      { op: "mkdir", path: "d" },
      { op: "write", path: "d/f", content: "x" },
      ...links,
    ]);
    const x = await world.headOfAction(base, "x", [{ op: "rename", path: "d", to: "e" }]);
    const y = await world.headOfAction(base, "y", [{ op: "rmtree", path: "d" }]);
    const [objects, puts] = [vi.spyOn(Snapshot.prototype, "object"), vi.spyOn(MergedTree.prototype, "put")];
    const ats = vi.spyOn(Snapshot.prototype, "at");
    const { tree } = await mergeSnapshots(world.context, base, x, y);
    const results = [objects, ats].flatMap((spy) => spy.mock.settledResults.map(({ value }) => value as TreeObject));
    const names = [...results, ...puts.mock.calls.map(([, now]) => now)].map((object) => object?.names.length ?? 0);
    vi.restoreAllMocks();
    expect(names.reduce((sum, each) => sum + each, 0)).toBeLessThan(20 * count);
    expect(Object.keys(await listPaths(world.context, tree))).toHaveLength(count + 2);
  });

  test("includes no writes when one side changed nothing", async () => {
    const base = await sealed(world, filesIn("d", 500, "old"));
    const x = await world.headOfAction(base, "x", filesIn("e", 500, "new"));
    const y = await world.headOfAction(base, "y", []);
    world.blocks.forgetCounts();
    expect((await mergeSnapshots(world.context, base, x, y)).tree).toBe(x.tree);
    expect(world.blocks.puts).toHaveLength(0);
  });
});

describe("the work of a merge with units", () => {
  const world = new MergeWorld(theme);
  const repository = (files: number): Operation[] => [
    { op: "mkdir", path: ".git" },
    ...filesIn(".git/objects", files, "object"),
    { op: "write", path: ".git/HEAD", content: "old" },
  ];

  test("does not read through a unit that the smaller change leaves alone", async () => {
    const base = await sealed(world, [...repository(3_000), ...filesIn("d", 100, "old")]);
    const small: Operation[] = [{ op: "write", path: "d/7", content: "x" }];
    const commit: Operation[] = [
      { op: "write", path: ".git/HEAD", content: "y" },
      { op: "write", path: ".git/objects/new", content: "y" },
    ];
    expect((await readsOf(world, base, small, commit)).reads).toBeLessThan(25);
  });

  test("reads no file contents of a unit that both sides changed", async () => {
    const large = "x".repeat(100_000);
    const base = await sealed(world, [...repository(50), { op: "write", path: ".git/pack", content: large }]);
    const [x, y] = ["x", "y"].map((side): Operation[] => [{ op: "write", path: ".git/HEAD", content: side }]);
    const { reads, contents } = await readsOf(world, base, x ?? [], y ?? []);
    expect(reads).toBeGreaterThan(0);
    expect(contents).toBe(0);
  });
});

describe("conflict copies across several merges", () => {
  test("a renamed conflict copy is not overwritten when its conflict recurs", async () => {
    const world = new MergeWorld(theme);
    const write = (content: string): Operation => ({ op: "write", path: "f.bin", content });
    const start = await sealed(world, [write("old")]);
    const first = await world.judge(
      start,
      await world.headOfAction(start, "x", [write("x")]),
      await world.headOfAction(start, "y", [write("y")]),
    );
    const copy =
      Object.keys(await listPaths(world.context, first.tree)).find((path) => path.includes("conflict")) ?? "";
    const renamed = (await world.headOfAction(first.tree, "p", [{ op: "rename", path: copy, to: "kept.bin" }])).tree;
    const again = await world.judge(
      renamed,
      await world.headOfAction(renamed, "x", [write("x")]),
      await world.headOfAction(renamed, "y", [write("y2")]),
    );
    expect(await listPaths(world.context, again.tree)).toEqual({ "f.bin": "y2", [copy]: "x", "kept.bin": "x" });
    expect(world.faults).toEqual([]);
  });

  test("a conflict copy that one side deleted stays deleted in the next merge", async () => {
    const world = new MergeWorld(theme);
    const start = await sealed(world, [{ op: "write", path: "f.bin", content: "old" }]);
    const x = await world.headOfAction(start, "x", [{ op: "write", path: "f.bin", content: "x" }]);
    const first = await world.judge(
      start,
      x,
      await world.headOfAction(start, "y", [{ op: "write", path: "f.bin", content: "y" }]),
    );
    const copy =
      Object.keys(await listPaths(world.context, first.tree)).find((path) => path.includes("conflict")) ?? "";
    const [gone, other] = [
      await world.headOfAction(first.tree, "p", [{ op: "unlink", path: copy }]),
      await world.headOfAction(first.tree, "q", [{ op: "write", path: "g.bin", content: "q" }]),
    ];
    const merged = await world.judge(first.tree, gone, other);
    expect(await listPaths(world.context, merged.tree)).toEqual({ "f.bin": "y", "g.bin": "q" });
    expect(world.faults).toEqual([]);
  });
});

describe("what a merge reports about a unit that lost the conflict", () => {
  test.each(["x", "y"])(
    "names its writer, whichever side that is: %s, the side without the main file",
    async (gone) => {
      const world = new MergeWorld(theme);
      const start = await sealed(world, [
        { op: "write", path: "a.db", content: "old" },
        { op: "write", path: "a.db-wal", content: "old" },
      ]);
      const heads = new Map<string, Head>();
      for (const side of ["x", "y"]) {
        const change: Operation[] =
          side === gone
            ? [
                { op: "unlink", path: "a.db" },
                { op: "write", path: "a.db-wal", content: side },
              ]
            : [{ op: "write", path: "a.db", content: side }];
        heads.set(side, await world.headOfAction(start, side, change));
      }
      const [x, y] = [heads.get("x"), heads.get("y")];
      if (x === undefined || y === undefined) throw new Error("Both have changed it.");
      const { conflicts } = await world.judge(start, x, y);
      expect(conflicts.map(({ rule, writer, epoch }) => ({ rule, writer, epoch }))).toEqual([
        { rule: "units", writer: heads.get(gone)?.writer, epoch: heads.get(gone)?.epoch },
      ]);
      expect(world.faults).toEqual([]);
    },
  );
});

describe("split ids across several merges", () => {
  test("an id from an earlier split is not assigned again", async () => {
    const world = new MergeWorld(theme);
    const start = await world.empty();
    const born = (to: string): Operation[] => [
      { op: "write", path: "new", content: to },
      { op: "commit" },
      { op: "rename", path: "new", to },
    ];
    const [p, q] = [await world.headOfAction(start, "x", born("p")), await world.headOfAction(start, "y", born("q"))];
    const first = await world.judge(start, p, q);
    const root = { ...q, tree: first.tree, lamport: (q.lamport + 1) as Lamport };
    // The same writer and epoch lose again, with another file of the same id.
    const merged = await world.judge(start, root, await world.headOfAction(start, "x", born("r")));
    expect(await listPaths(world.context, merged.tree)).toEqual({ p: "p", q: "q", r: "r" });
    expect(world.faults).toEqual([]);
  });
});

function filesIn(directory: string, count: number, content: string): Operation[] {
  const files = Array.from({ length: count }, (_, at): Operation => ({
    op: "write",
    path: `${directory}/${at}`,
    content: `${content} ${at}`,
  }));
  return [{ op: "mkdir", path: directory }, ...files];
}

async function sealed(world: MergeWorld, operations: readonly Operation[]): Promise<Cid> {
  return (await world.headOfAction(await world.empty(), "b", operations)).tree;
}

/** Blocks read and put by one merge that starts with nothing in memory. `all`: including repeated reads. */
async function readsOf(
  world: MergeWorld,
  base: Cid,
  small: readonly Operation[],
  large: readonly Operation[],
  capacityBytes = 1024 * 1024,
): Promise<{ reads: number; all: number; requests: number; contents: number; puts: number }> {
  const [x, y] = [await world.headOfAction(base, "x", small), await world.headOfAction(base, "y", large)];
  world.blocks.forgetCounts();
  const nodes = new NodeStore(world.blocks, { capacityBytes });
  const content = new ChunkCache(world.blocks, { capacityBytes: 1024 * 1024 });
  await mergeSnapshots({ ...world.context, nodes, content }, base, x, y);
  const reads = new Set(world.blocks.reads);
  const all = world.blocks.reads.length;
  const contents = [...reads].filter((cid) => codecOf(cid) !== "dag-cbor").length;
  return { reads: reads.size, all, requests: world.blocks.requests, contents, puts: world.blocks.puts.length };
}
