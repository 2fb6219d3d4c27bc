/** Merges in a damaged bucket, where directories lie in one another or state wrong numbers of subdirectories. */
import { expect, test } from "vitest";
import { ROOT_ID } from "../../../../src/base/ids.ts";
import type { Cid, FileId } from "../../../../src/base/ids.ts";
import { editsOf } from "../../../../src/fstree/rebase/transition.ts";
import type { ObjectState, Transition } from "../../../../src/fstree/rebase/transition.ts";
import { readObject, readSelf, resolvePath } from "../../../../src/fstree/fs-reader.ts";
import { birthId, selfKey } from "../../../../src/format/files/keys.ts";
import { encodeSelf } from "../../../../src/format/files/rows.ts";
import type { Head } from "../../../../src/fstree/merge/context.ts";
import { replayOf } from "../../../../src/fstree/merge/merge-snapshots.ts";
import type { Operation } from "../../../../src/simulate/scenarios/scenario.ts";
import { editTree } from "../../../../src/tree/edit.ts";
import { name, recordOf } from "../../../support/epochs.ts";
import { listPaths } from "../../../support/merge-scenario.ts";
import { MergeWorld } from "../../../support/merge-world.ts";

const START: readonly Operation[] = [
  ...["a", "b", "c"].flatMap((path): Operation[] => [
    { op: "mkdir", path },
    { op: "write", path: `${path}/f.bin`, content: path },
  ]),
  { op: "write", path: "old.bin", content: "old" },
];
/** So many that the other side's change is the smaller one, which is replayed. */
const MANY: readonly Operation[] = Array.from({ length: 40 }, (_, at) => {
  return { op: "write", path: `many${at}.bin`, content: `${at}` };
});
const FILES = MANY.map((_, at) => born(ROOT_ID, `many${at}.bin`, "file"));

test("a cycle in the winner's tree is broken at its least id when the loser moved one of its directories", async () => {
  const { world, base, ids, cyclic } = await started();
  const winner = await cyclic("y");
  const loser = await world.headOfAction(base, "x", [{ op: "rename", path: "a", to: "c/a" }, ...MANY]);
  const merged = await world.merge(base, winner, loser);
  expect(await world.merge(base, loser, winner)).toEqual(merged);
  const [least, other] = ids.a < ids.b ? ["a", "b"] : ["b", "a"];
  const paths = await listPaths(world.context, merged.tree);
  expect(paths).toMatchObject({ [`${least}/f.bin`]: least, [`${least}/${other}/f.bin`]: other, "c/f.bin": "c" });
  expect(paths).toMatchObject({ "many0.bin": "0", "many39.bin": "39" });
  expect(merged.conflicts).toEqual([
    {
      kind: "dropped-move",
      rule: "moves that close a cycle",
      ids: { kept: least === "a" ? ids.a : ids.b, other: least === "a" ? ids.b : ids.a },
      names: { kept: [name(least)], other: [least, other, least].map(name) },
      writer: loser.writer,
      epoch: loser.epoch,
    },
  ]);
  // It holds from now on.
  const next = await world.headOfAction(merged.tree, "x", [
    { op: "write", path: `${least}/${other}/g.bin`, content: "g" },
  ]);
  const again = await world.judge(merged.tree, next, await world.headOfAction(merged.tree, "y", [...MANY]));
  expect(await listPaths(world.context, again.tree)).toMatchObject({ [`${least}/${other}/g.bin`]: "g" });
  expect(world.faults).toEqual([]);
});

test("breaking a cycle overwrites nothing that already has the name in the root directory", async () => {
  const { world, base, cyclic } = await started();
  const taken: Operation[] = ["a", "b"].map((path) => ({ op: "write", path, content: `new ${path}` }));
  const moves: Operation[] = [
    { op: "rename", path: "a", to: "c/a" },
    { op: "rename", path: "b", to: "c/b" },
  ];
  const loser = await world.headOfAction(base, "x", [...moves, ...taken, ...MANY]);
  const { tree } = await world.merge(base, await cyclic("y"), loser);
  const texts = Object.values(await listPaths(world.context, tree));
  for (const text of ["a", "b", "c", "new a", "new b"]) expect(texts).toContain(text);
});

test("the winner's paths resolve a cycle in the loser's tree", async () => {
  const { world, base, cyclic } = await started();
  const loser = await cyclic("x");
  const winner = await world.headOfAction(base, "y", MANY);
  const merged = await world.merge(base, winner, loser);
  expect(await world.merge(base, loser, winner)).toEqual(merged);
  expect(await listPaths(world.context, merged.tree)).toMatchObject({ "a/f.bin": "a", "b/f.bin": "b", "c/f.bin": "c" });
});

test("a merge with a cyclic tree ends with one result in both orders, whichever side wins and whatever the other did", async () => {
  const actions: readonly Operation[][] = [
    [{ op: "write", path: "a/f.bin", content: "edited" }],
    [{ op: "write", path: "old.bin", content: "edited" }],
    [{ op: "rename", path: "b", to: "a/b" }],
    [{ op: "rename", path: "c", to: "a/c" }],
    [{ op: "rmtree", path: "a" }],
    [
      { op: "rename", path: "b", to: "a/k" },
      { op: "mkdir", path: "b" },
    ],
    [
      { op: "rename", path: "b/f.bin", to: "f.bin" },
      { op: "rmtree", path: "b" },
    ],
  ];
  for (const action of actions) {
    for (const [own, others] of [
      ["x", "y"],
      ["y", "x"],
    ] as const) {
      const { world, base, cyclic } = await started();
      const damaged = await cyclic(own, [{ op: "write", path: "a/f.bin", content: "theirs" }]);
      const sound = await world.headOfAction(base, others, action);
      const merged = await world.merge(base, damaged, sound);
      expect(await world.merge(base, sound, damaged)).toEqual(merged);
      const heads = own === "y" ? { winner: damaged, loser: sound } : { winner: sound, loser: damaged };
      for (const role of ["winner", "loser"] as const)
        await expect(replayOf(world.context, base, heads, role)).resolves.toBeDefined();
    }
  }
});

test("a directory that states too few subdirectories merges, whichever side is replayed", async () => {
  const { world, base, ids, stating, headOf } = await started([{ op: "mkdir", path: "a/sub" }]);
  const wrong = await stating(base, ids.a, 0);
  const sub = await resolvePath(world.context.nodes, wrong, [name("a"), name("sub")]);
  if (sub === undefined) throw new Error("there is no a/sub");
  const removal = { before: { ...sub, type: "directory" as const }, after: undefined };
  const heads = { winner: await headOf(wrong, "y", FILES), loser: await headOf(wrong, "x", [removal]) };
  const { tree } = await world.merge(wrong, heads.winner, heads.loser);
  for (const role of ["winner", "loser"] as const)
    expect(await replayOf(world.context, wrong, heads, role)).toMatchObject({ tree });
  expect(await listPaths(world.context, tree)).not.toHaveProperty("a/sub");
  expect(await readSelf(world.context.nodes, tree, ids.a)).toMatchObject({ subdirs: 0 });
});

test("a directory that states the largest possible number of subdirectories takes new ones, whichever side is replayed", async () => {
  const { world, base, ids, stating, headOf } = await started();
  const most = Number.MAX_SAFE_INTEGER;
  const wrong = await stating(base, ids.a, most);
  const heads = {
    winner: await headOf(wrong, "y", [...FILES, born(ids.a, "one", "directory")]),
    loser: await headOf(wrong, "x", [born(ids.a, "two", "directory")]),
  };
  const { tree } = await world.merge(wrong, heads.winner, heads.loser);
  for (const role of ["winner", "loser"] as const)
    expect(await replayOf(world.context, wrong, heads, role)).toMatchObject({ tree });
  expect(await listPaths(world.context, tree)).toMatchObject({ "a/one": "dir", "a/two": "dir" });
  expect(await readSelf(world.context.nodes, tree, ids.a)).toMatchObject({ subdirs: most });
});

/** Directories `a`, `b` and `c`, and heads of a side in whose tree `a` lies in `b` and `b` in `a`. */
async function started(more: readonly Operation[] = []) {
  const world = new MergeWorld({ actions: [0], files: [0] });
  const { tree: base } = await world.headOfAction(await world.empty(), "b", [...START, ...more]);
  const { context } = world;
  const idOf = async (path: string): Promise<FileId> => {
    const object = await resolvePath(context.nodes, base, [name(path)]);
    if (object === undefined) throw new Error(`nothing at ${path}`);
    return object.id;
  };
  const ids = { a: await idOf("a"), b: await idOf("b"), c: await idOf("c") };
  const movedInto = async (tree: Cid, id: FileId, parent: FileId): Promise<Transition> => {
    const object = await readObject(context.nodes, tree, id);
    const [place] = object?.names ?? [];
    if (object === undefined || place === undefined) throw new Error(`there is no ${id}`);
    const before: ObjectState = { ...object, type: "directory" };
    return { before, after: { ...before, names: [{ parent, name: place.name }] } };
  };
  const cyclic = async (label: string, operations: readonly Operation[] = []): Promise<Head> => {
    const head = await world.headOfAction(base, label, operations);
    const moves = [await movedInto(head.tree, ids.a, ids.b), await movedInto(head.tree, ids.b, ids.a)];
    const edits = editsOf(context.nodes, head.tree, moves, () => expect.unreachable());
    return { ...head, tree: await editTree(context.nodes, context.sink, context.treeConfig, head.tree, edits) };
  };
  /** The tree, where a directory's row states so many subdirectories. */
  const stating = async (tree: Cid, id: FileId, subdirs: number): Promise<Cid> => {
    const self = await readSelf(context.nodes, tree, id);
    if (self?.kind !== "directory") throw new Error(`there is no ${id}`);
    const row = encodeSelf({ ...self, subdirs }, () => expect.unreachable());
    return editTree(context.nodes, context.sink, context.treeConfig, tree, [{ key: selfKey(id), ...row }]);
  };
  const headOf = async (tree: Cid, label: string, transitions: readonly Transition[]): Promise<Head> => {
    const edits = editsOf(context.nodes, tree, transitions, () => expect.unreachable());
    const edited = await editTree(context.nodes, context.sink, context.treeConfig, tree, edits);
    return { ...(await world.headOfAction(base, label, [])), tree: edited };
  };
  return { world, base, ids, cyclic, stating, headOf };
}

function born(parent: FileId, text: string, type: "file" | "directory"): Transition {
  const id = birthId(parent, name(text), type, 0);
  return { before: undefined, after: { id, type, names: [{ parent, name: name(text) }], record: recordOf(type) } };
}
