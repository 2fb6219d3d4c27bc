import { describe, expect, test } from "vitest";
import type { FileName, Ino } from "../../../src/base/ids.ts";
import { BlockMiss } from "../../../src/blocks/block-store.ts";
import type { ListedEntry } from "../../../src/vfs/filesystem.ts";
import { cookieOf } from "../../../src/vfs/listing.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

/** A directory whose entries are half the base's, half the overlay's. */
async function filled(count: number): Promise<VfsHarness> {
  const fs = await VfsHarness.create();
  await fs.makeDirectory("d");
  for (let index = 0; index < count; index += 2) await fs.make(`d/${nameAt(index)}`);
  await fs.publish();
  for (let index = 1; index < count; index += 2) await fs.make(`d/${nameAt(index)}`);
  return fs;
}

const nameAt = (index: number) => `file-${String(index).padStart(5, "0")}`;

/** One call of readDirectory for up to `most` entries. */
async function page(
  fs: VfsHarness,
  ino: Ino,
  cookie: number,
  most: number,
): Promise<{ names: string[]; next: number }> {
  const names: string[] = [];
  let next = cookie;
  for (;;) {
    try {
      fs.vfs.readDirectory(ino, next, true, (entry) => {
        if (names.length === most) return false;
        names.push(entry.name);
        next = entry.next;
        return true;
      });
      return { names, next };
    } catch (error) {
      if (!(error instanceof BlockMiss)) throw error;
      await fs.vfs.load(error.cids);
    }
  }
}

async function rest(fs: VfsHarness, ino: Ino, from: number, most: number): Promise<string[]> {
  const all: string[] = [];
  for (let cookie = from; ;) {
    const { names, next } = await page(fs, ino, cookie, most);
    if (names.length === 0) return all;
    all.push(...names);
    cookie = next;
  }
}

describe("a listing", () => {
  test("merges base and overlay in byte order of the names, dots first, whatever the buffer's size", async () => {
    const fs = await filled(700);
    const ino = await fs.ino("d");
    const expected = [".", "..", ...Array.from({ length: 700 }, (_, index) => nameAt(index))];
    for (const most of [1, 3, 100, 10_000]) expect(await rest(fs, ino, 0, most)).toEqual(expected);
  });

  test("shows each entry once while others are created and removed", async () => {
    const fs = await filled(300);
    const ino = await fs.ino("d");
    const seen: string[] = [];
    let made = 0;
    for (let cookie = 0; ;) {
      const { names, next } = await page(fs, ino, cookie, 10);
      if (names.length === 0) break;
      seen.push(...names);
      cookie = next;
      await fs.make(`d/aaa-${made++}`);
      await fs.make(`d/zzz-${made++}`);
      const first = names.find((name) => name.startsWith("file"));
      if (first !== undefined) await fs.unlink(`d/${first}`);
      if (made % 8 === 0) await fs.publish();
    }
    const files = seen.filter((name) => name.startsWith("file"));
    expect(files).toEqual(Array.from({ length: 300 }, (_, index) => nameAt(index)));
    expect(new Set(seen).size).toBe(seen.length);
  });

  test("shows each entry once while published files change and are published again", async () => {
    const fs = await filled(100);
    await fs.makeDirectory("d/sub");
    await fs.publish();
    const ino = await fs.ino("d");
    const seen: string[] = [];
    for (let cookie = 0, changes = 0; ; changes++) {
      const { names, next } = await page(fs, ino, cookie, 10);
      if (names.length === 0) break;
      seen.push(...names);
      cookie = next;
      await fs.write(await fs.ino(`d/${nameAt(99 - changes)}`), 0, "x");
      await fs.make(`d/sub/${changes}`);
      if (changes % 4 === 3) await fs.publish();
    }
    expect(seen).toEqual([".", "..", ...Array.from({ length: 100 }, (_, index) => nameAt(index)), "sub"]);
  });

  test("shows a file that changed here while it was read, although others removed it meanwhile", async () => {
    const fs = await filled(100);
    await fs.publish();
    const ino = await fs.ino("d");
    const { names, next } = await page(fs, ino, 0, 10);
    await fs.write(await fs.ino(`d/${nameAt(50)}`), 0, "x");
    fs.vfs.adopt(await fs.others((other) => other.unlink(`d/${nameAt(50)}`)));
    expect([...names, ...(await rest(fs, ino, next, 10))].slice(2)).toEqual(
      Array.from({ length: 100 }, (_, index) => nameAt(index)),
    );
  });

  test("continues where it was after a restart", async () => {
    const fs = await filled(100);
    const ino = await fs.ino("d");
    const first = await page(fs, ino, 0, 40);
    fs.vfs.persist();
    fs.restart();
    const later = await rest(fs, ino, first.next, 7);
    expect([...first.names, ...later]).toEqual([".", "..", ...Array.from({ length: 100 }, (_, at) => nameAt(at))]);
  });

  test("can resume at any entry, not only where a buffer ended", async () => {
    const fs = await filled(60);
    const ino = await fs.ino("d");
    await rest(fs, ino, 0, 50);
    expect(await rest(fs, ino, cookieOf(nameAt(17) as FileName), 5)).toEqual(
      Array.from({ length: 42 }, (_, at) => nameAt(at + 18)),
    );
  });

  test("of more entries than memory holds resumes in the middle after its position was forgotten", async () => {
    const count = 2_000;
    const fs = await VfsHarness.create({ nodeBytes: 1 });
    await fs.makeDirectory("d");
    for (let index = 0; index < count; index++) await fs.make(`d/${nameAt(index)}`);
    await fs.publish();
    fs.restart();
    const ino = await fs.ino("d");
    const place = cookieOf(nameAt(count - 5) as FileName);
    let rounds = 0;
    let next: string[] = [];
    while (next.length === 0 && rounds++ < count) {
      try {
        fs.vfs.readDirectory(ino, place, false, ({ name }) => next.push(name) > 0);
      } catch (error) {
        if (!(error instanceof BlockMiss)) throw error;
        await fs.vfs.load(error.cids);
      }
    }
    expect(next).toEqual([4, 3, 2, 1].map((left) => nameAt(count - left)));
  });

  test("of many entries takes one pass, however small the buffer", async () => {
    const fs = await filled(2_000);
    const ino = await fs.ino("d");
    await rest(fs, ino, 0, 50);
    fs.blocks.forgetCounts();
    await rest(fs, ino, 0, 5);
    expect(fs.blocks.reads.length).toBe(0);
  });

  test("requests the blocks of all subdirectories of a page together", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    for (let index = 0; index < 60; index++) {
      await fs.makeDirectory(`d/${index}`);
      for (let file = 0; file < 10; file++) await fs.make(`d/${index}/${file}`, "x".repeat(400));
    }
    await fs.publish();
    fs.restart();
    const ino = await fs.ino("d");
    fs.blocks.forgetCounts();
    expect(await rest(fs, ino, 0, 1_000)).toHaveLength(62);
    expect(fs.blocks.requests).toBeLessThan(12);
  });
});

describe("a plain listing", () => {
  test("matches the full one, whatever we or others changed, and whatever the page size", async () => {
    const fs = await filled(60);
    await fs.makeDirectory("d/sub");
    await fs.make("elsewhere", "x");
    await fs.publish();
    const link = async (to: string) => {
      const [parent, name] = await fs.place(to);
      const ino = await fs.ino(`d/${nameAt(2)}`);
      await fs.run((vfs) => vfs.link(ino, parent, name));
    };
    await link("d/second-name");
    await fs.publish();
    await fs.make(`d/${nameAt(100)}`, "new");
    await fs.write(await fs.ino(`d/${nameAt(4)}`), 0, "changed");
    await fs.unlink(`d/${nameAt(6)}`);
    await fs.rename(`d/${nameAt(8)}`, "d/renamed");
    await fs.rename(`d/${nameAt(10)}`, "away");
    await fs.rename("elsewhere", "d/here");
    const base = await fs.others(async (other) => {
      // One of them is changed here, too.
      await other.rename(`d/${nameAt(4)}`, "d/moved by others");
      await other.rename(`d/${nameAt(12)}`, "d/also moved");
      await other.unlink(`d/${nameAt(14)}`);
      await other.make("d/of others", "o");
    });
    for (const then of [() => {}, () => fs.vfs.adopt(base), () => fs.restart(), () => fs.publish()]) {
      await then();
      const ino = await fs.ino("d");
      const full = (await rest(fs, ino, 0, 1_000)).slice(2);
      for (const limit of [1, 7, 256]) {
        const plain = await listed(fs, ino, limit);
        expect(plain.map(({ name }) => name)).toEqual(full);
        for (const { name, attributes } of plain) {
          const found = await fs.run((vfs) => vfs.lookup(ino, name));
          const { mode, size, mtimeNs, ctimeNs } = found ?? {};
          expect(attributes).toMatchObject({ mode, size, mtimeNs, ctimeNs });
          expect(await fs.run(() => attributes.ino)).toBe(found?.ino);
        }
      }
    }
  });

  test("shows a file that changes while it is read", async () => {
    const fs = await filled(10);
    await fs.publish();
    const ino = await fs.ino("d");
    const { entries, next } = await fs.run((vfs) => vfs.list(ino, 0, 5));
    await fs.write(await fs.ino(`d/${nameAt(8)}`), 0, "x");
    const rest = await fs.run((vfs) => vfs.list(ino, next ?? 0, 10));
    expect([...entries, ...rest.entries].map(({ name }) => name)).toEqual(
      Array.from({ length: 10 }, (_, at) => nameAt(at)),
    );
  });

  test("assigns an unchanged entry an inode number only on demand", async () => {
    const fs = await filled(100);
    await fs.publish();
    let numbers: number[] = [];
    await fs.others(async (other) => {
      const directory = await other.ino("d");
      const [before, entries] = [await other.make("before"), await listed(other, directory, 30)];
      const after = await other.make("after");
      const asked = entries.slice(0, 5);
      for (const { attributes } of asked) await other.run(() => attributes.ino);
      numbers = [entries.length, after - before, (await other.make("last")) - after];
    });
    expect(numbers).toEqual([100, 1, 6]);
  });
});

async function listed(fs: VfsHarness, ino: Ino, limit: number): Promise<ListedEntry[]> {
  const entries: ListedEntry[] = [];
  for (let cookie: number | undefined = 0; cookie !== undefined;) {
    const from: number = cookie;
    const piece = await fs.run((vfs) => vfs.list(ino, from, limit));
    entries.push(...piece.entries);
    cookie = piece.next;
  }
  return entries;
}
