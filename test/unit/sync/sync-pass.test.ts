/** Passes of folder sync: what goes up, what comes down, and what is left alone. */
import { describe, expect, test } from "vitest";
import type { RateLimit } from "../../../src/base/rate-limit.ts";
import { PARKED_PATH } from "../../../src/sync/disk/paths.ts";
import { openWriter } from "../../../src/bucket/writer.ts";
import { newWriter } from "../../support/test-bucket.ts";
import { Crash, MemorySyncDisk } from "../../../src/simulate/folder/memory-sync-disk.ts";
import { bucketTree, pair, path, settle, type SyncedFolder, syncWorld, twoFolders } from "../../support/sync-world.ts";

describe("a pass", () => {
  test("files, directories and links of one folder arrive unchanged in another", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("d"));
    a.disk.write(path("d/one.bin"), "1");
    a.disk.write(path("two.bin"), "22");
    await a.disk.makeSymlink(path("link"), "two.bin");
    a.disk.chmod(path("two.bin"), 0o751);
    await settle(world);
    expect(b.disk.tree()).toEqual(a.disk.tree());
    expect(await bucketTree(world.bucket)).toEqual(a.disk.tree());
    for (const each of ["d", "d/one.bin", "two.bin", "link"]) {
      const [one, other] = [await a.disk.look(path(each)), await b.disk.look(path(each))];
      expect([other?.mode, other?.mtimeNs]).toEqual([one?.mode, one?.mtimeNs]);
    }
  });

  test("a renamed directory keeps its identity, so another folder's edit in it follows", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("d"));
    a.disk.write(path("d/f.bin"), "old");
    await settle(world);
    a.disk.move(path("d"), path("e"));
    b.disk.write(path("d/f.bin"), "new");
    await settle(world);
    expect([...a.disk.tree()]).toEqual([
      ["e", "dir"],
      ["e/f.bin", "new"],
    ]);
    expect(b.disk.tree()).toEqual(a.disk.tree());
  });

  test("a moved symlink with a new target of the same length arrives with the new target", async () => {
    const { world, a, b } = await twoFolders();
    await a.disk.makeSymlink(path("link"), "one");
    await settle(world);
    a.disk.move(path("link"), path("moved"));
    await a.sync();
    a.disk.remove(path("moved"));
    a.disk.tick();
    await a.disk.makeSymlink(path("moved"), "two");
    await a.sync();
    await settle(world);
    expect(Object.fromEntries(b.disk.tree())).toEqual({ moved: "-> two" });
    expect(await bucketTree(world.bucket)).toEqual(b.disk.tree());
  });

  test("a directory mounted again beside itself stays the same, and is also a second one if the disk tells of no mounts", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("d"));
    a.disk.make(path("d/in"));
    a.disk.write(path("d/in/f.bin"), "1");
    await settle(world);
    const before = await b.disk.look(path("d"));
    a.disk.mountAgain(path("d"), "again");
    await settle(world);
    expect(Object.fromEntries(b.disk.tree())).toEqual({
      again: "dir",
      "again/in": "dir",
      "again/in/f.bin": "1",
      d: "dir",
      "d/in": "dir",
      "d/in/f.bin": "1",
    });
    expect((await b.disk.look(path("d")))?.ino).toBe(before?.ino);
  });

  test("if both folders edit one file, both versions are in both folders", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("f.bin"), "base");
    await settle(world);
    a.disk.save(path("f.bin"), "by a");
    b.disk.write(path("f.bin"), "by b");
    await settle(world);
    expect([...a.disk.tree().values()].sort()).toEqual(["by a", "by b"]);
    expect(b.disk.tree()).toEqual(a.disk.tree());
  });

  test("two files that exchange names do so in the other folder too", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("x.bin"), "1");
    a.disk.write(path("y.bin"), "2");
    await settle(world);
    a.disk.move(path("x.bin"), path("y.bin"), "exchange");
    await settle(world);
    expect(Object.fromEntries(b.disk.tree())).toEqual({ "x.bin": "2", "y.bin": "1" });
  });

  test("log rotation arrives as it is: a file moved over another, and a new one under its old name", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("log"), "1");
    a.disk.write(path("log.1"), "0");
    await settle(world);
    a.disk.tick(3_000_000_000n);
    a.disk.move(path("log"), path("log.1"));
    a.disk.write(path("log"), "2");
    await a.sync();
    const { applied } = await b.sync();
    expect([Object.fromEntries(b.disk.tree()), applied.left]).toEqual([{ log: "2", "log.1": "1" }, []]);
  });

  test("a write at the moment of replacement survives as a conflict copy", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("f.bin"), "base");
    await settle(world);
    a.disk.write(path("f.bin"), "from a");
    await a.sync();
    let done = false;
    b.disk.before = () => {
      if (done) return;
      done = true;
      b.disk.tick();
      b.disk.write(path("f.bin"), "meanwhile");
    };
    await b.sync();
    b.disk.before = () => {};
    await settle(world);
    expect([...b.disk.tree().values()].sort()).toEqual(["from a", "meanwhile"]);
  });

  test.each([
    ["moves", (disk: MemorySyncDisk) => disk.move(path("f.bin"), path("g.bin"))],
    ["gets a new mtime", (disk: MemorySyncDisk) => disk.touch(path("f.bin"))],
  ])("a write to a file while it %s is noticed, even if the size stays the same", async (_what, change) => {
    for (let moment = 0; moment < 6; moment++) {
      const { world, a, b } = await twoFolders();
      a.disk.write(path("f.bin"), "1");
      await settle(world);
      a.disk.tick(3_000_000_000n);
      change(a.disk);
      await a.sync();
      b.disk.tick(3_000_000_000n);
      let changes = 0;
      b.disk.before = () => {
        if (!b.hasScanned || changes++ !== moment) return;
        b.disk.tick();
        for (const name of b.disk.tree().keys()) b.disk.write(path(name), "2");
      };
      await b.sync();
      b.disk.before = () => {};
      await settle(world);
      expect([...a.disk.tree().values()]).toEqual([changes > moment ? "2" : "1"]);
    }
  });

  test("a moved directory and one that another folder created at its new path become one in both", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("d"));
    a.disk.write(path("d/old.bin"), "1");
    await settle(world);
    a.disk.tick(3_000_000_000n);
    a.disk.move(path("d"), path("e"));
    b.disk.make(path("e"));
    b.disk.write(path("e/new.bin"), "2");
    await settle(world);
    const whole = { e: "dir", "e/new.bin": "2", "e/old.bin": "1" };
    for (const { disk } of [a, b]) expect(Object.fromEntries([...disk.tree()].sort())).toEqual(whole);
    expect(Object.fromEntries(await bucketTree(world.bucket))).toEqual(whole);
  });

  test("changes applied before a crash are not taken for local ones: others' newer version gets no conflict copy", async () => {
    for (const budget of [7, 8, 9]) {
      const { world, a, b } = await twoFolders();
      a.disk.write(path("f.bin"), "1");
      await settle(world);
      for (const [version, sync] of [
        ["2", () => dyingAt(b, budget)],
        ["3", () => a.sync()],
      ] as const) {
        a.disk.tick(3_000_000_000n);
        a.disk.write(path("f.bin"), version);
        await a.sync();
        b.disk.tick(3_000_000_000n);
        await sync();
      }
      await settle(world);
      for (const { disk } of [a, b]) expect(Object.fromEntries(disk.tree())).toEqual({ "f.bin": "3" });
    }
  });

  test.each([
    ["replaced", (disk: MemorySyncDisk) => disk.write(path("d/f.bin"), "from a")],
    ["removed", (disk: MemorySyncDisk) => disk.remove(path("d/f.bin"))],
  ])("a save while a file is %s is not lost, wherever the process then dies", async (_what, change) => {
    for (let moment = 0, reached = true; reached; moment++) {
      for (let budget = moment + 1; budget < moment + 4; budget++) {
        const { world, a, b } = await twoFolders();
        a.disk.make(path("d"));
        a.disk.write(path("d/f.bin"), "base");
        await settle(world);
        a.disk.tick(3_000_000_000n);
        change(a.disk);
        await a.sync();
        let changes = 0;
        b.disk.before = () => {
          if (changes++ !== moment) return;
          b.disk.tick();
          b.disk.write(path("d/f.bin"), "meanwhile");
        };
        await dyingAt(b, budget);
        reached = changes > moment;
        b.disk.before = () => {};
        await settle(world);
        expect([reached, [...b.disk.tree().values()].includes("meanwhile")]).toEqual([reached, reached]);
        expect(a.disk.tree()).toEqual(b.disk.tree());
      }
    }
  });

  test("a directory that makes room for a file is replaced in the end, wherever a process dies", async () => {
    for (let budget = 8; budget < 14; budget++) {
      const { world, a, b } = await twoFolders();
      a.disk.make(path("d"));
      a.disk.write(path("d/x.bin"), "1");
      await settle(world);
      a.disk.tick(3_000_000_000n);
      a.disk.remove(path("d"));
      a.disk.write(path("d"), "2");
      await a.sync();
      await dyingAt(b, budget);
      await settle(world);
      for (const { disk } of [a, b]) expect(Object.fromEntries(disk.tree())).toEqual({ d: "2" });
      expect(b.disk.tree(PARKED_PATH).size).toBe(0);
    }
  });

  test("the rate limit counts contents in both directions, but not names", async () => {
    const { a, b } = await twoFolders();
    let bytes = 0;
    const limit = { take: async (some: number) => void (bytes += some) } as unknown as RateLimit;
    a.disk.write(path("f.bin"), "12345");
    a.disk.make(path("d"));
    await a.sync({ limit });
    expect(bytes).toBe(5);
    await b.sync({ limit });
    expect(bytes).toBe(10);
    a.disk.tick(3_000_000_000n);
    a.disk.move(path("f.bin"), path("d/f.bin"));
    for (const folder of [a, b]) await folder.sync({ limit });
    expect([bytes, b.disk.tree().get("d/f.bin")]).toEqual([10, "12345"]);
  });

  test("setuid bits sync where both sides ask for them, and folders that ignore them leave them alone in the bucket", async () => {
    const world = await syncWorld(3);
    const [a, b, plain] = world.folders as [SyncedFolder, SyncedFolder, SyncedFolder];
    const special = { attention: { modeMask: 0o7777, owners: false } };
    const modeIn = async ({ disk }: SyncedFolder) => (await disk.look(path("tool")))?.mode;
    a.disk.write(path("tool"), "1");
    a.disk.chmod(path("tool"), 0o4755);
    await a.sync(special);
    await plain.sync();
    expect(await modeIn(plain)).toBe(0o755);
    plain.disk.tick(3_000_000_000n);
    plain.disk.write(path("tool"), "2");
    plain.disk.chmod(path("tool"), 0o700);
    await plain.sync();
    await b.sync(special);
    expect([await modeIn(b), b.disk.tree().get("tool")]).toEqual([0o4700, "2"]);
  });

  test("a folder without its marker is refused, and nothing counts as deleted", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("f.bin"), "kept");
    await settle(world);
    Object.assign(b, { disk: new MemorySyncDisk() });
    await expect(b.sync()).rejects.toMatchObject({ code: "precondition_failed" });
    expect((await bucketTree(world.bucket)).get("f.bin")).toBe("kept");
  });

  test("a mass deletion waits until exactly these deletions are approved, and then other folders follow it", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("d"));
    for (let each = 0; each < 120; each++) a.disk.write(path(`d/${each}.bin`), `${each}`);
    await settle(world);
    a.disk.remove(path("d"));
    const { held, local } = await a.sync();
    expect([held?.files, held?.where, local.length]).toEqual([120, "bucket", 0]);
    expect((await bucketTree(world.bucket)).size).toBe(121);
    expect((await a.sync({ allowDeletes: "another" })).held?.digest).toBe(held?.digest);
    expect((await a.sync({ allowDeletes: held?.digest })).held).toBeUndefined();
    expect((await bucketTree(world.bucket)).size).toBe(0);
    expect((await b.sync()).held).toBeUndefined();
    expect(b.disk.tree().size).toBe(0);
  });

  test.each([
    [{ files: 5, percent: 30 }, 8],
    [{ files: 5, percent: 50 }, undefined],
    [{ files: 8, percent: 30 }, undefined],
    [{ files: 0, percent: 0 }, 8],
  ])("the bucket's policy defines what a mass deletion is: %j, for 8 of 20 files", async (guard, held) => {
    const { world, a, b } = await twoFolders();
    for (let each = 0; each < 20; each++) a.disk.write(path(`${each}.bin`), `${each}`);
    await settle(world);
    await using writer = await openWriter(await newWriter(world.bucket, 77), 1);
    expect((await writer.publish("", { policy: (policy) => ({ ...policy, guard }) })).kind).toBe("published");
    await settle(world);
    for (let each = 0; each < 8; each++) a.disk.remove(path(`${each}.bin`));
    const sent = await a.sync();
    expect(sent.held?.files).toBe(held);
    if (sent.held === undefined) return;
    await a.sync({ allowDeletes: sent.held.digest });
    expect((await b.sync()).held).toBeUndefined();
    for (let each = 0; each < 8; each++) expect(b.disk.tree().has(`${each}.bin`)).toBe(false);
  });

  test("ignored files are neither sent nor deleted nor overwritten", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path(".synclineignore"), "*.tmp\n/build/\n");
    a.disk.write(path("x.tmp"), "scratch");
    a.disk.make(path("build"));
    a.disk.write(path("build/out.bin"), "made");
    a.disk.write(path("kept.bin"), "1");
    await settle(world);
    expect([...(await bucketTree(world.bucket)).keys()].sort()).toEqual([".synclineignore", "kept.bin"]);
    b.disk.write(path("x.tmp"), "mine");
    await settle(world);
    expect([a.disk.tree().get("x.tmp"), b.disk.tree().get("x.tmp")]).toEqual(["scratch", "mine"]);
    // A rule that comes later freezes what was synced.
    a.disk.write(path(".synclineignore"), "*.tmp\n/build/\nkept.bin\n");
    await settle(world);
    a.disk.remove(path("kept.bin"));
    await settle(world);
    expect((await bucketTree(world.bucket)).get("kept.bin")).toBe("1");
  });

  test("on a case-insensitive disk the second of two names stays in the bucket and does not count as deleted", async () => {
    const { world, a, b } = await twoFolders();
    b.disk.foldsCase = true;
    a.disk.write(path("Name.bin"), "1");
    a.disk.write(path("name.bin"), "2");
    await a.sync();
    const { applied } = await b.sync();
    expect(applied.left.map(({ reason }) => reason)).toEqual(["name collides"]);
    await settle(world);
    expect(b.disk.tree().size).toBe(1);
    expect((await bucketTree(world.bucket)).size).toBe(2);
  });

  test("a rename that changes only case reaches a case-insensitive disk", async () => {
    const { world, a, b } = await twoFolders();
    b.disk.foldsCase = true;
    a.disk.write(path("name.bin"), "1");
    await settle(world);
    a.disk.move(path("name.bin"), path("NAME.bin"));
    await settle(world);
    expect([...b.disk.tree().keys()]).toEqual(["NAME.bin"]);
  });

  test("a process that dies after its swap does not take its own change for another's", async () => {
    const world = await syncWorld(2);
    const [a] = pair(world);
    a.disk.write(path("f.bin"), "1");
    await settle(world);
    a.disk.tick(3_000_000_000n);
    a.disk.write(path("f.bin"), "2");
    const dying = a.db.transaction.bind(a.db);
    a.db.transaction = () => Promise.reject(new Error("dead"));
    world.remote.beforeSwap = async () => {};
    await expect(a.sync()).rejects.toThrow("dead");
    a.db.transaction = dying;
    a.disk.tick(3_000_000_000n);
    a.disk.write(path("f.bin"), "3");
    await settle(world);
    expect(Object.fromEntries(a.disk.tree())).toEqual({ "f.bin": "3" });
  });

  test("names of one file stay hard links, even after an edit", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("x.bin"), "1");
    await a.disk.link(path("x.bin"), path("y.bin"));
    await settle(world);
    expect((await b.disk.look(path("x.bin")))?.ino).toBe((await b.disk.look(path("y.bin")))?.ino);
    a.disk.write(path("x.bin"), "2");
    await settle(world);
    expect(Object.fromEntries(b.disk.tree())).toEqual({ "x.bin": "2", "y.bin": "2" });
    expect((await b.disk.look(path("x.bin")))?.ino).toBe((await b.disk.look(path("y.bin")))?.ino);
  });

  test.each(["a.bin", "z.bin"])("a file saved over another and linked as %s is one file everywhere", async (name) => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("x.bin"), "1");
    await settle(world);
    a.disk.write(path("new.bin"), "2");
    a.disk.remove(path("x.bin"));
    a.disk.move(path("new.bin"), path("x.bin"));
    await a.disk.link(path("x.bin"), path(name));
    await settle(world);
    expect(Object.fromEntries(b.disk.tree())).toEqual({ "x.bin": "2", [name]: "2" });
    expect((await b.disk.look(path("x.bin")))?.ino).toBe((await b.disk.look(path(name)))?.ino);
  });

  test.each(["a", "b"] as const)(
    "a directory has one time everywhere after %s moved a file out of it",
    async (mover) => {
      const { world, ...folders } = await twoFolders();
      const { a, b } = folders;
      a.disk.make(path("d"));
      a.disk.write(path("d/x.bin"), "x");
      await settle(world);
      const other = mover === "a" ? b : a;
      folders[mover].disk.move(path("d/x.bin"), path("x.bin"));
      other.disk.tick();
      other.disk.write(path("d/y.bin"), "y");
      await settle(world);
      expect((await b.disk.look(path("d")))?.mtimeNs).toBe((await a.disk.look(path("d")))?.mtimeNs);
    },
  );
});

async function dyingAt(folder: SyncedFolder, change: number): Promise<void> {
  folder.disk.budget = change;
  await folder.sync().catch((error: unknown) => {
    if (!(error instanceof Crash)) throw error;
  });
  folder.disk.budget = undefined;
}
