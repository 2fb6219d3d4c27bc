/** What a process that died just after its swap finds in the bucket, where others changed the same things. */
import { describe, expect, test } from "vitest";
import { Crash } from "../../../src/simulate/folder/memory-sync-disk.ts";
import { dyingAfterSwap, path, settle, settledTree, twoFolders } from "../../support/sync-world.ts";

test("a process that died after its swap does not take another version of the same size and time for its own", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("f.bin"), "1");
  await settle(world);
  for (const [folder, version] of [
    [a, "2"],
    [b, "3"],
  ] as const) {
    folder.disk.tick(3_000_000_000n);
    folder.disk.write(path("f.bin"), version);
    await folder.disk.setModified(path("f.bin"), 1_800_000_000_000_000_000n);
  }
  await a.sync();
  await dyingAfterSwap(b);
  const whole = await settledTree(world);
  expect(new Set(whole.values())).toEqual(new Set(["2", "3"]));
});

test.each([undefined, "of2"])(
  "a process that died after its swap does not take others' version of a file moved here for its own: %s",
  async (version) => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("f.bin"), "old");
    await settle(world);
    for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
    a.disk.write(path("f.bin"), "of1");
    b.disk.move(path("f.bin"), path("g.bin"));
    if (version !== undefined) b.disk.write(path("g.bin"), version);
    const time = (await b.disk.look(path("g.bin")))?.mtimeNs ?? 0n;
    await a.disk.setModified(path("f.bin"), time);
    await a.sync();
    await dyingAfterSwap(b);
    b.disk.tick(3_000_000_000n);
    expect([...(await settledTree(world)).values()]).toContain("of1");
  },
);

test("names deleted after a crash stay deleted, even if their file has another name and their directory was moved in the epoch", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("f.bin"), "f");
  a.disk.make(path("old"));
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.move(path("old"), path("z"));
  await a.disk.link(path("f.bin"), path("z/f.bin"));
  await dyingAfterSwap(a);
  a.disk.tick(3_000_000_000n);
  a.disk.remove(path("z/f.bin"));
  expect([...(await settledTree(world)).keys()]).toEqual(["f.bin", "z"]);
  expect((await b.disk.look(path("f.bin")))?.links).toBe(1);
});

test("files deleted here in a directory that others moved survive, even if the process died after its swap", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  a.disk.write(path("d/x.bin"), "1");
  a.disk.write(path("f.bin"), "2");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.move(path("d"), path("f.bin"), "exchange");
  await a.sync();
  b.disk.remove(path("d"));
  b.disk.write(path("g.bin"), "4");
  await dyingAfterSwap(b);
  b.disk.tick(3_000_000_000n);
  b.disk.write(path("d"), "3");
  const whole = await settledTree(world);
  expect([...whole.values()].sort()).toEqual(["1", "2", "3", "4", "dir"]);
});

test("a file that exchanged places with a directory and was edited by others has their version, without a conflict copy", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  a.disk.write(path("d/x.bin"), "x");
  a.disk.write(path("f.bin"), "old");
  await settle(world);
  b.disk.tick(3_000_000_000n);
  b.disk.write(path("f.bin"), "edited");
  await b.sync();
  a.disk.tick(3_000_000_000n);
  a.disk.move(path("d"), path("f.bin"), "exchange");
  await dyingAfterSwap(a);
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("f.bin/x.bin"), "newer x");
  expect(Object.fromEntries(await settledTree(world))).toEqual({
    d: "edited",
    "f.bin": "dir",
    "f.bin/x.bin": "newer x",
  });
});

test("an edit of a file that others deleted has no conflict with a later edit", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("f.bin"), "old");
  await settle(world);
  a.disk.remove(path("f.bin"));
  await a.sync();
  b.disk.tick(3_000_000_000n);
  b.disk.write(path("f.bin"), "edited");
  await dyingAfterSwap(b);
  b.disk.tick(3_000_000_000n);
  b.disk.write(path("f.bin"), "edited again");
  expect(Object.fromEntries(await settledTree(world))).toEqual({ "f.bin": "edited again" });
});

test.each([
  ["in a directory that others moved", "d", "e", "e/f.bin"],
  ["of a file that others moved", "d/f.bin", "g.bin", "g.bin"],
])("an edit %s has no conflict with a later edit", async (_, from, to, now) => {
  for (const editAgain of [false, true]) {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("d"));
    a.disk.write(path("d/f.bin"), "old");
    await settle(world);
    a.disk.move(path(from), path(to));
    await a.sync();
    b.disk.tick(3_000_000_000n);
    b.disk.write(path("d/f.bin"), "edited");
    await dyingAfterSwap(b);
    await a.sync();
    for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
    if (editAgain) b.disk.write(path("d/f.bin"), "edited again");
    else a.disk.write(path(now), "edited again");
    await a.sync();
    const files = [...(await settledTree(world))].filter(([, text]) => text !== "dir");
    expect(files).toEqual([[now, "edited again"]]);
  }
});

test.each([
  ["moved", "g.bin"],
  ["left alone", "f.bin"],
])("a save with a backup of a file that others %s has no conflict with a later edit", async (_, now) => {
  for (const later of ["in place", "with a backup", "of others"]) {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("f.bin"), "old");
    await settle(world);
    if (now !== "f.bin") a.disk.move(path("f.bin"), path(now));
    await a.sync();
    const save = (text: string) => {
      b.disk.tick(3_000_000_000n);
      b.disk.move(path("f.bin"), path("f.bin~"));
      b.disk.write(path("f.bin"), text);
    };
    save("edited");
    await dyingAfterSwap(b);
    await a.sync();
    for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
    if (later === "in place") b.disk.write(path("f.bin"), "edited again");
    else if (later === "with a backup") save("edited again");
    else a.disk.write(path(now), "edited again");
    await a.sync();
    const backup = later === "with a backup" ? "edited" : "old";
    expect([later, Object.fromEntries(await settledTree(world))]).toEqual([
      later,
      { [now]: "edited again", "f.bin~": backup },
    ]);
  }
});

test("an edit of a file that others replaced with a directory has no conflict with others' later edit", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  a.disk.write(path("f"), "old");
  await settle(world);
  a.disk.remove(path("f"));
  a.disk.move(path("d"), path("f"));
  await a.sync();
  b.disk.tick(3_000_000_000n);
  b.disk.write(path("f"), "edited");
  await dyingAfterSwap(b);
  await a.sync();
  const [copy] = [...a.disk.tree()].find(([, text]) => text === "edited") ?? [""];
  a.disk.tick(3_000_000_000n);
  a.disk.write(path(copy), "edited again");
  await a.sync();
  expect(Object.fromEntries(await settledTree(world))).toEqual({ f: "dir", [copy]: "edited again" });
});

/** Both edit a file, and one dies after its swap, which made a copy of its version. */
async function contested() {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("f.bin"), "old");
  await settle(world);
  for (const [{ disk }, version] of [
    [a, "of a"],
    [b, "of b"],
  ] as const) {
    disk.tick(3_000_000_000n);
    disk.write(path("f.bin"), version);
  }
  await a.sync();
  await dyingAfterSwap(b);
  await a.sync();
  return { world, a, b };
}

test("a further edit after a lost conflict and a crash keeps both versions", async () => {
  const { world, b } = await contested();
  b.disk.tick(3_000_000_000n);
  b.disk.write(path("f.bin"), "newer of b");
  const whole = await settledTree(world);
  expect([...whole.values()]).toEqual(expect.arrayContaining(["of a", "newer of b"]));
});

test("a version that lost the conflict gets no second copy when others edit the first one", async () => {
  const { world, a } = await contested();
  const copy = [...a.disk.tree().keys()].find((name) => name.startsWith("f (conflict")) ?? "";
  const kept = a.disk.tree().get("f.bin");
  a.disk.tick(3_000_000_000n);
  a.disk.write(path(copy), "edited");
  await a.sync();
  expect(Object.fromEntries(await settledTree(world))).toEqual({ "f.bin": kept, [copy]: "edited" });
});

test("deletions applied for others before a crash do not count toward the deletion limit", async () => {
  const { world, a, b } = await twoFolders();
  for (let file = 0; file < 200; file++) a.disk.write(path(`f${file}.bin`), `${file}`);
  await settle(world);
  for (let file = 0; file < 90; file++) a.disk.remove(path(`f${file}.bin`));
  await a.sync();
  let left = 89;
  const { unlink } = b.disk;
  b.disk.unlink = async (...call) => {
    if (left-- === 0) throw new Crash("The process died.");
    return unlink.apply(b.disk, call);
  };
  await expect(b.sync()).rejects.toThrow(Crash);
  b.disk.unlink = unlink;
  for (let file = 90; file < 110; file++) b.disk.remove(path(`f${file}.bin`));
  expect((await b.sync()).held).toBeUndefined();
  await settle(world);
  for (const { disk } of [a, b]) expect(disk.tree().size).toBe(90);
});

describe("after a merge was published and the process died,", () => {
  /** A new file, an edited one, and one with two names, that others did not touch. */
  async function merged() {
    const { world, a, b } = await twoFolders();
    for (const each of ["edited.bin", "linked.bin"]) b.disk.write(path(each), `old ${each}`);
    await b.disk.link(path("linked.bin"), path("link.bin"));
    await settle(world);
    a.disk.write(path("of a.bin"), "of a");
    await a.sync();
    b.disk.tick(3_000_000_000n);
    for (const each of ["new.bin", "edited.bin", "linked.bin"]) b.disk.write(path(each), `of b ${each}`);
    await dyingAfterSwap(b);
    b.disk.tick(3_000_000_000n);
    return { world, b };
  }

  test("files deleted since do not come back", async () => {
    const { world, b } = await merged();
    for (const each of b.disk.tree().keys()) b.disk.remove(path(each));
    expect([...(await settledTree(world)).keys()]).toEqual(["of a.bin"]);
  });

  test("old versions of files replaced since do not come back", async () => {
    const { world, b } = await merged();
    for (const each of ["new.bin", "edited.bin"]) b.disk.save(path(each), `newer ${each}`);
    const whole = await settledTree(world);
    expect(whole.size).toBe(5);
    for (const each of ["new.bin", "edited.bin"]) expect(whole.get(each)).toBe(`newer ${each}`);
  });
});
