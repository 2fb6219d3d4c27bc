/**
 * Epochs whose objects became dirty on an older root than the one that they are built on: the kept rows stand in for what the
 * newer root no longer has. SYNCLINE_TEST_ALL: 5,000 histories.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Cid, Lamport } from "../../../../src/base/ids.ts";
import { nameFromText, nameToText } from "../../../../src/base/names.ts";
import { rebaseEpoch } from "../../../../src/fstree/rebase/rebase.ts";
import { directoryNames } from "../../../../src/fstree/merge/conflict-names.ts";
import { mergeSnapshots } from "../../../../src/fstree/merge/merge-snapshots.ts";
import { createMergeContext, writerId } from "../../../support/merge-context.ts";
import { lostVersions, resurrections, survey } from "../../../support/merge-laws.ts";
import { epochOfModel } from "../../../support/model-epoch.ts";
import { ModelFilesystem } from "../../../support/model-filesystem.ts";
import { ModelSealer } from "../../../support/model-seal.ts";
import { actions, play } from "../../../support/operations.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const runs = { numRuns: all ? 5_000 : 150 };
const COMMIT = "bafyr4iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" as Cid;
const SEQ = 10 as Lamport;

type Play = (model: ModelFilesystem) => void;

interface History {
  /** Before the base, and what makes the base of it: its files may be elsewhere than where they were born. */
  readonly past: readonly Play[];
  readonly ours: Play;
  readonly theirs: Play;
  /** In a report of a failure. */
  readonly [fc.toStringMethod]: () => string;
}

/** Who has files under the names that the base's directories get when they give way. */
const contested = fc.record({ ours: fc.boolean(), theirs: fc.boolean() });

const anyHistory = fc
  .tuple(actions(6), actions(4), actions(6), actions(6), contested)
  .map(([born, moved, ours, theirs, contested]) => {
    return historyOf([born, moved], ours, theirs, contested, play);
  });

/** Numbers that pick from the directories of the moment. */
interface Move {
  readonly from: number;
  readonly into: number;
  readonly name: string;
}

/** All do nothing but move directories into one another. */
const move: fc.Arbitrary<Move> = fc.record({
  from: fc.nat(50),
  into: fc.nat(50),
  name: fc.constantFrom("a", "b", "c"),
});
const moves = fc.array(move, { maxLength: 4 });
const movedDirectories = fc.tuple(moves, moves, moves, contested).map(([moved, ours, theirs, contested]) => {
  return historyOf([moved], ours, theirs, contested, moveDirectories);
});

/** Where a directory of a cycle was before, it would lie in itself, since others moved its former parent into it. */
const FORMER_PARENT_MOVED_INTO_IT = historyOf<readonly Move[]>(
  [[{ from: 50, into: 47, name: "a" }]],
  [{ from: 0, into: 2, name: "a" }],
  [
    { from: 47, into: 1, name: "a" },
    { from: 3, into: 26, name: "a" },
    { from: 48, into: 42, name: "b" },
  ],
  { ours: false, theirs: false },
  moveDirectories,
);

/** One side removes directories, the other moves some of them and puts files into them. */
interface Removal extends Move {
  readonly kind: "move" | "remove" | "create";
}
const removals = fc.array(
  fc.record({
    kind: fc.constantFrom<Removal["kind"]>("move", "move", "remove", "create"),
    from: fc.nat(50),
    into: fc.nat(50),
    name: fc.constantFrom("a", "b", "c"),
  }),
  { maxLength: 5 },
);
const removedDirectories = fc.tuple(moves, removals, removals, contested).map(([moved, ours, theirs, contested]) => {
  const past = moved.map((todo) => ({ ...todo, kind: "move" as const }));
  return historyOf([past], ours, theirs, contested, removeDirectories);
});

/** One side removes what the other empties into another directory, with a third one in the place of what was in it. */
const REPLACED_IN_MOVED = historyOf<readonly Removal[]>(
  [[]],
  [{ kind: "remove", from: 0, into: 0, name: "a" }],
  [
    { kind: "move", from: 3, into: 2, name: "c" },
    { kind: "move", from: 1, into: 6, name: "a" },
  ],
  { ours: false, theirs: false },
  removeDirectories,
);

/** One side removes a directory. The other moves its child out, moves it into the child, and removes its parent. */
const MOVED_INTO_ITS_CHILD = historyOf<readonly Removal[]>(
  [
    [
      { kind: "move", from: 20, into: 20, name: "a" },
      { kind: "move", from: 10, into: 10, name: "a" },
    ],
  ],
  [{ kind: "remove", from: 22, into: 0, name: "a" }],
  [
    { kind: "move", from: 2, into: 0, name: "b" },
    { kind: "move", from: 22, into: 4, name: "a" },
    { kind: "remove", from: 0, into: 0, name: "a" },
  ],
  { ours: false, theirs: false },
  removeDirectories,
);

describe("an epoch on a root that moved under its dirty objects", () => {
  test.each([
    ["any actions, with the base available", anyHistory, true],
    ["any actions, with no older root available", anyHistory, false],
    ["moved directories, with the base available", movedDirectories, true, FORMER_PARENT_MOVED_INTO_IT],
    ["moved directories, with no older root available", movedDirectories, false],
    [
      "directories that one side removes and the other moves, with the base available",
      removedDirectories,
      true,
      REPLACED_IN_MOVED,
    ],
    [
      "directories that one side removes and the other moves, with no older root available",
      removedDirectories,
      false,
      MOVED_INTO_ITS_CHILD,
    ],
  ])(
    "loses nothing, brings nothing back, and gives a valid tree: %s",
    async (_, histories, isBaseThere, ...known) => {
      await fc.assert(
        fc.asyncProperty(histories, async (history) => {
          expect(await faultsOf(history, isBaseThere)).toEqual([]);
        }),
        { ...runs, examples: known.map((history) => [history]) },
      );
    },
    all ? 3_600_000 : 120_000,
  );
});

/** Throws for a tree that is not valid. What was deleted and is back is not looked for where nobody can know of it. */
async function faultsOf({ past, ours, theirs }: History, isBaseThere: boolean): Promise<string[]> {
  const context = createMergeContext();
  const start = new ModelSealer(context, new ModelFilesystem());
  let base = await start.seal();
  for (const act of past) {
    act(start.model);
    base = await start.seal();
  }
  const [mine, other] = [await ModelSealer.open(context, base, 1_000), await ModelSealer.open(context, base, 2_000)];
  ours(mine.model);
  theirs(other.model);
  const root = await other.seal();

  const adopted = { commit: COMMIT, tree: base, seq: SEQ };
  const { changes, data } = await epochOfModel(context, mine.model, adopted, 1);
  const olderTrees = async function* () {
    if (isBaseThere) yield base;
  };
  const built = await rebaseEpoch({ ...context, olderTrees }, root, changes, data);
  // Both trees are valid in themselves.
  await survey(context, built.mergeBase);
  await survey(context, built.ours);
  const { tree } = await mergeSnapshots(
    context,
    built.mergeBase,
    { tree: built.ours, lamport: (SEQ + 1) as Lamport, writer: writerId("m"), epoch: 1 },
    { tree: root, lamport: SEQ, writer: writerId("o"), epoch: 1 },
  );
  const sides = [await survey(context, await mine.seal()), await survey(context, root)] as const;
  const [first, merged] = [await survey(context, base), await survey(context, tree)];
  const lost = sides.flatMap((side) => lostVersions(first, side, merged));
  if (!isBaseThere) return lost;
  // A newcomer may be given the id of what the other side deleted: that one is not back.
  const old = new Set(changes.objects.map(({ id }) => id));
  const given = [...built.objects.values()].map(({ id }) => id).filter((id) => !old.has(id));
  const back = [
    ...resurrections(first, sides[0], sides[1], merged),
    ...resurrections(first, sides[1], sides[0], merged),
  ];
  return [...lost, ...back.filter((message) => !given.some((id) => message.includes(id)))];
}

function historyOf<Todo>(
  past: readonly Todo[],
  ours: Todo,
  theirs: Todo,
  contested: { readonly ours: boolean; readonly theirs: boolean },
  act: (model: ModelFilesystem, todo: Todo) => void,
): History {
  const side = (todo: Todo, isCrowded: boolean, content: string): Play => {
    return (model) => {
      if (isCrowded) takeConflictNames(model, content);
      act(model, todo);
    };
  };
  return {
    past: past.map((todo) => (model) => act(model, todo)),
    ours: side(ours, contested.ours, "ours"),
    theirs: side(theirs, contested.theirs, "theirs"),
    [fc.toStringMethod]: () => JSON.stringify({ past, ours, theirs, contested }),
  };
}

const DIRECTORIES = ["a", "b", "c", "a/a", "b/b", "a/a/c", "b/b/a"];

/** Makes some directories first where there are none, with a file in each. */
function moveDirectories(model: ModelFilesystem, todo: readonly Move[]): void {
  for (const path of model.root.entries.size === 0 ? DIRECTORIES : []) {
    model.apply({ op: "mkdir", path });
    model.apply({ op: "write", path: `${path}/f`, content: path });
  }
  for (const { from, into, name } of todo) {
    const paths = directoriesOf(model);
    const [path = "none", folder = ""] = [paths[from % paths.length], ["", ...paths][into % (paths.length + 1)]];
    model.apply({ op: "rename", path, to: folder === "" ? name : `${folder}/${name}` });
  }
}

/** The same directories, all empty. */
function removeDirectories(model: ModelFilesystem, todo: readonly Removal[]): void {
  for (const path of model.root.entries.size === 0 ? DIRECTORIES : []) model.apply({ op: "mkdir", path });
  for (const one of todo) {
    const paths = directoriesOf(model);
    const path = paths[one.from % paths.length] ?? "none";
    if (one.kind === "move") moveDirectories(model, [one]);
    else if (one.kind === "remove") model.apply({ op: "rmtree", path });
    else model.apply({ op: "write", path: `${path}/${one.name}`, content: `new in ${path}` });
  }
}

function directoriesOf(model: ModelFilesystem): string[] {
  return [...model.paths()].filter(([, { type }]) => type === "directory").map(([path]) => path);
}

/** Files under the names that directories get when they give way. */
function takeConflictNames(model: ModelFilesystem, content: string): void {
  for (const [path, { type, id }] of model.paths()) {
    if (type !== "directory" || id === undefined) continue;
    const [folder, name] = [path.slice(0, path.lastIndexOf("/") + 1), path.slice(path.lastIndexOf("/") + 1)];
    const [beside] = directoryNames(nameFromText(name), id);
    if (beside !== undefined)
      model.apply({ op: "write", path: folder + nameToText(beside), content: `${content} beside ${id}` });
  }
}
