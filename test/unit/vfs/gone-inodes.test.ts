import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import type { Ino } from "../../../src/base/ids.ts";
import { asNewMount } from "../../support/new-mount.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const MANY = 1_000;

/** Others make files, which are listed here, and remove them again. */
async function comeAndGo(fs: VfsHarness, count: number): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `passing/${index}`);
  await byOthers(fs, async (other) => {
    await other.makeDirectory("passing");
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
    await asNewMount(fs);
    expect(numbers(fs)).toHaveLength(2);
    fs.restart();
    expect(numbers(fs)).toHaveLength(2);
    expect(await fs.snapshot()).toEqual(before);
    expect(await fs.make("new")).toBeGreaterThanOrEqual(next);
  });

  test("by an agent that takes over forgets nothing, since the kernel goes on with its numbers", async () => {
    const fs = await VfsHarness.create();
    await comeAndGo(fs, 10);
    fs.restart();
    const before = numbers(fs);
    await asNewMount(fs, { takesOver: true });
    expect(numbers(fs)).toEqual(before);
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
    await asNewMount(fs);
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
    await asNewMount(fs);
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
    await asNewMount(fs, { isHere: () => false });
    expect([numbers(fs), fs.blocks.requests]).toEqual([before, requests]);
    const { tree } = fs.root;
    await asNewMount(fs, { isHere: (cid) => cid === tree });
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
    await asNewMount(fs, {
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
    await asNewMount(fs, { signal: closing.signal });
    expect(numbers(fs)).toEqual(before);
    await asNewMount(fs);
    await expect(fs.run((vfs) => vfs.getAttributes(ino as Ino))).rejects.toMatchObject({ errno: ERRNO.ESTALE });
  });
});
