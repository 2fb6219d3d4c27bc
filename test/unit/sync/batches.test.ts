/** Passes on disks that read and make many small files at a time. */
import { describe, expect, test, vi } from "vitest";
import type { DiskPath, SyncDisk } from "../../../src/sync/disk/disk.ts";
import { Crash, type MemorySyncDisk } from "../../../src/simulate/folder/memory-sync-disk.ts";
import { bucketTree, path, settle, twoFolders } from "../../support/sync-world.ts";

interface Batches {
  /** How many files were made, or read, each time. */
  readonly made: number[];
  readonly read: number[];
  /** Runs before and after each reading. */
  around: () => void;
}

/** Gives a disk what it does many times at once. */
function batched(disk: MemorySyncDisk): Batches {
  const batches: Batches = { made: [], read: [], around: () => {} };
  Object.assign(disk, {
    readAll: async (files) => {
      batches.read.push(files.length);
      batches.around();
      const whole = await Promise.all(
        files.map(async ({ path: at, size }) => {
          const stat = await disk.look(at);
          if (stat?.type !== "file" || stat.size !== size) return undefined;
          return { stat, bytes: await (await disk.read(at)).read(0, size) };
        }),
      );
      batches.around();
      return whole;
    },
    createAll: async (directory, files) => {
      batches.made.push(files.length);
      return Promise.all(
        files.map(async ({ name, bytes, mode, mtimeNs }) => {
          const at: DiskPath = [...directory, name];
          await (await disk.create(at)).write(0, bytes);
          await disk.setMode(at, mode);
          await disk.setModified(at, mtimeNs);
          const stat = await disk.look(at);
          if (stat === undefined) throw new Error("It is not there.");
          return stat;
        }),
      );
    },
  } satisfies Pick<SyncDisk, "readAll" | "createAll">);
  return batches;
}

test("files in several directories are uploaded and downloaded in batches, unchanged", async () => {
  const { world, a, b } = await twoFolders();
  const [up, down] = [batched(a.disk), batched(b.disk)];
  for (const directory of ["d", "e"]) {
    a.disk.make(path(directory));
    for (let file = 0; file < 100; file++) a.disk.write(path(`${directory}/${file}.bin`), "text ".repeat(file));
  }
  await settle(world);
  expect(b.disk.tree()).toEqual(a.disk.tree());
  expect(await bucketTree(world.bucket)).toEqual(a.disk.tree());
  // The empty one of each directory is not read.
  expect(up.read).toEqual([64, 35, 64, 35]);
  expect(down.made).toEqual([200]);
  for (const each of ["d/7.bin", "e/99.bin"]) {
    const [one, other] = [await a.disk.look(path(each)), await b.disk.look(path(each))];
    expect([other?.mode, other?.mtimeNs, other?.size]).toEqual([one?.mode, one?.mtimeNs, one?.size]);
  }
  expect((await b.disk.list(path(".syncline/new"))).length).toBe(0);
});

test.each(["before", "after"])(
  "a file that changes just %s a batch reads it is uploaded in its new version",
  async (when) => {
    const { world, a, b } = await twoFolders();
    const batches = batched(a.disk);
    for (const each of ["x.bin", "y.bin", "z.bin"]) a.disk.write(path(each), `old ${each}`);
    let moments = 0;
    batches.around = () => {
      a.disk.tick();
      if (moments++ === (when === "before" ? 0 : 1)) a.disk.write(path("y.bin"), "new y.bin");
    };
    await settle(world);
    expect(a.disk.tree().get("y.bin")).toBe("new y.bin");
    expect(await bucketTree(world.bucket)).toEqual(a.disk.tree());
    expect(b.disk.tree()).toEqual(a.disk.tree());
  },
);

test("a file of a batch whose name is taken leaves no temporary file behind", async () => {
  const { world, a, b } = await twoFolders();
  const down = batched(b.disk);
  for (const each of ["x.bin", "y.bin"]) a.disk.write(path(each), `of a ${each}`);
  await a.sync();
  b.disk.before = () => {
    if (down.made.length > 0 && !b.disk.tree().has("y.bin")) b.disk.write(path("y.bin"), "of b");
  };
  await b.sync();
  expect(await b.disk.list(path(".syncline/new"))).toEqual([]);
  b.disk.before = () => {};
  await settle(world);
  expect([...a.disk.tree().values()].sort()).toEqual(["of a x.bin", "of a y.bin", "of b"]);
  expect(b.disk.tree()).toEqual(a.disk.tree());
});

describe("new files are placed in a batch", () => {
  const names = Array.from({ length: 12 }, (_, index) => `d/${String(index).padStart(2, "0")}`);

  async function cameFromA() {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("d"));
    for (const each of names) a.disk.write(path(each), `of a ${each}`);
    await a.sync();
    return { world, a, b };
  }

  test("and a file that takes a name at that moment stays, while the others arrive", async () => {
    const { world, a, b } = await cameFromA();
    const taken = path(names[6] ?? "");
    b.disk.before = () => {
      if (b.disk.tree().has(names[3] ?? "") && !b.disk.tree().has(names[6] ?? "")) b.disk.write(taken, "of b");
    };
    const { applied } = await b.sync();
    expect(applied.left.map(({ path: at }) => at.join("/"))).toEqual([names[6]]);
    expect(b.disk.tree().get(names[6] ?? "")).toBe("of b");
    expect(await b.disk.list(path(".syncline/new"))).toEqual([]);
    b.disk.before = () => {};
    await settle(world);
    expect([...b.disk.tree().values()].sort()).toEqual(["dir", "of b", ...names.map((each) => `of a ${each}`)].sort());
    expect(a.disk.tree()).toEqual(b.disk.tree());
  });

  test("and the next pass sees what somebody changes, removes or moves meanwhile", async () => {
    const { world, a, b } = await cameFromA();
    let actions = 0;
    b.disk.before = () => {
      b.disk.tick();
      if (actions !== 0 || !b.disk.tree().has(names[8] ?? "")) return;
      actions++;
      b.disk.write(path(names[0] ?? ""), `of b ${names[0]}`);
      b.disk.remove(path(names[1] ?? ""));
      b.disk.move(path(names[2] ?? ""), path("moved"));
    };
    await b.sync();
    expect(actions).toBe(1);
    b.disk.before = () => {};
    await settle(world);
    expect(a.disk.tree()).toEqual(b.disk.tree());
    expect(b.disk.tree().get(names[0] ?? "")).toBe(`of b ${names[0]}`);
    expect(b.disk.tree().get("moved")).toBe(`of a ${names[2]}`);
    expect(b.disk.tree().size).toBe(names.length);
  });

  test("and the folder reaches the bucket's state, wherever the process dies", async () => {
    for (const more of [0, 1, 6, 11]) {
      const { world, a, b } = await cameFromA();
      b.disk.before = () => {
        if (b.disk.tree().has(names[0] ?? "")) b.disk.budget ??= more;
      };
      await expect(b.sync()).rejects.toBeInstanceOf(Crash);
      b.disk.before = () => {};
      b.disk.budget = undefined;
      await settle(world);
      expect(b.disk.tree()).toEqual(a.disk.tree());
      expect(a.disk.tree().size).toBe(names.length + 1);
      expect(await b.disk.list(path(".syncline/new"))).toEqual([]);
    }
  });

  test("and two names of one file stay hard links", async () => {
    const { world, a, b } = await cameFromA();
    await a.disk.link(path(names[5] ?? ""), path("d/zz"));
    for (const each of ["d/a", "d/b", "d/c", "d/z", "d/zzz"]) a.disk.write(path(each), each);
    await settle(world);
    expect(b.disk.tree()).toEqual(a.disk.tree());
    const [one, other] = [await b.disk.look(path(names[5] ?? "")), await b.disk.look(path("d/zz"))];
    expect([one?.links, one?.ino]).toEqual([2, other?.ino]);
  });
});

test("a folder published to an empty bucket is not compared with its own files, and others' files still arrive", async () => {
  const { world, a, b } = await twoFolders();
  for (const each of ["x", "y"]) a.disk.write(path(each), `of a ${each}`);
  const looksAtAll = vi.spyOn(a.db, "entries");
  await a.sync();
  expect(looksAtAll).not.toHaveBeenCalled();
  expect(a.db.fact("compare all")).toBeUndefined();
  b.disk.write(path("z"), "of b");
  await settle(world);
  expect(Object.fromEntries(a.disk.tree())).toEqual({ x: "of a x", y: "of a y", z: "of b" });
  expect(b.disk.tree()).toEqual(a.disk.tree());
});
