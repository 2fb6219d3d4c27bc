/** Which known object a scan takes each file for. */
import { describe, expect, test } from "vitest";
import type { MemorySyncDisk } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { bucketTree, path, settle, settledTree, type SyncWorld, twoFolders } from "../../../support/sync-world.ts";

test("inodes numbered anew at a mount are no change, even if files and directories look alike", async () => {
  const { world, a } = await twoFolders();
  for (const directory of ["c", "d", "e"]) a.disk.make(path(directory));
  for (const file of ["1", "2", "3", "c/x", "d/x", "e/x"]) a.disk.write(path(file), file.padEnd(3, "."));
  await settle(world);
  a.disk.tick(3_000_000_000n);
  const before = await bucketTree(world.bucket);
  a.disk.renumber();
  expect((await a.sync()).local).toEqual([]);
  expect(await bucketTree(world.bucket)).toEqual(before);
  a.disk.tick(3_000_000_000n);
  a.disk.move(path("1"), path("c/1"));
  expect((await a.sync()).local.find(({ action }) => action === "moved")?.object.found[0]?.path).toEqual(path("c/1"));
});

test("a file under another's inode number is published with its own bytes", async () => {
  const { world, a } = await twoFolders();
  a.disk.write(path(".synclineignore"), "/hidden\n");
  for (const file of ["hidden", "gone"]) a.disk.write(path(file), file.padEnd(6, "."));
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.renumber();
  a.disk.remove(path("gone"));
  a.disk.write(path(".synclineignore"), "");
  expect((await settledTree(world)).get("hidden")).toBe("hidden");
});

test("directories that are exchanged while inodes are numbered anew reach the bucket in one pass", async () => {
  const { world, a } = await twoFolders();
  for (const directory of ["a", "c"]) a.disk.make(path(directory));
  for (const file of ["a/x", "b", "c/y", "d"]) a.disk.write(path(file), file.padEnd(3, "."));
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.renumber();
  a.disk.move(path("a"), path("c"), "exchange");
  const pass = await a.sync();
  expect(pass.unstable).toEqual([]);
  expect(await bucketTree(world.bucket)).toEqual(a.disk.tree());
});

/** Two folders with these files, long settled; then `b` edits `f.bin` and syncs before `a` does. */
async function editedElsewhere(...more: readonly string[]) {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  for (const file of ["f.bin", ...more]) a.disk.write(path(file), `old ${file}`);
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  b.disk.write(path("f.bin"), "of b");
  await b.sync();
  return { world, a, b, disk: a.disk };
}

/** Renames `f.bin` to the first name, what had that name to the second, and so on, and writes `f.bin` anew. */
function saveBehind(disk: MemorySyncDisk, names: readonly string[], text = "of a"): void {
  const chain = ["f.bin", ...names];
  for (let at = names.length; at > 0; at--) disk.move(path(chain[at - 1] ?? ""), path(chain[at] ?? ""));
  disk.tick();
  disk.write(path("f.bin"), text);
}

/** All files, conflict copies under `copy of NAME`. */
async function filesOf(world: SyncWorld): Promise<Record<string, string>> {
  const files = [...(await settledTree(world))].filter(([, text]) => text !== "dir");
  return Object.fromEntries(files.map(([name, text]) => [name.replace(/^(.*) \(conflict .{8}\)/, "copy of $1"), text]));
}

const MEET = { "f.bin": "of a", "copy of f.bin": "of b" };

describe("another folder's edit of a file that a program saves with a backup", () => {
  test.each([
    ["a new backup", [], ["f.bin~"], { "f.bin~": "old f.bin" }],
    ["an older backup replaced", ["f.bin~"], ["f.bin~"], { "f.bin~": "old f.bin" }],
    ["numbered backups", ["f.bin.~1~"], ["f.bin.~2~"], { "f.bin.~1~": "old f.bin.~1~", "f.bin.~2~": "old f.bin" }],
  ])("meets the save under the file's name: %s", async (_, before, names, backups) => {
    const { world, disk } = await editedElsewhere(...before);
    saveBehind(disk, names);
    expect(await filesOf(world)).toEqual({ ...MEET, ...backups });
  });

  test("meets it again after the next save replaces that backup", async () => {
    const { world, b, disk } = await editedElsewhere();
    saveBehind(disk, ["f.bin~"]);
    await settle(world);
    b.disk.tick(3_000_000_000n);
    b.disk.write(path("f.bin"), "of b again");
    await b.sync();
    disk.write(path("f.bin"), "of a first");
    saveBehind(disk, ["f.bin~"], "of a last");
    const whole = await settledTree(world);
    expect(whole.get("f.bin~")).toBe("of a first");
    expect([...whole.values()].sort()).toEqual(["dir", "of a first", "of a last", "of b", "of b again"]);
  });

  test("merges with it by lines", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("f.txt"), "1\n2\n3\n");
    await settle(world);
    b.disk.write(path("f.txt"), "1\n2\n3 of b\n");
    await b.sync();
    a.disk.move(path("f.txt"), path("f.txt~"));
    a.disk.write(path("f.txt"), "1 of a\n2\n3\n");
    expect(await filesOf(world)).toEqual({ "f.txt": "1 of a\n2\n3 of b\n", "f.txt~": "1\n2\n3\n" });
  });

  test("is in the backup if a pass comes between rename and write, and nothing is lost", async () => {
    const { world, a, disk } = await editedElsewhere();
    disk.move(path("f.bin"), path("f.bin~"));
    await a.sync();
    disk.write(path("f.bin"), "of a");
    expect(await filesOf(world)).toEqual({ "f.bin": "of a", "f.bin~": "of b" });
  });
});

describe("another folder's edit of a file follows its inode", () => {
  const move = (from: string, to: string) => (disk: MemorySyncDisk) => disk.move(path(from), path(to));
  test.each<[string, (disk: MemorySyncDisk) => unknown, Record<string, string>]>([
    ["a rename without a new file", move("f.bin", "g"), { g: "of b", old: "old old" }],
    [
      "a move to another directory",
      (disk) => saveBehind(disk, ["d/f.bin"]),
      { "d/f.bin": "of b", "f.bin": "of a", old: "old old" },
    ],
    ["a rotation", (disk) => saveBehind(disk, ["old", "older"]), { "f.bin": "of a", old: "of b", older: "old old" }],
    [
      "another known file under its name",
      (disk) => ["f.bin", "old"].forEach((name, at) => disk.move(path(name), path(["f.bin~", "f.bin"][at] ?? ""))),
      { "f.bin": "old old", "f.bin~": "of b" },
    ],
    [
      "an exchange of names",
      (disk) => disk.move(path("f.bin"), path("old"), "exchange"),
      { "f.bin": "old old", old: "of b" },
    ],
    [
      "a symlink to its new name",
      (disk) => {
        disk.move(path("f.bin"), path("real"));
        return disk.makeSymlink(path("f.bin"), "real");
      },
      { "f.bin": "-> real", real: "of b", old: "old old" },
    ],
  ])("through %s", async (_, change, files) => {
    const { world, disk } = await editedElsewhere("old");
    await change(disk);
    expect(await filesOf(world)).toEqual(files);
  });

  test("in a directory that is set aside for a new one", async () => {
    const { world, disk, b } = await editedElsewhere("d/g");
    b.disk.write(path("d/g"), "of b, too");
    await b.sync();
    disk.move(path("d"), path("d~"));
    disk.make(path("d"));
    disk.write(path("d/g"), "of a");
    expect(await filesOf(world)).toEqual({ "f.bin": "of b", "d/g": "of a", "d~/g": "of b, too" });
  });

  test("if it has several names", async () => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("f.bin"), "old");
    await a.disk.link(path("f.bin"), path("link"));
    await settle(world);
    b.disk.write(path("f.bin"), "of b");
    await b.sync();
    saveBehind(a.disk, ["f.bin~"]);
    expect(await filesOf(world)).toEqual({ "f.bin": "of a", "f.bin~": "of b", link: "of b" });
  });
});
