/** Two doors on one filesystem: what each is told, and who keeps what has no name. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Ino } from "../../../src/base/ids.ts";
import { ROOT_INO } from "../../../src/base/ids.ts";
import { nameFromText } from "../../../src/base/names.ts";
import { CALLER } from "../../../src/simulate/vfs-driver.ts";
import { DoorViews } from "../../../src/vfs/door-views.ts";
import type { FileSystem, Invalidations } from "../../../src/vfs/filesystem.ts";
import { overriding } from "../../../src/vfs/overriding.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const FILE = 0o100644;

let harness: VfsHarness;
let views: DoorViews;
/** What the kernel behind the mount was told. */
let told: Invalidations[];
let mount: FileSystem;
let web: FileSystem;

beforeEach(async () => {
  harness = await VfsHarness.create();
  // The empty bucket's blocks are in memory: calls go through as they are.
  await harness.find("nothing");
  views = new DoorViews(harness.vfs);
  told = [];
  mount = views.open((changes) => told.push(changes)).fs;
  web = views.open().fs;
});

const name = nameFromText;
const make = (fs: FileSystem, text: string) => fs.makeNode(ROOT_INO, name(text), FILE, 0, CALLER).ino;
const entry = (text: string, removed?: Ino) => {
  const place = { parent: ROOT_INO, name: name(text) };
  return removed === undefined ? place : { ...place, removed };
};

describe("a change through one door", () => {
  test("is reported to the door that keeps copies once it is committed, all at once", () => {
    const ino = make(web, "f");
    web.write(ino, 0, Buffer.from("hello"));
    web.write(ino, 5, Buffer.from(" there"));
    expect(told).toEqual([]);
    web.persist();
    expect(told).toEqual([{ entries: [entry("f")], inodes: [ino], all: false }]);
    web.persist();
    expect(told).toHaveLength(1);
  });

  test("names the inodes that lost their last name to a removal or a rename", () => {
    const [gone, replaced, moved] = [make(web, "gone"), make(web, "replaced"), make(web, "moved")];
    web.persist();
    told.length = 0;
    web.unlink(ROOT_INO, name("gone"));
    web.rename(ROOT_INO, name("moved"), ROOT_INO, name("replaced"), 0);
    web.persist();
    expect(told[0]?.entries).toEqual([entry("gone", gone), entry("replaced", replaced), entry("moved")]);
    expect(new Set(told[0]?.inodes)).toEqual(new Set([gone, replaced, moved]));
  });

  test("is not reported to its own door, nor to one that keeps no copies", () => {
    make(mount, "f");
    mount.persist();
    expect(told).toEqual([]);
  });

  test("that is refused is not reported", () => {
    make(mount, "f");
    expect(() => make(web, "f")).toThrow(/EEXIST/);
    expect(() => web.removeDirectory(ROOT_INO, name("f"))).toThrow(/ENOTDIR/);
    web.persist();
    expect(told).toEqual([]);
  });

  test("is reported again to the door that then renames the file", () => {
    make(web, "f");
    web.persist();
    told.length = 0;
    mount.rename(ROOT_INO, name("f"), ROOT_INO, name("g"), 0);
    expect(told).toEqual([{ entries: [entry("f"), entry("g")], inodes: [], all: false }]);
    told.length = 0;
    make(mount, "own");
    mount.rename(ROOT_INO, name("own"), ROOT_INO, name("other"), 0);
    expect(told).toEqual([]);
  });

  test("is visible through both at once, even if blocks must be fetched", async () => {
    await harness.makeDirectory("d");
    const ino = await harness.make("d/f", "x".repeat(2_000));
    await harness.publish();
    const target = new Uint8Array(1);
    await harness.run(() => web.write(ino, 0, Buffer.from("y")));
    expect(mount.read(ino, 0, 1, target)).toBe(1);
    expect(Buffer.from(target).toString()).toBe("y");
  });
});

describe("an inode that lost its last name", () => {
  const held = { mount: new Set<Ino>(), web: new Set<Ino>() };

  beforeEach(() => {
    held.mount.clear();
    held.web.clear();
    mount.watchOrphans((ino) => held.mount.add(ino));
    web.watchOrphans((ino) => held.web.add(ino));
  });

  const isThere = (ino: Ino) => {
    try {
      return harness.vfs.getAttributes(ino).nlink === 0;
    } catch {
      return false;
    }
  };

  test("is reported to both doors, and goes when the last of them releases it", () => {
    const ino = make(web, "f");
    web.unlink(ROOT_INO, name("f"));
    expect([...held.mount, ...held.web]).toEqual([ino, ino]);
    web.forget(ino);
    expect(isThere(ino)).toBe(true);
    mount.forget(ino);
    expect(isThere(ino)).toBe(false);
  });

  test("stays for one door even if the other releases it twice", () => {
    const ino = mount.makeUnnamed(ROOT_INO, FILE, CALLER).ino;
    web.forget(ino);
    web.forget(ino);
    expect(isThere(ino)).toBe(true);
  });

  test("is held by both again if it had a name in between", () => {
    const ino = web.makeUnnamed(ROOT_INO, FILE, CALLER).ino;
    mount.forget(ino);
    web.link(ino, ROOT_INO, name("f"));
    web.forget(ino);
    web.unlink(ROOT_INO, name("f"));
    web.forget(ino);
    expect(isThere(ino)).toBe(true);
    mount.forget(ino);
    expect(isThere(ino)).toBe(false);
  });

  test("goes when the last door that holds it closes", () => {
    const third = views.open();
    third.fs.watchOrphans(() => {});
    const ino = make(web, "f");
    mount.unlink(ROOT_INO, name("f"));
    web.forget(ino);
    mount.forget(ino);
    expect(isThere(ino)).toBe(true);
    third[Symbol.dispose]();
    expect(isThere(ino)).toBe(false);
  });

  test("before its agent was killed is held by every door that opens later", async () => {
    const ino = make(web, "f");
    web.unlink(ROOT_INO, name("f"));
    web.persist();
    harness.restart();
    await harness.find("nothing");
    views = new DoorViews(harness.vfs);
    const [first, second] = [views.open().fs, views.open().fs];
    const seen: Ino[] = [];
    first.watchOrphans((orphan) => seen.push(orphan));
    second.watchOrphans((orphan) => seen.push(orphan));
    expect(seen).toEqual([ino, ino]);
    first.forget(ino);
    expect(isThere(ino)).toBe(true);
    second.forget(ino);
    expect(isThere(ino)).toBe(false);
  });
});

describe("a file whose version doors hold", () => {
  const released: Ino[] = [];
  let fs: FileSystem;

  beforeEach(() => {
    released.length = 0;
    fs = overriding(harness.vfs, {
      holdVersion: () => true,
      releaseVersion: (ino) => void released.push(ino),
      watchReaders: (_readers, earlier) => void released.push(...(earlier?.held ?? [])),
    });
    views = new DoorViews(fs);
    mount = views.open(() => {}).fs;
    web = views.open().fs;
  });

  test("is released with the last of them", () => {
    const ino = make(web, "f");
    mount.holdVersion(ino);
    web.holdVersion(ino);
    mount.releaseVersion(ino);
    expect(released).toEqual([]);
    web.releaseVersion(ino);
    expect(released).toEqual([ino]);
  });

  test("stays held if another door takes over what programs had open before", () => {
    const [open, locked] = [make(web, "open"), make(web, "locked")];
    web.holdVersion(locked);
    const readers = { has: () => false, all: () => [] };
    mount.watchReaders(readers, { held: [open], isComplete: true });
    expect(released.splice(0).sort()).toEqual([open, locked].sort());
    web.holdVersion(open);
    web.releaseVersion(open);
    expect(released).toEqual([]);
  });
});
