import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import type { Ino } from "../../../src/base/ids.ts";
import { goneOf, removeGone } from "../../support/gone-numbers.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const MANY = 1_000;

/** Others make files, which are listed here, and remove them again. */
async function comeAndGo(fs: VfsHarness, count: number, round = 0): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `passing/${round}-${index}`);
  await byOthers(fs, async (other) => {
    if (!(await other.list("")).includes("passing")) await other.makeDirectory("passing");
    for (const name of names) await other.make(name, "x");
  });
  expect(await fs.list("passing")).toHaveLength(count);
  await byOthers(fs, async (other) => {
    for (const name of names) await other.unlink(name);
  });
}

async function byOthers(fs: VfsHarness, work: (other: VfsHarness) => Promise<void>): Promise<void> {
  fs.vfs.adopt(await fs.others(work));
}

async function removedByOthers(fs: VfsHarness, ...paths: readonly string[]): Promise<void> {
  await byOthers(fs, async (other) => {
    for (const path of paths) {
      const [parent, name] = await other.place(path);
      const isDirectory = await other.list(path).catch(() => undefined);
      await other.run((vfs) =>
        isDirectory === undefined ? vfs.unlink(parent, name) : vfs.removeDirectory(parent, name),
      );
    }
  });
}

const numbers = (fs: VfsHarness): Ino[] => [...fs.vfs.knownInodes()];

describe("a new mount", () => {
  test("forgets the numbers of files that others made and removed, and gives none of them out again", async () => {
    const fs = await VfsHarness.create();
    await fs.make("kept");
    await fs.publish();
    await comeAndGo(fs, MANY);
    const before = await fs.snapshot();
    const { next } = fs.objects.overlay.state.inodes;
    fs.restart();
    expect(numbers(fs).length).toBeGreaterThan(MANY);
    await removeGone(fs);
    expect(numbers(fs)).toHaveLength(2);
    fs.restart();
    expect(numbers(fs)).toHaveLength(2);
    expect(await fs.snapshot()).toEqual(before);
    expect(await fs.make("new")).toBeGreaterThanOrEqual(next);
  });

  test("keeps the numbers of files that programs have open to write", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f", "xx");
    await fs.publish();
    fs.vfs.holdVersion(ino);
    await removedByOthers(fs, "f");
    await removeGone(fs);
    await fs.write(ino, 1, "y");
    expect((await fs.read(ino)).toString()).toBe("xy");
  });

  test("keeps the numbers of everything that is still there: moved, moved back, linked, replaced, in directories", async () => {
    const fs = await VfsHarness.create();
    for (const name of ["moved", "back", "linked", "gone", "replaced", "temporary"]) await fs.make(name, name);
    await fs.makeDirectory("d");
    await fs.make("d/in", "x");
    await fs.publish();
    await byOthers(fs, async (other) => {
      await other.rename("moved", "d/moved");
      await other.rename("back", "away");
      await other.rename("temporary", "replaced");
      const [parent, name] = await other.place("d/link");
      const ino = await other.ino("linked");
      await other.run((vfs) => vfs.link(ino, parent, name));
    });
    await fs.snapshot();
    await byOthers(fs, async (other) => {
      await other.rename("away", "back");
      await other.rename("d", "e");
    });
    await removedByOthers(fs, "gone", "linked");
    const gone = numbers(fs);
    fs.restart();
    await removeGone(fs);
    const { overlay } = fs.objects;
    const left = numbers(fs);
    const after = new Map([...(await fs.snapshot())].map(([path, facts]) => [path, Number(facts.split(" ")[0])]));
    expect([...after.keys()]).toEqual(["", "back", "e", "e/in", "e/link", "e/moved", "replaced"]);
    expect([...after.values()].filter((ino) => ino !== 1 && !gone.includes(ino as Ino))).toEqual([]);
    expect(left.toSorted((a, b) => a - b)).toEqual([...after.values()].slice(1).toSorted((a, b) => a - b));
    expect(numbers(fs).every((ino) => overlay.state.inodes.row(ino) !== undefined)).toBe(true);
  });

  test("keeps the numbers that unpublished changes refer to, although others removed these objects", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("a");
    await fs.makeDirectory("a/b");
    await fs.make("f", "x");
    await fs.make("other", "x");
    await fs.publish();
    const numbersOf = await Promise.all(["a", "a/b", "f"].map((path) => fs.ino(path)));
    await fs.write(numbersOf[2] as Ino, 0, "changed");
    await fs.make("a/b/new", "new");
    await fs.list("");
    fs.vfs.seal();
    await fs.make("a/b/newer", "newer");
    await removedByOthers(fs, "a/b", "a", "f", "other");
    fs.restart();
    const before = numbers(fs);
    const other = before.filter((ino) => !numbersOf.includes(ino));
    await removeGone(fs);
    expect(numbers(fs).toSorted((a, b) => a - b)).toEqual(numbersOf.toSorted((a, b) => a - b));
    expect(other).toHaveLength(1);
    expect(await fs.text("f")).toBe("changed");
  });

  test("without the tree's nodes on this machine forgets nothing, and asks the bucket for nothing", async () => {
    const fs = await VfsHarness.create();
    await comeAndGo(fs, 10);
    fs.restart();
    const before = numbers(fs);
    const { requests } = fs.blocks;
    await removeGone(fs, { isHere: () => false });
    expect([numbers(fs), fs.blocks.requests]).toEqual([before, requests]);
    const { tree } = fs.root;
    await removeGone(fs, { isHere: (cid) => cid === tree });
    expect(fs.blocks.requests).toBe(requests);
  });

  test("looks again if the base moves meanwhile and has an object again", async () => {
    const fs = await VfsHarness.create();
    await fs.make("f", "x");
    await fs.make("gone", "x");
    await fs.publish();
    const there = fs.root;
    const ino = await fs.ino("f");
    await removedByOthers(fs, "f", "gone");
    fs.restart();
    let isBack = false;
    await removeGone(fs, {
      between: async () => {
        if (isBack) return;
        isBack = true;
        fs.vfs.adopt({ ...there, changes: undefined });
      },
    });
    expect(isBack).toBe(true);
    expect(await fs.ino("f")).toBe(ino);
    expect(numbers(fs)).toHaveLength(2);
  });

  test("ends at once when it is closed, and a removed object stays ESTALE", async () => {
    const fs = await VfsHarness.create();
    await comeAndGo(fs, 10);
    fs.restart();
    const [ino] = numbers(fs);
    const closing = new AbortController();
    closing.abort();
    const before = numbers(fs);
    await removeGone(fs, { signal: closing.signal });
    expect(numbers(fs)).toEqual(before);
    await removeGone(fs);
    await expect(fs.run((vfs) => vfs.getAttributes(ino as Ino))).rejects.toMatchObject({ errno: ERRNO.ESTALE });
  });
});

describe("a mount that stays", () => {
  test("keeps the numbers that its kernel knows, until it forgets them", async () => {
    const fs = await VfsHarness.create();
    await comeAndGo(fs, 10);
    const before = numbers(fs);
    const directory = await fs.ino("passing");
    const known = new Set(before.slice(0, 3));
    const look = goneOf(fs, { isKnown: (ino) => known.has(ino) });
    await look();
    expect(new Set(numbers(fs))).toEqual(new Set([...known, directory]));
    // A program still has one of them in use.
    for (const ino of before.slice(1, 3)) fs.vfs.forget(ino);
    await look();
    expect(numbers(fs)).toEqual([before[0], directory]);
  });

  test("keeps a number that the kernel forgets after others made the object again", async () => {
    const fs = await VfsHarness.create();
    await fs.make("f", "x");
    await fs.publish();
    const there = fs.root;
    const ino = await fs.ino("f");
    await removedByOthers(fs, "f");
    const look = goneOf(fs, { isKnown: () => true });
    await look();
    fs.vfs.adopt({ ...there, changes: undefined });
    fs.vfs.forget(ino);
    await look();
    expect(numbers(fs)).toContain(ino);
    expect(await fs.ino("f")).toBe(ino);
  });

  test("looks again only after many more numbers", async () => {
    const fs = await VfsHarness.create();
    const look = goneOf(fs);
    await comeAndGo(fs, MANY);
    await look();
    const least = numbers(fs).length;
    for (let round = 1; round <= 10; round++) {
      await comeAndGo(fs, MANY, round);
      await look();
      expect(numbers(fs).length).toBeGreaterThan(round * MANY);
    }
    await comeAndGo(fs, MANY, 11);
    await look();
    expect(numbers(fs).length).toBe(least);
  });
});
