/**
 * Folders that sync with one bucket, edited at random, with processes that die anywhere and swaps whose answers are lost: all come to one
 * tree, no version is lost, and nothing that was replaced comes back. SYNCLINE_TEST_ALL: 1,500 histories.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { SwapFault } from "../support/memory-remote.ts";
import { Crash } from "../support/memory-sync-disk.ts";
import { bucketTree, pair, path, settle, syncWorld, type SyncedFolder } from "../support/sync-world.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const runs = { numRuns: all ? 1_500 : 8 };
const patience = all ? 3_600_000 : 120_000;

const folder = fc.nat(1);
/** Which of the paths that are there, and which new name. */
const pick = fc.nat(40);
const fresh = fc.constantFrom("a", "b", "c", "d", "a/x", "b/x", "c/y", "d/y", "a/b/z");
const deed = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("write" as const), folder, at: fresh }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("edit" as const, "save" as const), folder, pick }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), folder, pick }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("move" as const), folder, pick, at: fresh }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("exchange" as const), folder, pick, other: pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("make" as const), folder, at: fresh }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("chmod" as const), folder, pick }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("sync" as const),
      folder,
      dies: fc.option(fc.nat(25), { nil: undefined, freq: 2 }),
    }),
  },
);
const swapFaults = fc.array(fc.constantFrom<SwapFault>("none", "none", "none", "committed-unseen", "lost"), {
  maxLength: 6,
});
type Deed = typeof deed extends fc.Arbitrary<infer Each> ? Each : never;

test(
  "whatever is edited and wherever processes die, all folders come to one tree and nothing is lost",
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(deed, { minLength: 5, maxLength: 30 }), swapFaults, async (deeds, faults) => {
        const world = await syncWorld(2);
        world.remote.faults.push(...faults);
        const book = new Book();
        for (const each of deeds) await play(pair(world)[each.folder === 0 ? 0 : 1], each, book);
        world.remote.faults.length = 0;
        await settle(world);
        const [one, other] = [sorted(pair(world)[0].disk.tree()), sorted(pair(world)[1].disk.tree())];
        expect(other).toEqual(one);
        book.noteCopies(new Map(one));
        expect(sorted(await bucketTree(world.bucket))).toEqual(one);
        const there = new Set(one.map(([, text]) => text));
        expect(book.made.filter((token) => !book.gone.has(token) && !there.has(token))).toEqual([]);
        expect([...book.replaced].filter((token) => !book.moved.has(token) && there.has(token))).toEqual([]);
      }),
      runs,
    );
  },
  patience,
);

/** Which versions there were, and what became of them by somebody's will. */
class Book {
  readonly made: string[] = [];
  readonly gone = new Set<string>();
  /** Gone by being written over or deleted where nobody moved it: it must not come back. */
  readonly replaced = new Set<string>();
  /** A rename survives another's delete. */
  readonly moved = new Set<string>();

  make(): string {
    const token = `version ${this.made.length}`;
    this.made.push(token);
    return token;
  }

  /** A merge that gave it a conflict name renamed or copied it, and that survives who deletes it elsewhere. */
  noteCopies(tree: ReadonlyMap<string, string>): void {
    for (const [each, text] of tree) if (each.includes("(conflict ")) this.moved.add(text);
  }

  drop(texts: Iterable<string>): void {
    for (const text of texts) {
      this.gone.add(text);
      this.replaced.add(text);
    }
  }
}

async function play(folder: SyncedFolder, each: Deed, book: Book): Promise<void> {
  const { disk } = folder;
  // Sometimes within one tick of the clock, sometimes much later.
  disk.tick(each.kind === "sync" ? 100_000_000n : 700_000n);
  const tree = disk.tree();
  const files = [...tree].filter(([, text]) => text !== "dir");
  const paths = [...tree.keys()];
  if (each.kind === "sync") return sync(folder, each.dies, book);
  if (each.kind === "write" || each.kind === "make") {
    if (tree.has(each.at) || !hasParent(tree, each.at)) return;
    if (each.kind === "make") disk.make(path(each.at));
    else disk.write(path(each.at), book.make());
    return;
  }
  if (each.kind === "edit" || each.kind === "save") {
    const file = files[each.pick % Math.max(files.length, 1)];
    if (file === undefined) return;
    book.drop([file[1]]);
    if (each.kind === "edit") disk.write(path(file[0]), book.make());
    else disk.save(path(file[0]), book.make());
    return;
  }
  const from = paths[each.pick % Math.max(paths.length, 1)];
  if (from === undefined) return;
  if (each.kind === "chmod") return disk.chmod(path(from), tree.get(from) === "dir" ? 0o750 : 0o640);
  if (each.kind === "remove") {
    book.drop(below(tree, from));
    return disk.remove(path(from));
  }
  const to = "at" in each ? each.at : "other" in each ? (paths[each.other % paths.length] ?? from) : from;
  if (to === from || to.startsWith(`${from}/`) || from.startsWith(`${to}/`)) return;
  if (each.kind === "move" && (tree.has(to) || !hasParent(tree, to))) return;
  for (const moved of [from, to]) for (const text of below(tree, moved)) book.moved.add(text);
  disk.move(path(from), path(to), each.kind === "move" ? "free" : "exchange");
}

async function sync(folder: SyncedFolder, dies: number | undefined, book: Book): Promise<void> {
  const { disk } = folder;
  disk.budget = dies;
  try {
    await folder.sync();
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
  } finally {
    disk.budget = undefined;
  }
  book.noteCopies(disk.tree());
}

function below(tree: ReadonlyMap<string, string>, at: string): string[] {
  const inside = [...tree].filter(([each, text]) => text !== "dir" && (each === at || each.startsWith(`${at}/`)));
  return inside.map(([, text]) => text);
}

function hasParent(tree: ReadonlyMap<string, string>, at: string): boolean {
  const above = at.split("/").slice(0, -1).join("/");
  return above === "" || tree.get(above) === "dir";
}

function sorted(tree: ReadonlyMap<string, string>): [string, string][] {
  return [...tree].sort(([a], [b]) => (a < b ? -1 : 1));
}
