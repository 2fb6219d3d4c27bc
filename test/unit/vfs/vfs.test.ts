/** Rules of a local Linux filesystem that the comparison with the local disk (test/property/vfs/vfs.test.ts) does not reach. */
import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import type { FileName, Ino } from "../../../src/base/ids.ts";
import { ROOT_INO } from "../../../src/base/ids.ts";
import { nameFromText } from "../../../src/base/names.ts";
import {
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE,
  FALLOC_ZERO_RANGE,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
} from "../../../src/vfs/filesystem.ts";
import { STATE_XATTR } from "../../../src/vfs/publish-state.ts";
import type { Vfs } from "../../../src/vfs/vfs.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { CALLER } from "../../../src/simulate/vfs-driver.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;

async function refusal(work: Promise<unknown>): Promise<number | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return (error as { errno: number }).errno;
  }
}

describe("owners, modes and times", () => {
  test("a set-gid directory passes its group to new entries, and the bit to new directories", async () => {
    const fs = await VfsHarness.create();
    const shared = await fs.makeDirectory("shared");
    await fs.run((vfs) => vfs.setAttributes(shared, { gid: 50, mode: 0o2775 }));
    const file = await fs.run((vfs) => vfs.makeNode(shared, "f" as FileName, S_IFREG | 0o644, 0, { uid: 7, gid: 8 }));
    const folder = await fs.run((vfs) => vfs.makeDirectory(shared, "d" as FileName, 0o755, { uid: 7, gid: 8 }));
    expect(file).toMatchObject({ uid: 7, gid: 50, mode: S_IFREG | 0o644 });
    expect(folder).toMatchObject({ uid: 7, gid: 50, mode: S_IFDIR | 0o2755 });
  });

  test("a change of owner clears the set-id bits, unless the mode is set with it", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f");
    await fs.run((vfs) => vfs.setAttributes(ino, { mode: 0o6755 }));
    expect((await fs.run((vfs) => vfs.setAttributes(ino, { uid: 5 }))).mode & 0o7777).toBe(0o755);
    await fs.run((vfs) => vfs.setAttributes(ino, { mode: 0o6744 }));
    expect((await fs.run((vfs) => vfs.setAttributes(ino, { gid: 5 }))).mode & 0o7777).toBe(0o2744);
    expect((await fs.run((vfs) => vfs.setAttributes(ino, { uid: 6, mode: 0o4755 }))).mode & 0o7777).toBe(0o4755);
  });

  test("creating, removing and renaming update the directories' times and the object's ctime", async () => {
    const clock = new ManualClock();
    const fs = await VfsHarness.create({}, clock);
    const [a, b] = [await fs.makeDirectory("a"), await fs.makeDirectory("b")];
    const f = await fs.make("a/f");
    const times = async (ino: Ino) => {
      const { mtimeNs, ctimeNs } = await fs.run((vfs) => vfs.getAttributes(ino));
      return [mtimeNs, ctimeNs];
    };
    const made = await times(f);
    await clock.advance(1_000);
    await fs.rename("a/f", "b/f");
    const moved = clock.nowNs();
    expect([await times(a), await times(b), await times(f)]).toEqual([
      [moved, moved],
      [moved, moved],
      [made[0], moved],
    ]);
    await clock.advance(1_000);
    await fs.unlink("b/f");
    expect([await times(a), await times(b)]).toEqual([
      [moved, moved],
      [clock.nowNs(), clock.nowNs()],
    ]);
  });

  test("times keep their nanoseconds, and truncating a file to its own size updates them", async () => {
    const clock = new ManualClock();
    const fs = await VfsHarness.create({}, clock);
    const ino = await fs.make("f", "abc");
    const set = { atimeNs: 1_234_567_891n, mtimeNs: -5n };
    expect(await fs.run((vfs) => vfs.setAttributes(ino, set))).toMatchObject(set);
    await fs.publish();
    expect((await fs.find("f"))?.mtimeNs).toBe(-5n);
    await clock.advance(5);
    expect((await fs.run((vfs) => vfs.setAttributes(ino, { size: 3 }))).mtimeNs).toBe(clock.nowNs());
  });
});

describe("names", () => {
  test("a directory of more entries than memory holds can be removed once it is empty", async () => {
    const fs = await VfsHarness.create({ nodeBytes: 1 });
    await fs.makeDirectory("d");
    const names = Array.from({ length: 3_000 }, (_, at) => `d/${at}`);
    for (const name of names) await fs.make(name);
    await fs.publish();
    for (const name of names) await fs.unlink(name);
    let rounds = 0;
    await fs.run((vfs) => {
      if (++rounds > 1_000) throw new Error("it does not end");
      vfs.removeDirectory(ROOT_INO, nameFromText("d"));
    });
    expect(await fs.find("d")).toBeUndefined();
  });

  test("a change to a directory first reads what it will answer, even if the row left memory", async () => {
    const fs = await VfsHarness.create({ nodeBytes: 1 });
    for (let n = 0; n < 3_000; n++) await fs.makeDirectory(`directory ${n}`);
    await fs.publish();
    const ino = await fs.ino("directory 7");
    for (let n = 1_000; n < 3_000; n++) await fs.find(`directory ${n}`);
    // Throws nothing.
    const { mode, nlink } = fs.vfs.setAttributes(ino, { mode: 0o700 });
    expect([mode & 0o777, nlink]).toEqual([0o700, 2]);
  });

  test("an unlinked file lives until it is forgotten, and then its bytes go", async () => {
    const clock = new ManualClock();
    const fs = await VfsHarness.create({}, clock);
    const orphans: Ino[] = [];
    fs.vfs.watchOrphans((ino) => orphans.push(ino));
    const ino = await fs.make("f", "still here");
    await fs.unlink("f");
    expect(orphans).toEqual([ino]);
    expect((await fs.read(ino)).toString()).toBe("still here");
    expect((await fs.run((vfs) => vfs.getAttributes(ino))).nlink).toBe(0);
    await fs.write(ino, 0, Buffer.alloc(100_000, 1));
    fs.vfs.forget(ino);
    fs.vfs.persist();
    await clock.advance(5_000);
    expect(await refusal(fs.run((vfs) => vfs.getAttributes(ino)))).toBe(ERRNO.ESTALE);
    expect(fs.disk.list("data").filter((name) => name.startsWith(`${ino}.`))).toEqual([]);
  });

  test("a published file stays readable after it is unlinked, whatever is published then", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f", "x".repeat(3_000));
    await fs.publish();
    await fs.unlink("f");
    await fs.publish();
    expect((await fs.read(ino)).toString()).toBe("x".repeat(3_000));
    await fs.write(ino, 1, "!");
    expect((await fs.read(ino, 0, 3)).toString()).toBe("x!x");
    fs.vfs.forget(ino);
    expect(fs.vfs.pending().files).toBe(0);
  });

  test("inodes without a name are reported to whoever serves the filesystem after a restart", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f", "open");
    await fs.unlink("f");
    fs.vfs.persist();
    fs.restart();
    const orphans: Ino[] = [];
    fs.vfs.watchOrphans((orphan) => orphans.push(orphan));
    expect(orphans).toEqual([ino]);
    expect((await fs.read(ino)).toString()).toBe("open");
  });

  test("a file created without a name can be linked, but one that lost its name cannot", async () => {
    const fs = await VfsHarness.create();
    const { ino } = await fs.run((vfs) => vfs.makeUnnamed(ROOT_INO, S_IFREG | 0o600, CALLER));
    await fs.write(ino, 0, "temporary");
    expect((await fs.find("named"))?.ino).toBeUndefined();
    await fs.run((vfs) => vfs.link(ino, ROOT_INO, "named" as FileName));
    expect(await fs.text("named")).toBe("temporary");
    await fs.publish();
    await fs.unlink("named");
    expect(await refusal(fs.run((vfs) => vfs.link(ino, ROOT_INO, "again" as FileName)))).toBe(ERRNO.ENOENT);
  });

  test("RENAME_NOREPLACE and RENAME_EXCHANGE behave as on Linux", async () => {
    const fs = await VfsHarness.create();
    await fs.make("f", "file");
    await fs.makeDirectory("d");
    await fs.make("d/inside");
    await fs.makeDirectory("e");
    expect(await refusal(fs.rename("f", "d", RENAME_NOREPLACE))).toBe(ERRNO.EEXIST);
    expect(await refusal(fs.rename("f", "none", RENAME_EXCHANGE))).toBe(ERRNO.ENOENT);
    expect(await refusal(fs.rename("f", "d", RENAME_EXCHANGE | RENAME_NOREPLACE))).toBe(ERRNO.EINVAL);
    await fs.rename("f", "d/inside", RENAME_EXCHANGE);
    await fs.rename("d", "f", RENAME_EXCHANGE);
    expect(await fs.text("f/inside")).toBe("file");
    await fs.makeDirectory("e/sub");
    await fs.rename("f", "e/sub", RENAME_EXCHANGE);
    expect(await refusal(fs.rename("e", "e/sub", RENAME_EXCHANGE))).toBe(ERRNO.EINVAL);
    for (let round = 0; round < 2; round++) {
      expect(await fs.text("e/sub/inside")).toBe("file");
      const links = await Promise.all(["", "e", "e/sub", "f"].map(async (path) => (await fs.find(path))?.nlink));
      expect(links).toEqual([4, 3, 2, 2]);
      await fs.publish();
    }
  });

  test("invalid names are refused as the kernel does", async () => {
    const fs = await VfsHarness.create();
    const make = (name: string) =>
      refusal(fs.run((vfs) => vfs.makeDirectory(ROOT_INO, name as FileName, 0o755, CALLER)));
    expect(await make("x".repeat(256))).toBe(ERRNO.ENAMETOOLONG);
    for (const name of ["", ".", "..", "a/b", "a\0b"]) expect(await make(name)).toBe(ERRNO.EINVAL);
    expect(await make("x".repeat(255))).toBeUndefined();
    expect(await make("\xff\xfe")).toBeUndefined();
    const removed = (name: string) => refusal(fs.run((vfs) => vfs.removeDirectory(ROOT_INO, name as FileName)));
    expect([await removed("."), await removed("..")]).toEqual([ERRNO.EINVAL, ERRNO.ENOTEMPTY]);
  });

  test("nothing can be created in a removed directory", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.makeDirectory("gone");
    await fs.run((vfs) => vfs.removeDirectory(ROOT_INO, "gone" as FileName));
    const make = fs.run((vfs) => vfs.makeNode(ino, "f" as FileName, S_IFREG | 0o644, 0, CALLER));
    expect(await refusal(make)).toBe(ERRNO.ENOENT);
    expect((await fs.run((vfs) => vfs.getAttributes(ino))).nlink).toBe(0);
    expect(await fs.run((vfs) => vfs.lookup(ino, "f" as FileName))).toBeUndefined();
  });

  test("fifos, sockets and devices keep their type and device number", async () => {
    const fs = await VfsHarness.create();
    const kinds = { fifo: 0o010600, socket: 0o140600, char: 0o020600, block: 0o060600 };
    for (const [name, mode] of Object.entries(kinds))
      await fs.run((vfs) => vfs.makeNode(ROOT_INO, name as FileName, mode, 0x103, CALLER));
    await fs.publish();
    for (const [name, mode] of Object.entries(kinds)) {
      const rdev = name === "char" || name === "block" ? 0x103 : 0;
      expect(await fs.find(name)).toMatchObject({ mode, rdev, size: 0, nlink: 1 });
    }
    expect(await refusal(fs.read(await fs.ino("fifo")))).toBe(ERRNO.EINVAL);
  });

  test("a symlink's target survives at any allowed length", async () => {
    const fs = await VfsHarness.create();
    for (const length of [1, 512, 513, 4_095]) {
      const name = `l${length}` as FileName;
      await fs.run((vfs) => vfs.makeSymlink(ROOT_INO, name, "t".repeat(length), CALLER));
    }
    await fs.publish();
    fs.restart();
    for (const length of [1, 512, 513, 4_095]) {
      const { ino, size } = (await fs.find(`l${length}`)) ?? { ino: ROOT_INO, size: 0 };
      expect(size).toBe(length);
      expect(await fs.run((vfs) => vfs.readSymlink(ino))).toBe("t".repeat(length));
    }
    const make = (target: string) =>
      refusal(fs.run((vfs) => vfs.makeSymlink(ROOT_INO, "l" as FileName, target, CALLER)));
    expect([await make(""), await make("t".repeat(4_096))]).toEqual([ERRNO.ENOENT, ERRNO.ENAMETOOLONG]);
  });
});

describe("contents", () => {
  const allocate = (fs: VfsHarness, ino: Ino, mode: number, offset: number, length: number) =>
    refusal(fs.run((vfs: Vfs) => vfs.allocate(ino, mode, offset, length)));

  test("allocating, punching and zeroing ranges change size and bytes as on Linux", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f", "0123456789");
    const size = async () => (await fs.find("f"))?.size;
    expect(await allocate(fs, ino, FALLOC_KEEP_SIZE, 0, 100)).toBeUndefined();
    expect(await size()).toBe(10);
    expect(await allocate(fs, ino, 0, 5, 15)).toBeUndefined();
    expect(await size()).toBe(20);
    expect(await allocate(fs, ino, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 2, 3)).toBeUndefined();
    expect(await allocate(fs, ino, FALLOC_ZERO_RANGE, 18, 7)).toBeUndefined();
    expect(await allocate(fs, ino, FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE, 24, 70)).toBeUndefined();
    expect(await fs.text("f")).toBe(`01\0\0\x0056789${"\0".repeat(15)}`);
    expect(await allocate(fs, ino, FALLOC_PUNCH_HOLE, 0, 1)).toBe(ERRNO.EOPNOTSUPP);
    expect(await allocate(fs, ino, 0x40, 0, 1)).toBe(ERRNO.EOPNOTSUPP);
    expect(await allocate(fs, ino, 0, 0, 0)).toBe(ERRNO.EINVAL);
    expect(await allocate(fs, ino, 0, 2 ** 53 - 5, 10)).toBe(ERRNO.EFBIG);
    fs.disk.capacity = fs.disk.used + 1_000;
    expect(await allocate(fs, ino, 0, 0, 10_000)).toBe(ERRNO.ENOSPC);
  });

  test("a published file's block count covers data but not holes, even before its chunk list is read", async () => {
    const fs = await VfsHarness.create();
    const random = new Uint8Array(300_000).map((_, at) => (at * 2_654_435_761) >>> 13);
    const [sparse, hole] = [await fs.make("sparse"), await fs.make("hole")];
    await fs.write(sparse, 1_000_000, random);
    for (const ino of [sparse, hole]) await fs.run((vfs) => vfs.setAttributes(ino, { size: 2 ** 50 }));
    await fs.publish();
    fs.restart();
    const blocks = async (path: string) => (await fs.find(path))?.blocks;
    expect([await blocks("sparse"), await blocks("hole")]).toEqual([586, 0]);
    await fs.write(await fs.ino("sparse"), 3_000_000, random.subarray(0, 4096));
    expect(await blocks("sparse")).toBe(594);
  });

  test("seeking finds data and holes, in changed and in published files", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f");
    await fs.write(ino, 300_000, Buffer.alloc(100_000, 1));
    await fs.run((vfs) => vfs.setAttributes(ino, { size: 1_000_000 }));
    const seek = (offset: number, whence: "data" | "hole") => fs.run((vfs) => vfs.seek(ino, offset, whence));
    for (let round = 0; round < 2; round++) {
      expect(await seek(0, "data")).toBe(300_000);
      expect(await seek(0, "hole")).toBe(0);
      expect(await seek(300_001, "hole")).toBe(400_000);
      expect(await refusal(seek(400_000, "data"))).toBe(ERRNO.ENXIO);
      expect(await seek(999_999, "hole")).toBe(999_999);
      expect(await refusal(seek(1_000_000, "hole"))).toBe(ERRNO.ENXIO);
      await fs.publish();
    }
    await fs.write(ino, 0, "start");
    expect([await seek(0, "hole"), await seek(5, "data"), await seek(300_000, "hole")]).toEqual([5, 300_000, 400_000]);
  });

  test("a range can be copied between files, and within one file unless it overlaps", async () => {
    const fs = await VfsHarness.create();
    const from = await fs.make("from", "0123456789");
    const to = await fs.make("to", "abc");
    expect(await fs.run((vfs) => vfs.copyRange(from, 2, to, 1, 100))).toBe(8);
    expect(await fs.text("to")).toBe("a23456789");
    expect(await fs.run((vfs) => vfs.copyRange(from, 0, from, 10, 10))).toBe(10);
    expect(await fs.text("from")).toBe("01234567890123456789");
    expect(await refusal(fs.run((vfs) => vfs.copyRange(from, 0, from, 5, 10)))).toBe(ERRNO.EINVAL);
    expect(await fs.run((vfs) => vfs.copyRange(from, 50, to, 0, 10))).toBe(0);
  });

  test("a file that outgrows the shared data files keeps its bytes, even after restarts and a publish", async () => {
    const fs = await VfsHarness.create();
    const model = Buffer.alloc(200_000);
    const ino = await fs.make("f");
    const others = [await fs.make("g", "g".repeat(5_000)), await fs.make("h", "h".repeat(60_000))];
    for (const [offset, length, value] of [
      [10, 5_000, 1],
      [4_000, 3_000, 2],
      [60_000, 5_000, 3],
      [150_000, 50_000, 4],
      [100, 10, 5],
      [65_530, 20, 6],
    ] as const) {
      model.fill(value, offset, offset + length);
      await fs.write(ino, offset, Buffer.alloc(length, value));
      fs.vfs.persist();
      fs.restart();
    }
    expect((await fs.read(ino, 0, 200_000)).equals(model)).toBe(true);
    await fs.publish();
    expect((await fs.read(ino, 0, 200_000)).equals(model)).toBe(true);
    expect((await fs.read(others[1] ?? ROOT_INO)).toString()).toBe("h".repeat(60_000));
  });

  test("a file cannot exceed the maximum size", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f");
    expect(await refusal(fs.write(ino, 2 ** 53 - 2, "abc"))).toBe(ERRNO.EFBIG);
    expect(await refusal(fs.run((vfs) => vfs.setAttributes(ino, { size: 2 ** 53 })))).toBe(ERRNO.EFBIG);
    await fs.run((vfs) => vfs.setAttributes(ino, { size: 2 ** 53 - 1 }));
    expect((await fs.find("f"))?.size).toBe(2 ** 53 - 1);
    expect((await fs.read(ino, 2 ** 53 - 5, 10)).toString()).toBe("\0\0\0\0");
    expect(await refusal(fs.run((vfs) => vfs.setAttributes(ROOT_INO, { size: 0 })))).toBe(ERRNO.EISDIR);
  });
});

describe("extended attributes", () => {
  test("say whether a file is published; that attribute is not listed and cannot be changed", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f");
    const state = async (of: Ino = ino) => {
      return Buffer.from((await fs.run((vfs) => vfs.getXattr(of, STATE_XATTR))) ?? []).toString();
    };
    expect([await state(), await state(ROOT_INO)]).toEqual(["pending", "pending"]);
    fs.vfs.publishState.told({ problem: "store_unreachable" });
    fs.vfs.publishState.told("moving");
    expect(await state()).toBe("store_unreachable");
    expect(await fs.run((vfs) => vfs.listXattrs(ino))).toEqual([]);
    const set = fs.run((vfs) => vfs.setXattr(ino, STATE_XATTR, Buffer.from("published"), 0));
    expect(await refusal(set)).toBe(ERRNO.EPERM);
    expect(await refusal(fs.run((vfs) => vfs.removeXattr(ino, STATE_XATTR)))).toBe(ERRNO.EPERM);
    await fs.publish();
    expect([await state(), await state(ROOT_INO)]).toEqual(["published", "published"]);
    fs.vfs.publishState.told({ problem: undefined });
    await fs.make("g");
    expect([await state(), await state(await fs.ino("g"))]).toEqual(["published", "pending"]);
  });

  test("can be set, listed, removed and published, even long ones", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f");
    const set = (name: string, value: Uint8Array, flags = 0) =>
      refusal(fs.run((vfs) => vfs.setXattr(ino, name, value, flags)));
    const get = (name: string) => fs.run((vfs) => vfs.getXattr(ino, name));
    expect(await set("user.a", Buffer.from("1"), 2)).toBe(ERRNO.ENODATA);
    expect(await set("user.a", Buffer.from("1"), 1)).toBeUndefined();
    expect(await set("user.a", Buffer.from("2"), 1)).toBe(ERRNO.EEXIST);
    expect(await set("user.long", new Uint8Array(5_000).fill(7))).toBeUndefined();
    await fs.publish();
    fs.restart();
    expect(await fs.run((vfs) => vfs.listXattrs(ino))).toEqual(["user.a", "user.long"]);
    expect(Buffer.from((await get("user.long")) ?? []).equals(Buffer.alloc(5_000, 7))).toBe(true);
    await fs.run((vfs) => vfs.removeXattr(ino, "user.long"));
    expect(await refusal(fs.run((vfs) => vfs.removeXattr(ino, "user.long")))).toBe(ERRNO.ENODATA);
    expect(await get("user.long")).toBeUndefined();
    await fs.publish();
    expect(Buffer.from((await get("user.a")) ?? []).toString()).toBe("1");
  });

  test("are refused when too long", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f");
    const set = (name: string, length: number) =>
      refusal(fs.run((vfs) => vfs.setXattr(ino, name, new Uint8Array(length), 0)));
    expect(await set("user.a", 65_537)).toBe(ERRNO.E2BIG);
    expect(await set("user.a", 65_536)).toBe(ERRNO.ENOSPC);
    expect(await set("user.a", 60_000)).toBeUndefined();
    expect(await set("user.b", 6_000)).toBe(ERRNO.ENOSPC);
    expect(await set(`user.${"x".repeat(251)}`, 1)).toBe(ERRNO.ERANGE);
  });
});
