/** What every real disk of folder sync does, and what none of them lets happen. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import type { FileName } from "../../src/base/ids.ts";
import { isLocalKind, kindOfFolder } from "../../src/objects/file-system.ts";
import { BeneathDisk } from "../../src/sync/disk/beneath-disk.ts";
import { loadBeneathAddon } from "../../src/sync/disk/addon.ts";
import type { DiskPath, DiskStat, SyncDisk } from "../../src/sync/disk/disk.ts";
import { openRealDisk } from "../../src/sync/disk/real-disk.ts";
import { PortableDisk } from "../../src/sync/disk/portable-disk.ts";
import { unlocking } from "../../src/sync/disk/unlocking.ts";
import { encodeSeen, seenOf, decodeSeen } from "../../src/sync/known/seen.ts";
import { path } from "../support/sync-world.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const addon = loadBeneathAddon();
/** What was built before it could do many files at a time is used as it is. */
const isOld = addon?.createFiles === undefined;
/** Whether the tests' folder is on a filesystem that reports holes: ext4 and tmpfs do. */
const tellsHoles = addon?.dataFrom !== undefined && [0xef53, 0x01021994].includes((await kindOfFolder(tmpdir())) ?? 0);
/** Somebody who is not root. */
const NOBODY = 65_534;
const kinds: [string, (root: string) => SyncDisk][] = [["portable", (root) => new PortableDisk(root)]];
if (addon !== undefined) kinds.push(["beneath", (root) => new BeneathDisk(addon, root, { allXattrs: false })]);

describe.each(kinds)("a %s disk", (kind, open) => {
  let root: string;
  let outside: string;
  let disk: SyncDisk;

  beforeEach(async () => {
    const folder = await temporaryFolder();
    [root, outside] = [join(folder, "root"), join(folder, "outside")];
    for (const each of [root, outside]) mkdirSync(each);
    writeFileSync(join(outside, "secret"), "secret");
    disk = open(root);
    await disk.open();
    return () => disk.close();
  });

  test("shows nothing at a name that is too long", async () => {
    const name = "n".repeat(300);
    expect(await disk.look(path(name))).toBeUndefined();
    expect(await disk.look(path(`${name}/in`))).toBeUndefined();
  });

  test.runIf(process.geteuid?.() === 0)(
    "changes directories that are read-only for their owner, and keeps their modes",
    async () => {
      const usual = unlocking(open(root));
      chmodSync(join(root, ".."), 0o755);
      chownSync(root, NOBODY, NOBODY);
      process.seteuid?.(NOBODY);
      try {
        await usual.open();
        for (const each of ["a", "a/d", "a/d/full", "b"]) await usual.makeDirectory(path(each));
        for (const each of ["a/d/full/1", "a/d/full/2", "new"]) await (await usual.create(path(each))).close();
        for (const each of ["a/d/full", "a/d", "a", "b"]) await usual.setMode(path(each), 0o555);
        await usual.rename(path("new"), path("a/d/full/new"), "free");
        await usual.unlink(path("a/d/full/1"));
        await usual.link(path("a/d/full/2"), path("b/linked"));
        await usual.makeDirectory(path("b/made"));
        await usual.makeSymlink(path("b/made-link"), "made");
        await usual.removeDirectory(path("b/made"));
        await usual.rename(path("a/d"), path("b/d"), "free");
        expect(readdirSync(join(root, "b")).sort()).toEqual(["d", "linked", "made-link"]);
        expect(readdirSync(join(root, "b/d/full")).sort()).toEqual(["2", "new"]);
        const modes = await Promise.all(["a", "b", "b/d", "b/d/full"].map((each) => usual.look(path(each))));
        expect(modes.map((stat) => stat?.mode)).toEqual([0o555, 0o555, 0o555, 0o555]);
        const before = await usual.look(path("b"));
        await expect(usual.removeDirectory(path("b/d"))).rejects.toMatchObject({ code: "ENOTEMPTY" });
        // Who is told of what happens there would try it again, and again.
        expect((await usual.look(path("b")))?.ctimeNs).toBe(before?.ctimeNs);
        await expect(usual.unlink(path("b/none"))).rejects.toMatchObject({ code: "ENOENT" });
        process.seteuid?.(0);
        chownSync(join(root, "b"), 0, 0);
        process.seteuid?.(NOBODY);
        await expect(usual.unlink(path("b/linked"))).rejects.toMatchObject({ code: "EACCES" });
      } finally {
        process.seteuid?.(0);
        usual.close();
      }
    },
  );

  test("shows a time after 2262 as the last one that the database of a synced folder holds", async () => {
    writeFileSync(join(root, "f"), "");
    utimesSync(join(root, "f"), Date.UTC(2300) / 1000, Date.UTC(2300) / 1000);
    const file = await disk.read(path("f"));
    const stats = [await disk.look(path("f")), await file.stat(), ...(await disk.list([])).map(({ stat }) => stat)];
    await file.close();
    expect(stats.map((stat) => decodeSeen(encodeSeen(seenOf(stat as DiskStat, "", 0n))).mtimeNs)).toEqual(
      stats.map((stat) => stat?.mtimeNs),
    );
    expect(stats).toHaveLength(3);
  });

  test("writes, stats, lists and reads files", async () => {
    await disk.makeDirectory(path("d"));
    const file = await disk.create(path("d/f"));
    await file.write(0, Buffer.from("hello"));
    await file.truncate(4);
    await file.sync();
    await file.close();
    await disk.setMode(path("d/f"), 0o640);
    await disk.setModified(path("d/f"), 1_234_567_891_000_000_000n);
    await disk.makeSymlink(path("d/link"), "f");
    await disk.syncDirectory(path("d"));
    const stat = await disk.look(path("d/f"));
    expect([stat?.type, stat?.mode, stat?.size, stat?.mtimeNs, stat?.links]).toEqual([
      "file",
      0o640,
      4,
      1_234_567_891_000_000_000n,
      1,
    ]);
    const listed = await disk.list(path("d"));
    expect(listed.map(({ name, stat: { type } }) => [name, type]).sort()).toEqual([
      ["f", "file"],
      ["link", "symlink"],
    ]);
    expect(await disk.readLink(path("d/link"))).toBe("f");
    const read = await disk.read(path("d/f"));
    expect(Buffer.from(await read.read(1, 100)).toString()).toBe("ell");
    expect((await read.stat()).ino).toBe(stat?.ino);
    await read.close();
    expect(await disk.look(path("d/nothing"))).toBeUndefined();
    expect(await disk.look(path("d/f/below"))).toBeUndefined();
  });

  test.runIf(tellsHoles)("tells which zeros lie in a hole, and not that data does", async () => {
    const size = 2 ** 40;
    const at = 2 ** 39 + 5;
    const made = await disk.create(path("sparse"));
    await made.write(at, Buffer.from("x"));
    await made.truncate(size);
    await made.close();
    const file = await disk.read(path("sparse"));
    const [first = 0, byte, last] = [0, at, at + 2 ** 30].map((offset) => file.zerosAt?.(offset));
    const beyond = file.zerosAt?.(size + 1);
    await file.close();
    expect([byte, last, beyond]).toEqual([0, size - at - 2 ** 30, 0]);
    // The block with the byte may begin before it.
    expect(first).toBeGreaterThan(at - 2 ** 21);
    expect(first).toBeLessThanOrEqual(at);
  });

  test("a rename to a free name never replaces, and a hard link shares the inode", async () => {
    for (const each of ["a", "b"]) await (await disk.create(path(each))).close();
    await expect(disk.rename(path("a"), path("b"), "free")).rejects.toMatchObject({ code: "EEXIST" });
    await disk.rename(path("a"), path("c"), "free");
    await disk.link(path("c"), path("d"));
    expect((await disk.look(path("d")))?.ino).toBe((await disk.look(path("c")))?.ino);
    await disk.rename(path("b"), path("c"), "replace");
    await disk.makeDirectory(path("dir"));
    await expect(disk.rename(path("dir"), path("c"), "free")).rejects.toMatchObject({ code: "EEXIST" });
    await disk.unlink(path("d"));
    await disk.removeDirectory(path("dir"));
    expect(readdirSync(root)).toEqual(["c"]);
  });

  test("a name may be any bytes", async () => {
    const name = ["\xff \x01 \xc3\xa4"] as unknown as DiskPath;
    await (await disk.create(name)).close();
    expect((await disk.list([])).map((entry) => entry.name)).toEqual(name);
  });

  test("a symlink in place of a directory is never followed, whatever the operation", async () => {
    symlinkSync(outside, join(root, "out"));
    symlinkSync("../outside", join(root, "up"));
    symlinkSync(join(outside, "secret"), join(root, "file"));
    await (await disk.create(path("mine"))).close();
    for (const way of ["out", "up"]) {
      const secret = path(`${way}/secret`);
      expect(await disk.look(secret)).toBeUndefined();
      const refused: Promise<unknown>[] = [
        disk.list(path(way)),
        disk.read(secret),
        disk.create(path(`${way}/new`)),
        disk.makeDirectory(path(`${way}/new`)),
        disk.makeSymlink(path(`${way}/new`), "x"),
        disk.link(secret, path("linked")),
        disk.link(path("mine"), path(`${way}/new`)),
        disk.rename(secret, path("stolen"), "replace"),
        disk.rename(path("mine"), secret, "replace"),
        disk.unlink(secret),
        disk.removeDirectory(path(`${way}/new`)),
        disk.setMode(secret, 0o777),
        disk.setOwner(secret, 1, 1),
        disk.setModified(secret, 0n),
        disk.syncDirectory(path(way)),
      ];
      const ends = await Promise.allSettled(refused);
      expect(ends.map(({ status }) => status)).toEqual(refused.map(() => "rejected"));
    }
    await expect(disk.read(path("file"))).rejects.toMatchObject({ code: "ELOOP" });
    await expect(disk.setMode(path("file"), 0o777)).rejects.toMatchObject({ code: "ELOOP" });
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
    expect(existsSync(join(root, "mine"))).toBe(true);
  });

  test.skipIf(kind === "portable" || isOld)(
    "a batch creates and reads many small files as single calls do",
    async () => {
      await disk.makeDirectory(path("d"));
      const files = Array.from({ length: 40 }, (_, index) => ({
        name: path(`file ${index} \xff`)[0] as FileName,
        bytes: Buffer.alloc(index * 100, index),
        mode: 0o600 + index,
        owner: undefined,
        mtimeNs: -1_000_000_001n * BigInt(index),
      }));
      // Few are made durable one by one, many by one sync.
      const made = [
        ...(await createAll(path("d"), files.slice(0, 3))),
        ...(await createAll(path("d"), files.slice(3))),
      ];
      expect(made.map(({ type, mode, size, mtimeNs }) => [type, mode, size, mtimeNs])).toEqual(
        files.map(({ bytes, mode, mtimeNs }) => ["file", mode, bytes.length, mtimeNs]),
      );
      const wanted = files.map(({ name, bytes }) => ({ path: [...path("d"), name], size: bytes.length }));
      const read = await readAll(wanted);
      for (const [index, { path: at }] of wanted.entries()) {
        expect(read[index]?.stat).toEqual(await disk.look(at));
        expect(Buffer.from(read[index]?.bytes ?? "")).toEqual(files[index]?.bytes);
      }
      await expect(createAll(path("d"), files.slice(5, 6))).rejects.toMatchObject({ code: "EEXIST" });
    },
  );

  test.skipIf(kind === "portable" || isOld)(
    "a batch read returns only files of the expected size inside the folder",
    async () => {
      for (const each of ["f", "g"]) writeFileSync(join(root, each), "four");
      mkdirSync(join(root, "d"));
      symlinkSync("f", join(root, "link"));
      symlinkSync(outside, join(root, "out"));
      const wanted = ["f", "nothing", "d", "link", "out/secret", "g"].map((each) => ({ path: path(each), size: 4 }));
      const read = await readAll([...wanted, { path: path("f"), size: 5 }]);
      expect(read.map((file) => file && Buffer.from(file.bytes).toString())).toEqual([
        "four",
        undefined,
        undefined,
        undefined,
        undefined,
        "four",
        undefined,
      ]);
      const file = {
        name: path("new")[0] as FileName,
        bytes: Buffer.from("x"),
        mode: 0o600,
        owner: undefined,
        mtimeNs: 0n,
      };
      await expect(createAll(path("out"), [file])).rejects.toMatchObject({ code: "ELOOP" });
      expect(readdirSync(outside)).toEqual(["secret"]);
    },
  );

  test.skipIf(kind === "portable" || addon?.placeFiles === undefined)(
    "a batch moves files to free names up to the first that fails, and never through a symlink",
    async () => {
      mkdirSync(join(root, "new"));
      mkdirSync(join(root, "d"));
      writeFileSync(join(root, "d", "taken"), "somebody's");
      symlinkSync(outside, join(root, "out"));
      for (const each of ["0", "1 \xe4", "2", "3"]) writeFileSync(join(root, "new", each), each);
      symlinkSync("anywhere", join(root, "new", "4"));
      const place = (...moves: [string, string][]) => {
        return placeAll(
          path("new"),
          moves.map(([name, to]) => ({ name: name as FileName, to: path(to) })),
        );
      };
      const there = (await disk.list(path("new"))).map(({ name }) => name).sort();
      const looks = await place(
        [there[0] ?? "", "d/a"],
        [there[1] ?? "", "b"],
        ["4", "d/link"],
        ["2", "d/taken"],
        ["3", "c"],
      );
      expect(looks).toEqual([
        await disk.look(path("d/a")),
        await disk.look(path("b")),
        await disk.look(path("d/link")),
      ]);
      expect(looks[2]?.type).toBe("symlink");
      expect(readFileSync(join(root, "d", "taken"), "utf8")).toBe("somebody's");
      for (const way of ["out/x", "nowhere/x", "d/taken/x"]) expect(await place(["2", way], ["3", "c"])).toEqual([]);
      expect(readdirSync(join(root, "new")).sort()).toEqual(["2", "3"]);
      expect(readdirSync(outside)).toEqual(["secret"]);
    },
  );

  test.skipIf(kind === "portable" || addon?.placeFiles === undefined)(
    "each file that a batch moves gets one mark in the append log, and no other file does",
    async () => {
      mkdirSync(join(root, "new"));
      writeFileSync(join(root, "taken"), "somebody's");
      for (const each of ["1", "2", "3", "4"]) writeFileSync(join(root, "new", each), each);
      writeFileSync(join(root, "new", "log"), "of another run");
      const log = openAppend(path("new/log"));
      log.append("first\n");
      const moves = ["a", "b", "taken", "c"].map((to, index) => ({ name: `${index + 1}` as FileName, to: path(to) }));
      expect(await placeAll(path("new"), moves, log)).toHaveLength(2);
      log.append("\nlast\n");
      expect(readFileSync(join(root, "new", "log"), "utf8")).toBe("first\n..\nlast\n");
      log.clear();
      log.append("anew");
      log.close();
      expect(readFileSync(join(root, "new", "log"), "utf8")).toBe("anew");
      const secret = readFileSync(join(outside, "secret"), "utf8");
      symlinkSync(join(outside, "secret"), join(root, "new", "link"));
      const instead = openAppend(path("new/link"));
      instead.append("mine");
      instead.close();
      expect(readFileSync(join(outside, "secret"), "utf8")).toBe(secret);
      symlinkSync(outside, join(root, "above"));
      expect(() => openAppend(path("above/log"))).toThrow(expect.objectContaining({ code: "ELOOP" }));
    },
  );

  test.skipIf(kind === "portable" || addon?.syncFilesystem === undefined)(
    "one call makes everything written durable, or fails with ENOTSUP",
    async () => {
      writeFileSync(join(root, "f"), "text");
      const failure = await disk.syncAll?.().catch((error: unknown) => error);
      expect([undefined, "ENOTSUP"]).toContain((failure as { code?: string } | undefined)?.code);
    },
  );

  test.skipIf(kind === "portable" || addon?.bareFiles === undefined)(
    "a path reported as bare has no attributes, and a path that cannot be inspected is not reported",
    async () => {
      for (const each of ["with", "without"]) writeFileSync(join(root, each), "");
      mkdirSync(join(root, "d"));
      symlinkSync(outside, join(root, "out"));
      await disk.setXattrs(path("with"), new Map([["user.tag", Buffer.from("1")]]));
      const asked = ["with", "without", "d", "nothing", "out/secret"].map(path);
      expect(await disk.areBare?.(asked)).toEqual([false, true, true, false, false]);
    },
  );

  const openAppend: NonNullable<SyncDisk["openAppend"]> = (at) => disk.openAppend?.(at) ?? expect.fail("It cannot.");
  const readAll: NonNullable<SyncDisk["readAll"]> = (files) => disk.readAll?.(files) ?? expect.fail("It cannot.");
  const createAll: NonNullable<SyncDisk["createAll"]> = (...call) =>
    disk.createAll?.(...call) ?? expect.fail("It cannot.");
  const placeAll: NonNullable<SyncDisk["placeAll"]> = (...call) =>
    disk.placeAll?.(...call) ?? expect.fail("It cannot.");

  test.skipIf(kind === "portable")(
    "an exchange swaps the inodes of two names, and attributes stay with the file",
    async () => {
      for (const each of ["a", "b"]) await (await disk.create(path(each))).close();
      await disk.setXattrs(path("a"), new Map([["user.tag", Buffer.from("1")]]));
      const [a, b] = [await disk.look(path("a")), await disk.look(path("b"))];
      await disk.rename(path("a"), path("b"), "exchange");
      expect([(await disk.look(path("a")))?.ino, (await disk.look(path("b")))?.ino]).toEqual([b?.ino, a?.ino]);
      expect([...(await disk.xattrs(path("b")))].map(([name, value]) => [name, Buffer.from(value).toString()])).toEqual(
        [["user.tag", "1"]],
      );
      await disk.setXattrs(path("b"), new Map());
      expect((await disk.xattrs(path("b"))).size).toBe(0);
    },
  );
});

test.skipIf(addon === undefined)(
  "a folder on a local filesystem reports the boot ID, even if it was created later",
  async () => {
    const folder = join(await temporaryFolder(), "later");
    const disk = await openRealDisk(folder, { allXattrs: false, setModified: async () => {}, unlocks: true });
    mkdirSync(folder);
    await disk.open();
    expect(disk.boot !== undefined).toBe(isLocalKind(await kindOfFolder(folder)));
    disk.close();
  },
);
