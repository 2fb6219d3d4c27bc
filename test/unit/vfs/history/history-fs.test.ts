/** A `.history` in every directory: what it lists and finds, what it refuses, and what it tells the kernel. */
import { describe, expect, test, vi } from "vitest";
import { ERRNO } from "../../../../src/base/errno.ts";
import type { FileName, Ino } from "../../../../src/base/ids.ts";
import { ROOT_INO } from "../../../../src/base/ids.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import { CALLER } from "../../../../src/simulate/vfs-driver.ts";
import { RENAME_WHITEOUT } from "../../../../src/vfs/filesystem.ts";
import { PastNumbers } from "../../../../src/vfs/history/numbers.ts";
import { HistoryHarness } from "../../../support/history-harness.ts";

const HISTORY = ".history" as FileName;

async function errnoOf(work: Promise<unknown>): Promise<number | undefined> {
  return work.then(
    () => undefined,
    (error: { errno: number }) => error.errno,
  );
}

/** d/notes.txt in two versions, then without d/gone. */
async function edited() {
  const fs = await HistoryHarness.create();
  const first = await fs.publish(async (writer) => {
    await writer.makeDirectory("d");
    await writer.make("d/notes.txt", "one");
    await writer.make("d/gone", "found again");
    await writer.makeDirectory("d/sub");
    await writer.make("d/sub/deep", "deep");
  });
  const second = await fs.publish(async (writer) => writer.write(await writer.ino("d/notes.txt"), 0, "two"));
  const third = await fs.publish((writer) => writer.unlink("d/gone"));
  return { fs, first, second, third };
}

describe("a .history", () => {
  test("lists one directory for each root that changed its directory, and what was deleted", async () => {
    const { fs, first, second, third } = await edited();
    await fs.publish((writer) => writer.make("elsewhere"));
    expect(await fs.list("d/.history")).toEqual([first, second, third, `gone@${second}`]);
    expect(await fs.list("d/sub/.history")).toEqual([first]);
    expect(await fs.list("d/.history", 1)).toEqual(await fs.list("d/.history"));
  });

  test("shows each state whole, with its old contents and attributes", async () => {
    const { fs, first, second, third } = await edited();
    expect(await fs.text(`d/.history/${first}/notes.txt`)).toBe("one");
    expect(await fs.text(`d/.history/${second}/notes.txt`)).toBe("two");
    expect(await fs.list(`d/.history/${first}`, 1)).toEqual(["gone", "notes.txt", "sub"]);
    expect(await fs.list(`d/.history/${third}`)).toEqual(["notes.txt", "sub"]);
    expect(await fs.text(`d/.history/${third}/sub/deep`)).toBe("deep");
    const [then, now] = [await fs.find(`d/.history/${third}/notes.txt`), await fs.find("d/notes.txt")];
    expect({ ...then, ino: 0, atimeNs: 0n }).toEqual({ ...now, ino: 0, atimeNs: 0n });
  });

  test("finds a file by a time, and by any beginning of a time", async () => {
    const { fs, first, second } = await edited();
    expect(await fs.text(`d/.history/notes.txt@${first}`)).toBe("one");
    expect(await fs.text(`d/.history/notes.txt@${first.slice(0, 19)}`)).toBe("one");
    expect(await fs.text(`d/.history/notes.txt@${second.slice(0, 16)}`)).toBe("two");
    expect(await fs.text(`d/.history/${first.slice(0, 19)}/notes.txt`)).toBe("one");
    expect(await fs.text("d/.history/2030/notes.txt")).toBe("two");
    expect(await fs.text(`d/.history/gone@${second}`)).toBe("found again");
  });

  test("has nothing at times before the directory existed, under other names, or beneath itself", async () => {
    const { fs, first } = await edited();
    for (const name of [
      "1999",
      "2022-01-01",
      "notes.txt@1999",
      "other@2030",
      "gone@2030",
      "notes.txt",
      "x@y",
      first + "Z",
    ])
      expect([name, await fs.find(`d/.history/${name}`)]).toEqual([name, undefined]);
    expect(await fs.find(`d/.history/${first}/.history`)).toBeUndefined();
    expect(await errnoOf(fs.find("d/notes.txt/.history"))).toBe(ERRNO.ENOTDIR);
  });

  test("is in no listing, and cannot be written", async () => {
    const { fs } = await edited();
    expect(await fs.list("")).toEqual(["d"]);
    expect(await fs.list("d")).toEqual(["notes.txt", "sub"]);
    expect((await fs.find("d/.history"))?.mode).toBe(0o040555);
  });

  test("follows a renamed directory, and lists its old name as deleted where it was", async () => {
    const { fs, first } = await edited();
    const before = (await fs.list("d/.history"))[2] ?? "";
    const moved = await fs.publish((writer) => writer.rename("d", "e"));
    expect(await fs.list("e/.history")).toContain(first);
    expect(await fs.text(`e/.history/${first}/notes.txt`)).toBe("one");
    expect(await fs.list(".history")).toContain(`d@${before}`);
    expect(await fs.text(`.history/d@${before}/sub/deep`)).toBe("deep");
    expect(await fs.list(`.history/${moved}`)).toEqual(["e"]);
  });

  test("does not list a deleted name that is there again", async () => {
    const { fs, second } = await edited();
    await fs.publish((writer) => writer.make("d/gone", "new"));
    expect(await fs.list("d/.history")).not.toContain(`gone@${second}`);
    expect(await fs.text(`d/.history/gone@${second}`)).toBe("found again");
  });

  test("of a directory that is not published yet is empty", async () => {
    const { fs } = await edited();
    await fs.makeDirectory("new");
    expect(await fs.list("new/.history")).toEqual([]);
    expect(await fs.find("new/.history/2030")).toBeUndefined();
  });

  test("finds each listed state by its name even if clocks disagree", async () => {
    const { fs } = await edited();
    const late = await fs.publish(
      async (writer) => writer.write(await writer.ino("d/notes.txt"), 0, "late"),
      2n ** 61n,
    );
    await fs.publish(async (writer) => writer.write(await writer.ino("d/notes.txt"), 0, "next"));
    expect(await fs.text(`d/.history/${late}/notes.txt`)).toBe("late");
  });

  test("reads hard links, symlinks and attributes of the past", async () => {
    const fs = await HistoryHarness.create();
    const time = await fs.publish(async (writer) => {
      const ino = await writer.make("f", "text");
      await writer.run((vfs) => vfs.link(ino, ROOT_INO, "g" as FileName));
      await writer.run((vfs) => vfs.setXattr(ino, "user.a", Buffer.from("b"), 0));
      await writer.run((vfs) => vfs.makeSymlink(ROOT_INO, "l" as FileName, "f", CALLER));
    });
    await fs.publish((writer) => writer.unlink("f"));
    const [f, g] = [await fs.find(`.history/${time}/f`), await fs.find(`.history/${time}/g`)];
    expect(f).toEqual(g);
    expect(f?.nlink).toBe(2);
    const ino = f?.ino as Ino;
    expect(await fs.run((vfs) => vfs.listXattrs(ino))).toEqual(["user.a"]);
    expect(Buffer.from((await fs.run((vfs) => vfs.getXattr(ino, "user.a"))) ?? []).toString()).toBe("b");
    expect(await fs.run((vfs) => vfs.getXattr(ino, "security.capability"))).toBeUndefined();
    const link = await fs.ino(`.history/${time}/l`);
    expect(await fs.run((vfs) => vfs.readSymlink(link))).toBe("f");
    expect(await fs.run((vfs) => vfs.seek(ino, 0, "hole"))).toBe(4);
    expect(await errnoOf(fs.run((vfs) => vfs.seek(ino, 4, "data")))).toBe(ERRNO.ENXIO);
  });
});

describe("changes", () => {
  test("in the past are refused with EROFS", async () => {
    const { fs, first } = await edited();
    const list = await fs.ino("d/.history");
    const old = await fs.ino(`d/.history/${first}`);
    const file = await fs.ino(`d/.history/${first}/notes.txt`);
    const name = "notes.txt" as FileName;
    for (const parent of [list, old]) {
      const calls = [
        () => fs.vfs.makeNode(parent, "n" as FileName, 0o100644, 0, CALLER),
        () => fs.vfs.makeDirectory(parent, "n" as FileName, 0o755, CALLER),
        () => fs.vfs.makeSymlink(parent, "n" as FileName, "t", CALLER),
        () => fs.vfs.makeUnnamed(parent, 0o644, CALLER),
        () => fs.vfs.unlink(parent, name),
        () => fs.vfs.removeDirectory(parent, "sub" as FileName),
        () => fs.vfs.rename(parent, name, ROOT_INO, name, 0),
        () => fs.vfs.setAttributes(parent, { mode: 0o700 }),
        () => fs.vfs.setXattr(parent, "user.a", Buffer.from("b"), 0),
        () => fs.vfs.removeXattr(parent, "user.a"),
      ];
      for (const call of calls) expect(call).toThrow(expect.objectContaining({ errno: ERRNO.EROFS }));
    }
    const d = await fs.ino("d");
    const live = await fs.ino("d/notes.txt");
    const calls = [
      () => fs.vfs.write(file, 0, Buffer.from("x")),
      () => fs.vfs.allocate(file, 0, 0, 1),
      () => fs.vfs.checkWritable(file),
      () => fs.vfs.copyRange(live, 0, file, 0, 1),
      () => fs.vfs.link(live, old, "n" as FileName),
      () => fs.vfs.rename(d, name, old, name, 0),
      () => fs.vfs.rename(d, HISTORY, d, name, 0),
      () => fs.vfs.removeDirectory(d, HISTORY),
    ];
    for (const call of calls) expect(call).toThrow(expect.objectContaining({ errno: ERRNO.EROFS }));
    expect(await fs.text("d/notes.txt")).toBe("two");
  });

  test("between past and present must be copies: links and shared ranges are refused with EXDEV", async () => {
    const { fs, first } = await edited();
    const file = await fs.ino(`d/.history/${first}/notes.txt`);
    const live = await fs.ino("d/notes.txt");
    expect(await errnoOf(fs.run((vfs) => vfs.link(file, ROOT_INO, "n" as FileName)))).toBe(ERRNO.EXDEV);
    expect(await errnoOf(fs.run((vfs) => vfs.copyRange(file, 0, live, 0, 3)))).toBe(ERRNO.EXDEV);
    await fs.vfs.fsync(file);
    expect(fs.vfs.fsyncNow(file)).toBe(true);
    expect(fs.vfs.throttle(file)).toBeUndefined();
  });

  test("cannot create a .history; a real one takes precedence and is served as usual", async () => {
    const { fs } = await edited();
    const d = await fs.ino("d");
    for (const call of [
      () => fs.vfs.makeDirectory(d, HISTORY, 0o755, CALLER),
      () => fs.vfs.makeNode(d, HISTORY, 0o100644, 0, CALLER),
      () => fs.vfs.makeSymlink(d, HISTORY, "t", CALLER),
    ])
      expect(call).toThrow(expect.objectContaining({ errno: ERRNO.EEXIST }));
    expect(await errnoOf(fs.rename("d/sub", "d/.history"))).toBe(ERRNO.EEXIST);
    await fs.publish(async (writer) => {
      await writer.makeDirectory("d/.history");
      await writer.make("d/.history/own", "mine");
    });
    expect(await fs.list("d")).toEqual([".history", "notes.txt", "sub"]);
    expect(await fs.list("d/.history")).toEqual(["own"]);
    expect(await fs.text("d/.history/own")).toBe("mine");
    await fs.write(await fs.ino("d/.history/own"), 0, "more");
    await fs.unlink("d/.history/own");
    const parent = await fs.ino("d");
    await fs.run((vfs) => vfs.removeDirectory(parent, HISTORY));
    expect((await fs.find("d/.history"))?.mode).toBe(0o040555);
  });
});

describe("the kernel", () => {
  test("is told which listings and beginnings of times a new root may change, and nothing else", async () => {
    const { fs, first } = await edited();
    const [d, elsewhere] = [await fs.ino("d/.history"), await fs.ino("d/sub/.history")];
    await fs.list("d/.history");
    await fs.find(`d/.history/${first}`);
    await fs.find("d/sub/.history/2030");
    await fs.find("d/sub/.history/no-time");
    fs.invalidations.length = 0;
    await fs.publish((writer) => writer.make("d/more"));
    expect(fs.invalidations).toEqual([
      { entries: [{ parent: elsewhere, name: "2030" }], inodes: [d, elsewhere], all: false },
    ]);
    fs.invalidations.length = 0;
    await fs.publish((writer) => writer.make("d/even more"));
    expect(fs.invalidations).toEqual([{ entries: [], inodes: [], all: false }]);
  });

  test("sees a new change time of a .history once its list may have changed", async () => {
    const { fs } = await edited();
    const before = (await fs.find("d/.history"))?.mtimeNs;
    expect((await fs.find("d/.history"))?.mtimeNs).toBe(before);
    await fs.publish((writer) => writer.make("d/more"));
    expect((await fs.find("d/.history"))?.mtimeNs).not.toBe(before);
  });

  test("can keep using the numbers that an earlier agent told it", async () => {
    using numbers = new PastNumbers("", false);
    const fs = await HistoryHarness.create(numbers);
    const time = await fs.publish((writer) => writer.make("f", "old"));
    const file = await fs.ino(`.history/${time}/f`);
    const state = numbers.stateBy(numbers.stateOf(file));
    const next = await HistoryHarness.create(numbers);
    const again = await next.publish((writer) => writer.make("f", "old"));
    expect([again, numbers.stateBy(numbers.stateOf(file))]).toEqual([time, state]);
    expect((await next.read(file)).toString()).toBe("old");
  });

  test("gets ESTALE for numbers that no agent told it", async () => {
    const { fs, first } = await edited();
    const known = await fs.ino(`d/.history/${first}/notes.txt`);
    expect(await errnoOf(fs.run((vfs) => vfs.getAttributes((known + 1000) as Ino)))).toBe(ERRNO.ESTALE);
    expect(await errnoOf(fs.run((vfs) => vfs.getAttributes((known + 2 ** 40) as Ino)))).toBe(ERRNO.ESTALE);
  });
});

describe("a search", () => {
  test("reads each root once for all directories, and none for a live name", async () => {
    const { fs } = await edited();
    await fs.find("d/notes.txt");
    await fs.list("d");
    expect(fs.commitsRead).toEqual([]);
    await fs.list("d/.history");
    const read = fs.commitsRead.length;
    await fs.list("d/sub/.history");
    await fs.list(".history");
    expect(fs.commitsRead).toHaveLength(read);
  });

  test("that takes long shows the newest states, and tells the kernel when it has found the others", async () => {
    const { fs } = await edited();
    for (let count = 0; count < 150; count++)
      await fs.publish(async (writer) => writer.write(await writer.ino("d/notes.txt"), 0, String(count)));
    const list = await fs.ino("d/.history");
    const [slow, waits] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    // The lists of retained commits are gone here, so that all commits are read before the search begins.
    const commits = 154;
    fs.reading = async () => {
      if (fs.commitsRead.length < commits + 100) return;
      waits.resolve();
      await slow.promise;
    };
    const listing = fs.list("d/.history");
    await waits.promise;
    await fs.clock.advance(1_000);
    const some = await listing;
    fs.invalidations.length = 0;
    const told = Promise.withResolvers<void>();
    fs.vfs.onInvalidate((changes) => {
      fs.invalidations.push(changes);
      told.resolve();
    });
    slow.resolve();
    await told.promise;
    expect(fs.invalidations).toEqual([{ entries: [], inodes: [list], all: false }]);
    const all = await fs.list("d/.history");
    expect(all).toHaveLength(commits);
    expect(all.slice(-33, -1)).toEqual(some);
  });

  test("fails in a bucket that does not answer, instead of showing an empty list", async () => {
    const { fs } = await edited();
    const [slow, waits] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    fs.reading = async () => {
      waits.resolve();
      await slow.promise;
      throw new SynclineError("store_unreachable", "away");
    };
    const listing = fs.list("d/.history");
    await waits.promise;
    await fs.clock.advance(5_000);
    slow.resolve();
    await expect(listing).rejects.toThrow(expect.objectContaining({ code: "store_unreachable" }));
    fs.reading = async () => {};
    expect(await fs.list("d/.history")).toHaveLength(4);
  });

  test("lists a root with very many changes in every directory, and still finds what it deleted", async () => {
    const fs = await HistoryHarness.create(new PastNumbers("", false), 3);
    const first = await fs.publish(async (writer) => {
      await writer.makeDirectory("d");
      await writer.make("d/kept", "kept");
      await writer.make("d/gone", "gone");
    });
    const second = await fs.publish(async (writer) => {
      await writer.unlink("d/gone");
      for (const name of ["1", "2", "3"]) await writer.make(name);
    });
    expect(await fs.list("d/.history")).toEqual([first, second, `gone@${first}`]);
  });

  test("passes on the owner of a rename's whiteout, and the size of a write", async () => {
    const fs = await HistoryHarness.create();
    const [renamed, held] = [vi.spyOn(fs.live, "rename"), vi.spyOn(fs.live, "throttle")];
    await fs.make("a");
    const [ino, caller] = [await fs.ino("a"), { uid: 7, gid: 8 }];
    const [a, b] = ["a" as FileName, "b" as FileName];
    fs.vfs.rename(ROOT_INO, a, ROOT_INO, b, RENAME_WHITEOUT, caller);
    void fs.vfs.throttle(ino, 4_096);
    expect(renamed).toHaveBeenLastCalledWith(ROOT_INO, a, ROOT_INO, b, RENAME_WHITEOUT, caller);
    expect(held).toHaveBeenLastCalledWith(ino, 4_096);
  });

  test("does not keep changes from being written if there is no space for its own numbers", async () => {
    const numbers = new PastNumbers("", false);
    numbers.persist = () => {
      throw new Error("database or disk is full");
    };
    const fs = await HistoryHarness.create(numbers);
    const written = vi.spyOn(fs.live, "persist");
    fs.vfs.persist();
    expect(written).toHaveBeenCalledOnce();
  });

  test("leaves out roots that were thinned out", async () => {
    const { fs, second, third } = await edited();
    await fs.list("d/.history");
    // The root of the bucket's beginning, and the one with the first version.
    const gone = new Set(fs.commitsRead.slice(-2));
    fs.thin(({ cid }) => gone.has(cid));
    const later = await fs.publish((writer) => writer.make("d/later"));
    expect((await fs.list("d/.history")).slice(-3)).toEqual([third, later, `gone@${second}`]);
  });

  test("has nothing under the exact time of no root, though older roots exist", async () => {
    const { fs, second } = await edited();
    const between = new Date(Date.parse(second) + 1).toISOString();
    // Its beginning means the newest root up to its end, as ever.
    expect(await fs.text(`d/.history/notes.txt@${between.slice(0, -2)}`)).toBe("two");
    for (const name of [between, between.slice(0, -1), `notes.txt@${between}`])
      expect([name, await fs.find(`d/.history/${name}`)]).toEqual([name, undefined]);
  });

  test("for an old file whose root is gone fails like any read", async () => {
    using numbers = new PastNumbers("", false);
    const fs = await HistoryHarness.create(numbers);
    const time = await fs.publish((writer) => writer.make("f", "old"));
    const file = await fs.ino(`.history/${time}/f`);
    const next = await HistoryHarness.create(numbers);
    await expect(next.read(file)).rejects.toThrow(expect.objectContaining({ code: "block_not_found" }));
  });
});
