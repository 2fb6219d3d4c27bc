import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Cid } from "../../../src/base/ids.ts";
import { diff, diffBeside, differingLeaves } from "../../../src/tree/diff.ts";
import { editTree, emptyTree } from "../../../src/tree/edit.ts";
import type { Entry } from "../../../src/tree/entry.ts";
import { sameContents } from "../../../src/tree/entry.ts";
import { mergeTrees } from "../../../src/tree/merge.ts";
import { get, lastBefore, peekGet, peekRange, range } from "../../../src/tree/read.ts";
import { SortedKeys } from "../../../src/tree/sorted-keys.ts";
import { walkTree } from "../../support/walk-tree.ts";
import type { Model, TestTrees } from "../../support/trees.ts";
import {
  arbitraryModel,
  arbitraryVersions,
  build,
  editOf,
  editsBetween,
  entriesOf,
  hex,
  keyOf,
  modelOf,
  reopened,
  testTrees,
} from "../../support/trees.ts";

/** A NodeStore that keeps as little as it may, and one that keeps all. */
const capacityBytes = fc.constantFrom(0, 1 << 24);
const targetBytes = fc.constantFrom(256, 300, 700);
/** Nodes that are loaded at a time: one, so that every window has edges, or more than there are. */
const batch = fc.constantFrom(1, 2, 7, 256);
const shapes = fc.record({ capacityBytes, targetBytes, batch });
const numRuns = process.env["SYNCLINE_TEST_ALL"] === undefined ? 150 : 5_000;

test("the last entry before any key is the same as in a sorted list", async () => {
  await fc.assert(
    fc.asyncProperty(shapes, arbitraryModel(), async (options, model) => {
      const trees = testTrees(options);
      const root = await build(trees, model);
      const keys = entriesOf(model).map(({ key }) => key);
      for (const key of [...keys, Uint8Array.of(0), Uint8Array.of(255, 255)]) {
        const expected = keys.findLast((other) => Buffer.compare(other, key) < 0);
        const found = await lastBefore(trees.nodes, root, key);
        expect(found && hex(found.key)).toEqual(expected && hex(expected));
      }
    }),
    { numRuns: 40 },
  );
});

describe("edits", () => {
  test("give the same tree as building the result", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, arbitraryVersions(1), async (options, { base, versions: [after = base] }) => {
        const trees = testTrees(options);
        const edited = await edit(trees, await build(trees, base), editsBetween(base, after));
        expect(edited).toBe(await build(trees, after));
        expect(await modelOf(trees.nodes, edited)).toEqual(new Map(entriesOf(after).map(plainPair)));
      }),
      { numRuns },
    );
  });

  test("give the same tree in any order and grouping", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryModel(), fc.array(fc.nat(), { maxLength: 12 }), async (model, cuts) => {
        const trees = testTrees();
        const keys = [...model.keys()];
        let root = await emptyTree(trees.nodes, trees.blocks, trees.config);
        for (const cut of cuts) {
          // Keys that are not in the model are made on the way and must leave no trace.
          const group = keys.splice(cut % (keys.length + 1), 25).map((key) => editOf(key, model.get(key)));
          const stray = editOf(`ff${keyOf(cut)}`, { value: Buffer.from("stray"), links: [] });
          root = await edit(trees, root, [...group, stray]);
          root = await edit(trees, root, [{ ...stray, value: undefined }]);
        }
        root = await edit(
          trees,
          root,
          keys.map((key) => editOf(key, model.get(key))),
        );
        expect(root).toBe(await build(trees, model));
      }),
    );
  });

  test("may come from an asynchronous source", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryVersions(1), async ({ base, versions: [after = base] }) => {
        const trees = testTrees();
        const root = await build(trees, base);
        const source = (async function* () {
          yield* editsBetween(base, after);
        })();
        expect(await editTree(trees.nodes, trees.blocks, trees.config, root, source)).toBe(await build(trees, after));
      }),
    );
  });

  test("that delete everything leave the empty tree", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryModel(), async (model) => {
        const trees = testTrees();
        const empty = await edit(trees, await build(trees, model), editsBetween(model, new Map()));
        expect(empty).toBe(await emptyTree(trees.nodes, trees.blocks, trees.config));
      }),
    );
  });

  test("leave only well-formed nodes, and store no node that the tree does not need", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, arbitraryVersions(1), async (options, { base, versions: [after = base] }) => {
        const trees = testTrees(options);
        const root = await build(trees, base);
        trees.blocks.forgetCounts();
        const edited = await edit(trees, root, editsBetween(base, after));
        const reached = new Set<Cid>();
        for await (const step of walkTree(trees.nodes, trees.config, edited)) {
          expect(step.kind).toBe("node");
          reached.add(step.cid);
        }
        expect(trees.blocks.puts.filter(({ cid }) => !reached.has(cid))).toEqual([]);
      }),
    );
  });
});

describe("reads", () => {
  test("find each key and no other", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, arbitraryModel(), async (options, model) => {
        const trees = testTrees(options);
        const root = await build(trees, model);
        for (let index = 0; index < 40; index++) {
          const key = keyOf(index * 17);
          const found = await get(trees.nodes, root, Buffer.from(key, "hex"));
          expect(isSame(found, model.get(key))).toBe(true);
          expect(peekGet(trees.nodes, root, Buffer.from(key, "hex"))).toEqual(found);
        }
      }),
      { numRuns: 50 },
    );
  });

  test("of a range return its entries in order", async () => {
    const bound = fc.option(fc.nat({ max: 700 }).map(keyOf), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(arbitraryModel(), bound, bound, fc.nat({ max: 400 }), async (model, from, to, limit) => {
        const trees = testTrees();
        const root = await build(trees, model);
        const expected = [...model.keys()]
          .sort()
          .filter((key) => key >= (from ?? "") && (to === undefined || key < to));
        const bounds = { ...(from && { from: Buffer.from(from, "hex") }), ...(to && { to: Buffer.from(to, "hex") }) };
        const keys: string[] = [];
        for await (const entry of range(reopened(trees.blocks), root, bounds)) keys.push(hex(entry.key));
        expect(keys).toEqual(expected);
        const peeked = peekRange(trees.nodes, root, bounds.from, bounds.to, limit);
        expect(peeked.map((entry) => hex(entry.key))).toEqual(expected.slice(0, limit));
      }),
    );
  });
});

describe("a diff", () => {
  test("lists exactly the keys that changed, in order, with their old and new values", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, arbitraryVersions(1), async (options, { base, versions: [after = base] }) => {
        const trees = testTrees(options);
        const [a, b] = [await build(trees, base), await build(trees, after)];
        const expected = [...new Map([...base, ...after]).keys()]
          .sort()
          .filter((key) => !isSame(base.get(key), after.get(key)));
        const found: string[] = [];
        for await (const change of diff(trees.nodes, a, b)) {
          found.push(hex(change.key));
          expect(isSame(change.before, base.get(hex(change.key)))).toBe(true);
          expect(isSame(change.after, after.get(hex(change.key)))).toBe(true);
        }
        expect(found).toEqual(expected);
      }),
      { numRuns },
    );
  });
});

describe("a diff beside a third tree", () => {
  test("reports what the third tree has at each key, and whether the first tree has the same", async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes,
        arbitraryVersions(2),
        async (options, { base, versions: [after = base, third = base] }) => {
          const trees = testTrees(options);
          const [a, b, c] = [await build(trees, base), await build(trees, after), await build(trees, third)];
          const [plain, found]: string[][] = [[], []];
          for await (const { key } of diff(trees.nodes, a, b)) plain?.push(hex(key));
          for await (const changes of diffBeside(trees.nodes, a, b, c)) {
            for (const { key, before, after: now, beside } of changes) {
              found?.push(hex(key));
              expect([before, now].map(plainOf)).toEqual([base, after].map((model) => plainOf(model.get(hex(key)))));
              expect(plainOf(beside)).toEqual(plainOf(third.get(hex(key))));
              expect(beside === before).toBe(isSame(base.get(hex(key)), third.get(hex(key))));
            }
          }
          expect(found).toEqual(plain);
        },
      ),
      { numRuns: numRuns / 2 },
    );
  });

  test("reports the third tree's value even for a key past the end of the taller tree", async () => {
    const trees = testTrees();
    const filler = { value: Buffer.alloc(40), links: [] };
    const rows = (head: string): Model =>
      new Map(Array.from({ length: 200 }, (_, index) => [head + hex(Buffer.from(`row ${1000 + index}`)), filler]));
    const [many, beyond] = [rows("00"), rows("ff")];
    const key = [...beyond.keys()].at(-1) ?? "";
    const few: Model = new Map([[key, filler]]);
    const third = await build(trees, new Map([...many, ...beyond, [key, { ...filler, value: Buffer.from("third") }]]));
    for (const [before, after] of [
      [many, few],
      [few, many],
    ] as const) {
      const found: [string, string | undefined][] = [];
      for await (const changes of diffBeside(trees.nodes, await build(trees, before), await build(trees, after), third))
        for (const change of changes) found.push([hex(change.key), change.beside && hex(change.beside.value)]);
      expect(found).toContainEqual([key, hex(Buffer.from("third"))]);
    }
  });

  test("is announced with the approximate number of leaves that differ", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, arbitraryVersions(1), async (options, { base, versions: [after = base] }) => {
        const trees = testTrees(options);
        const [a, b] = [await build(trees, base), await build(trees, after)];
        const leaves = async (root: Cid) => {
          const found = new Set<Cid>();
          for await (const step of walkTree(trees.nodes, trees.config, root))
            if (step.kind === "node" && step.node.level === 0 && step.node.count > 0) found.add(step.cid);
          return found;
        };
        const [before, now] = [await leaves(a), await leaves(b)];
        const exact =
          [...before].filter((cid) => !now.has(cid)).length + [...now].filter((cid) => !before.has(cid)).length;
        let counted = 0;
        for await (const count of differingLeaves(trees.nodes, a, b)) counted += count;
        // A tree that is one leaf has no parents to tell it, and one that a window's edge goes through counts in both windows.
        expect(counted).toBeGreaterThanOrEqual(exact - 1);
        expect(options.batch === 256 ? counted : exact).toBeLessThanOrEqual(exact + 1);
      }),
      { numRuns: numRuns / 2 },
    );
  });
});

describe("a merge", () => {
  test("gives the same result as merging maps, and asks only about keys that both sides changed", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, arbitraryVersions(2), async (options, { base, versions }) => {
        const [mine = base, other = base] = versions;
        const trees = testTrees(options);
        const roots = [await build(trees, base), await build(trees, mine), await build(trees, other)] as const;
        const asked: string[] = [];
        const merged = await mergeTrees(trees.nodes, trees.blocks, trees.config, ...roots, (key, ...sides) => {
          asked.push(hex(key));
          expect(sides.map((side) => side?.links)).toEqual([base, mine, other].map((m) => m.get(hex(key))?.links));
          return both(sides[1], sides[2]);
        });
        const expected = mergedMaps(base, mine, other);
        expect(asked).toEqual(expected.contested);
        expect(merged).toBe(await build(trees, expected.model));
      }),
      { numRuns },
    );
  });

  test("asks about every requested key, wherever it is", async () => {
    const wanted = fc.uniqueArray(fc.nat({ max: 700 }).map(keyOf), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(shapes, arbitraryVersions(2), wanted, async (options, { base, versions }, keys) => {
        const [mine = base, other = base] = versions;
        const trees = testTrees(options);
        const roots = [await build(trees, base), await build(trees, mine), await build(trees, other)] as const;
        const asked: string[] = [];
        const resolve = (key: string, m: Contents | undefined, o: Contents | undefined) =>
          keys.includes(key) && keys.indexOf(key) % 2 === 0 ? { value: Buffer.from("asked"), links: [] } : both(m, o);
        const merged = await mergeTrees(
          trees.nodes,
          trees.blocks,
          trees.config,
          ...roots,
          (key, ...sides) => {
            asked.push(hex(key));
            expect(sides.map(plainOf)).toEqual([base, mine, other].map((model) => plainOf(model.get(hex(key)))));
            return resolve(hex(key), sides[1], sides[2]);
          },
          new SortedKeys([...keys].sort().map((key) => Buffer.from(key, "hex").toString("latin1"))),
        );
        const expected = mergedMaps(base, mine, other);
        const model = new Map(expected.model);
        for (const key of keys) {
          const contents = resolve(key, mine.get(key), other.get(key));
          if (contents === undefined) model.delete(key);
          else model.set(key, contents);
        }
        expect(asked).toEqual([...new Set([...expected.contested, ...keys])].sort());
        expect(merged).toBe(await build(trees, model));
      }),
      { numRuns },
    );
  });

  test("gives the same result with the sides exchanged", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryVersions(2), async ({ base, versions: [mine = base, other = base] }) => {
        const trees = testTrees();
        const [b, m, o] = [await build(trees, base), await build(trees, mine), await build(trees, other)];
        const none = () => undefined;
        const one = await mergeTrees(trees.nodes, trees.blocks, trees.config, b, m, o, none);
        expect(await mergeTrees(trees.nodes, trees.blocks, trees.config, b, o, m, none)).toBe(one);
      }),
    );
  });
});

function edit({ nodes, blocks, config }: TestTrees, root: Cid, edits: ReturnType<typeof editsBetween>): Promise<Cid> {
  const sorted = [...edits].sort((a, b) => Buffer.compare(a.key, b.key));
  return editTree(nodes, blocks, config, root, sorted);
}

function mergedMaps(base: Model, mine: Model, other: Model): { model: Model; contested: string[] } {
  const model = new Map<string, Omit<Entry, "key">>();
  const contested: string[] = [];
  for (const key of [...new Map([...base, ...mine, ...other]).keys()].sort()) {
    const [b, m, o] = [base.get(key), mine.get(key), other.get(key)];
    const decided = isSame(b, m) ? o : m;
    const open = !isSame(b, m) && !isSame(b, o) && !isSame(m, o);
    if (open) contested.push(key);
    const result = open ? both(m, o) : decided;
    if (result !== undefined) model.set(key, result);
  }
  return { model, contested };
}

/** A resolution in which both sides show, and none when one side deleted. */
function both(mine: Contents | undefined, other: Contents | undefined): Contents | undefined {
  if (mine === undefined || other === undefined) return undefined;
  return { value: Buffer.concat([mine.value, other.value]), links: [...mine.links, ...other.links] };
}

type Contents = Omit<Entry, "key">;

function isSame(a: Contents | undefined, b: Contents | undefined): boolean {
  return a === undefined || b === undefined ? a === b : sameContents(a, b);
}

function plainOf(contents: Contents | undefined): { value: string; links: readonly Cid[] } | undefined {
  return contents && { value: hex(contents.value), links: contents.links };
}

function plainPair({ key, value, links }: Entry): [string, Contents] {
  return [hex(key), { value: Buffer.from(value), links }];
}
