/** The laws of the merge where files belong together (docs/design/merge.md, Units). SYNCLINE_TEST_ALL: as for merge-laws. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Cid, Lamport } from "../../../../../src/base/ids.ts";
import type { Operation } from "../../../../../src/simulate/scenarios/scenario.ts";
import { ALL, faultsOfPairs, lawsOfSeveral, PATIENCE_MS, runs } from "../../../../support/law-suite.ts";
import { intents, themesOf } from "../../../../support/merge-history.ts";
import { MergeWorld } from "../../../../support/merge-world.ts";
import { UNIT_ACTIONS, UNITS } from "../../../../support/unit-history.ts";

const some = (minLength: number, maxLength: number) => intents(minLength, maxLength, UNITS);

describe("laws of the merge, with units", () => {
  test(
    "two writers: all laws hold, and no unit is torn",
    async () => {
      const histories = fc.record({ theme: themesOf(UNITS), base: some(0, 3), x: some(1, 7), y: some(1, 7) });
      let contested = 0;
      await fc.assert(
        fc.asyncProperty(histories, async ({ theme, base, x, y }) => {
          const world = new MergeWorld(theme);
          const start = await world.play(undefined, "b", base);
          await world.judge(start, await world.head(start, "x", x), await world.head(start, "y", y));
          contested += world.contested;
          expect(world.faults).toEqual([]);
        }),
        { numRuns: runs(40) },
      );
      expect(contested).toBeGreaterThan(10);
    },
    PATIENCE_MS,
  );

  test("an entry added to a folder that the keeper moved into its unit takes no name of the unit", async () => {
    const world = new MergeWorld({ actions: [0], files: [0] });
    const operations: Operation[] = [
      { op: "mkdir", path: ".git" },
      { op: "write", path: ".git/h", content: "old" },
      { op: "mkdir", path: "d" },
    ];
    const start = (await world.headOfAction(await world.empty(), "b", operations)).tree;
    const x: Operation[] = [
      { op: "write", path: ".git/h", content: "x" },
      { op: "mkdir", path: "d/n" },
    ];
    const y: Operation[] = [
      { op: "link", path: ".git/h", to: "d/n" },
      { op: "rename", path: "d", to: ".git/d" },
    ];
    await world.judge(start, await world.headOfAction(start, "x", x), await world.headOfAction(start, "y", y));
    expect(world.contested).toBe(1);
    expect(world.faults).toEqual([]);
  });

  test("a file moved out of a folder also stays in the unit into which the keeper moved that folder", async () => {
    const world = new MergeWorld({ actions: [0], files: [0] });
    const operations: Operation[] = [
      { op: "mkdir", path: "d" },
      { op: "write", path: "d/f", content: "old" },
    ];
    const start = (await world.headOfAction(await world.empty(), "b", operations)).tree;
    const made = (content: string): Operation[] => [
      { op: "mkdir", path: ".git" },
      { op: "write", path: ".git/h", content },
    ];
    const x = await world.headOfAction(start, "x", [...made("x"), { op: "rename", path: "d", to: ".git/d" }]);
    const y = await world.headOfAction(start, "y", [...made("y"), { op: "rename", path: "d/f", to: "out" }]);
    const merged = await world.judge(start, { ...x, lamport: (y.lamport + 1) as Lamport }, y);
    expect(world.contested).toBe(1);
    expect(world.faults).toEqual([]);
    const { objects } = await world.survey(merged.tree);
    const names = [...objects.values()].flatMap((object) => object.names.map((name) => name.slice(33)));
    expect(names.filter((name) => ["f", "out"].includes(name)).sort()).toEqual(["f", "out"]);
  });

  test("a repository that its keeper moved to the name of another directory stays whole, and apart from it", async () => {
    const world = new MergeWorld({ actions: [0], files: [0] });
    const operations: Operation[] = [
      { op: "mkdir", path: ".git" },
      { op: "write", path: ".git/h", content: "old" },
      { op: "write", path: ".git/config", content: "old too" },
      { op: "mkdir", path: "d" },
    ];
    const start = (await world.headOfAction(await world.empty(), "b", operations)).tree;
    const x: Operation[] = [
      { op: "rmtree", path: ".git" },
      { op: "write", path: "d/new", content: "x" },
    ];
    const y: Operation[] = [
      { op: "write", path: ".git/h", content: "y" },
      { op: "rename", path: ".git", to: "d" },
    ];
    await judgeBoth(world, start, x, y);
    expect(world.contested).toBe(2);
    expect(world.faults).toEqual([]);
  });

  test("a database keeps its own log where another one's directory folded into its directory", async () => {
    const world = new MergeWorld({ actions: [0], files: [0] });
    const operations: Operation[] = [
      { op: "mkdir", path: "b" },
      { op: "write", path: "b/d.db", content: "old" },
      { op: "write", path: "b/d.db-wal", content: "old log" },
      { op: "mkdir", path: "a" },
    ];
    const start = (await world.headOfAction(await world.empty(), "b", operations)).tree;
    const x: Operation[] = [
      { op: "rename", path: "b/d.db", to: "a/d.db" },
      { op: "rename", path: "b/d.db-wal", to: "a/d.db-wal" },
      { op: "rmtree", path: "b" },
      { op: "rename", path: "a", to: "b" },
    ];
    const y: Operation[] = [
      { op: "write", path: "b/d.db", content: "new" },
      { op: "unlink", path: "b/d.db-wal" },
    ];
    const merged = await judgeBoth(world, start, x, y);
    expect(world.faults).toEqual([]);
    for (const { tree } of merged) {
      const { objects, texts } = await world.survey(tree);
      const files = [...objects.values()].filter(({ record }) => record.type === "file");
      const found = files.map(({ id, names: [name = ""] }) => `${name.slice(33)} ${texts.get(id)}`).sort();
      expect(found).toEqual([
        expect.stringMatching(/^d \(conflict [0-9a-f]{8}\)\.db old$/),
        expect.stringMatching(/^d \(conflict [0-9a-f]{8}\)\.db-wal old log$/),
        "d.db new",
      ]);
    }
  });

  test.each([
    {
      what: "database",
      x: [{ op: "rename", path: "a", to: "q" }],
      y: [
        { op: "mkdir", path: "q" },
        { op: "rename", path: "a/d.db", to: "q/d.db" },
      ],
    },
    {
      what: "log",
      x: [
        { op: "rename", path: "a", to: "q" },
        { op: "write", path: "q/d.db", content: "new" },
      ],
      y: [
        { op: "mkdir", path: "q" },
        { op: "rename", path: "a/d.db-wal", to: "q/d.db-wal" },
      ],
    },
  ] satisfies { what: string; x: Operation[]; y: Operation[] }[])(
    "a $what that was moved into a new directory, which folds back, merges the same whichever side is replayed",
    async ({ x, y }) => {
      const world = new MergeWorld({ actions: [0], files: [0] });
      const operations: Operation[] = [
        { op: "mkdir", path: "a" },
        { op: "write", path: "a/d.db", content: "old" },
        { op: "write", path: "a/d.db-wal", content: "log" },
      ];
      const start = (await world.headOfAction(await world.empty(), "b", operations)).tree;
      await judgeBoth(world, start, x, y);
      expect(world.faults).toEqual([]);
    },
  );

  test("a repository with equal paths and bytes on both sides gets no copy, even if a directory in it was replaced", async () => {
    const world = new MergeWorld({ actions: [0], files: [0] });
    const folders = [".git", ".git/m", "e"].map((path): Operation => ({ op: "mkdir", path }));
    const start = (
      await world.headOfAction(await world.empty(), "b", [...folders, { op: "write", path: ".git/h", content: "old" }])
    ).tree;
    const same: Operation = { op: "write", path: ".git/h", content: "same" };
    const x = await world.headOfAction(start, "x", [same]);
    const y = await world.headOfAction(start, "u", [
      same,
      { op: "write", path: ".git/m/own", content: "y" },
      { op: "rename", path: ".git/m", to: "out" },
      { op: "rename", path: "e", to: ".git/m" },
    ]);
    const merged = await world.judge(start, x, y);
    expect(world.contested).toBe(1);
    expect(world.faults).toEqual([]);
    expect(merged.conflicts).toEqual([]);
    const { objects } = await world.survey(merged.tree);
    expect([...objects.values()].filter(({ names }) => names[0]?.endsWith("/own"))).toHaveLength(1);
  });

  test.each([
    ["wrote to", []],
    ["removed", [{ op: "rmtree", path: ".git" } satisfies Operation]],
  ])(
    "a database that one side moved into a repository keeps that side's version where the other side %s it",
    async (_, done) => {
      const world = new MergeWorld({ actions: [0], files: [0] });
      const write = (path: string, content: string): Operation => ({ op: "write", path, content });
      const folders = [".git", "b"].map((path): Operation => ({ op: "mkdir", path }));
      const files = [".git/h", "b/d.db", "b/d.db-wal"].map((path) => write(path, `old ${path}`));
      const start = (await world.headOfAction(await world.empty(), "b", [...folders, ...files])).tree;
      const x = await world.headOfAction(start, "x", [
        ...["b/d.db", "b/d.db-wal", "b/d.db-shm", ".git/h"].map((path) => write(path, `x ${path}`)),
        { op: "rename", path: "b", to: ".git/b" },
      ]);
      const edits = done.length === 0 ? [write(".git/h", "y h")] : done;
      const y = await world.headOfAction(start, "y", [write("b/d.db-wal", "y wal"), ...edits]);
      const laterOf = (head: typeof x) => ({ ...head, lamport: (head.lamport + 1) as Lamport });
      await world.judge(start, laterOf(x), y);
      await world.judge(start, x, laterOf(y));
      expect(world.contested).toBe(4);
      expect(world.faults).toEqual([]);
    },
  );

  test.each([
    ["repository", "a/.git", [".git/h"]],
    ["database", "a", ["app.db", "app.db-wal"]],
  ])(
    "a %s's copy is not made again when the side that lost the conflict merges again from its old base",
    async (_, folder, files) => {
      const world = new MergeWorld({ actions: [0], files: [0] });
      const folders = [...new Set(["a", folder])].map((path): Operation => ({ op: "mkdir", path }));
      const written = (content: string) =>
        files.map((file): Operation => ({ op: "write", path: `a/${file}`, content: `${content} ${file}` }));
      const start = (await world.headOfAction(await world.empty(), "b", [...folders, ...written("old")])).tree;
      const [x, y] = [
        await world.headOfAction(start, "x", written("x")),
        await world.headOfAction(start, "y", written("y")),
      ];
      const merged = await world.judge(start, x, y);
      expect(merged.conflicts).toHaveLength(1);
      const later = { ...y, tree: merged.tree, lamport: (y.lamport + 1) as Lamport };
      expect(await world.merge(start, later, x)).toMatchObject({ tree: merged.tree, conflicts: [] });
      expect(world.faults).toEqual([]);
    },
  );

  test("a writer whose object lost the conflict twice, within another unit, is not pointed to a missing object", async () => {
    const world = new MergeWorld({ actions: [0, 0, 0, 22, 0, 70, 37], files: [0], setting: UNITS });
    const action = (number: number) => ({
      kind: "action" as const,
      a: 0,
      b: 0,
      action: number,
      name: "a",
      content: "S",
    });
    const start = await world.play(undefined, "b", [action(6), action(19)]);
    await world.publishAll(start, [
      { writer: 0, ops: [{ ...action(0), kind: "goHome", a: 15 }, action(0)] },
      { writer: 1, ops: [action(52), { ...action(0), kind: "moveDirectory", a: 6, b: 13 }] },
      { writer: 0, ops: [action(0)] },
    ]);
    expect(world.contested).toBeGreaterThan(0);
    expect(world.faults).toEqual([]);
  });

  test("a keeper that moves a database into a repository under another name leaves the other side's database whole", async () => {
    const world = new MergeWorld({ actions: [0, 23, 0, 0, 0], files: [5], setting: UNITS });
    const intent = { a: 0, b: 0, action: 0, name: "a", content: "S" };
    const action = (number: number) => ({ ...intent, kind: "action" as const, action: number });
    const start = await world.play(undefined, "b", [action(0)]);
    await world.publishAll(start, [
      { writer: 0, ops: [action(71), { ...intent, kind: "rename", a: 18, b: 13 }, action(0)] },
      { writer: 0, ops: [action(0)] },
      { writer: 0, ops: [action(0)] },
      { writer: 1, ops: [{ ...intent, kind: "symlink", b: 13 }, { ...intent, kind: "meet" }, action(0)] },
    ]);
    expect(world.contested).toBeGreaterThan(0);
    expect(world.faults).toEqual([]);
  });

  lawsOfSeveral({ setting: UNITS, most: 3, groupings: 15, schedules: 15 });

  test(
    "hold for pairs of actions of two writers on the same units",
    async () => expect(await faultsOfPairs(UNITS, UNIT_ACTIONS, ALL ? 1 : 13)).toEqual([]),
    PATIENCE_MS,
  );
});

/** Merges what two writers did, with either as the winner. */
async function judgeBoth(world: MergeWorld, start: Cid, x: readonly Operation[], y: readonly Operation[]) {
  const [one, other] = [await world.headOfAction(start, "x", x), await world.headOfAction(start, "y", y)];
  const later = { ...one, lamport: (other.lamport + 1) as Lamport };
  return [await world.judge(start, one, other), await world.judge(start, later, other)];
}
