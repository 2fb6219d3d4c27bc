/** What makes room for something else and is written to in that very moment: it does not stay out of sight. */
import { expect, test } from "vitest";
import type { FileName } from "../../../../src/base/ids.ts";
import type { MemorySyncDisk } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { PARKED_PATH } from "../../../../src/sync/disk/paths.ts";
import { killed, path, settle, settledTree, twoFolders } from "../../../support/sync-world.ts";

async function fileAndDirectory(disk: MemorySyncDisk): Promise<void> {
  disk.write(path("f.bin"), "f");
  disk.make(path("d"));
  disk.write(path("d/x.bin"), "x");
}

/**
 * Both folders have what `prepare` makes. One folder changes it. In the other one `save` writes at each moment in turn while that change
 * arrives, if `needed` is there. Answers the moments at which it wrote.
 */
async function meanwhile(
  change: (disk: MemorySyncDisk) => void,
  needed: string,
  save: (disk: MemorySyncDisk) => void,
  prepare: (disk: MemorySyncDisk) => Promise<void> = fileAndDirectory,
): Promise<number[]> {
  const moments: number[] = [];
  for (let moment = 0, reached = true; reached; moment++) {
    const { world, a, b } = await twoFolders();
    await prepare(a.disk);
    await settle(world);
    a.disk.tick(3_000_000_000n);
    change(a.disk);
    await a.sync();
    let [changes, saved] = [0, false];
    b.disk.before = () => {
      if (!b.hasScanned || changes++ !== moment || !b.disk.tree().has(needed)) return;
      b.disk.tick();
      save(b.disk);
      saved = true;
    };
    await b.sync();
    reached = changes > moment;
    b.disk.before = () => {};
    const whole = await settledTree(world);
    expect([moment, [...whole.values()].includes("meanwhile")]).toEqual([moment, saved]);
    if (saved) moments.push(moment);
  }
  return moments;
}

test("a write to a file that makes room for a directory survives", async () => {
  const moments = await meanwhile(
    (disk) => {
      disk.remove(path("f.bin"));
      disk.move(path("d"), path("f.bin"));
    },
    "d",
    (disk) => disk.write(path("f.bin"), "meanwhile"),
  );
  expect(moments).toContain(0);
});

test("a write to a file in a directory that makes room for a file survives", async () => {
  const moments = await meanwhile(
    (disk) => {
      disk.remove(path("d"));
      disk.move(path("f.bin"), path("d"));
    },
    "d/x.bin",
    (disk) => disk.write(path("d/x.bin"), "meanwhile"),
  );
  expect(moments).toContain(0);
});

test("a new file in a directory that makes room for another one survives", async () => {
  const moments = await meanwhile(
    (disk) => {
      disk.remove(path("d"));
      disk.make(path("e"));
      disk.move(path("e"), path("d"));
    },
    "d",
    (disk) => disk.write(path("d/new.bin"), "meanwhile"),
  );
  expect(moments).toContain(0);
});

test("a save over a file that exchanges places with another survives", async () => {
  const moments = await meanwhile(
    (disk) => disk.move(path("f.bin"), path("d/x.bin"), "exchange"),
    "f.bin",
    (disk) => disk.save(path("f.bin"), "meanwhile"),
  );
  expect(moments).toContain(0);
});

test("a write to a file's second name survives while its first name already has a newer version", async () => {
  const moments = await meanwhile(
    (disk) => disk.write(path("x.bin"), "newer"),
    "y.bin",
    (disk) => disk.write(path("y.bin"), "meanwhile"),
    async (disk) => {
      disk.write(path("x.bin"), "f");
      await disk.link(path("x.bin"), path("y.bin"));
    },
  );
  expect(moments.length).toBeGreaterThan(2);
});

test("a moved file has the bucket's version, even if one of its old names could not be replaced yet", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("x.bin"), "old");
  await a.disk.link(path("x.bin"), path("y.bin"));
  a.disk.write(path("w.bin"), "w");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("x.bin"), "new");
  await a.sync();
  const rename = b.disk.rename.bind(b.disk);
  b.disk.rename = async (from, to, how) => {
    if (to.join("/") === "y.bin") throw Object.assign(new Error("busy"), { code: "EBUSY" });
    return rename(from, to, how);
  };
  await b.sync();
  expect(b.disk.tree().get("x.bin")).toBe("new");
  expect(b.disk.tree().get("y.bin")).toBe("old");
  b.disk.rename = rename;
  a.disk.move(path("x.bin"), path("z.bin"));
  a.disk.write(path("x.bin"), "another");
  a.disk.move(path("w.bin"), path("y.bin"), "replace");
  await a.sync();
  await b.sync();
  const whole = await settledTree(world);
  expect(Object.fromEntries(whole)).toEqual({ "x.bin": "another", "y.bin": "w", "z.bin": "new" });
});

test("parked objects that somebody removes are downloaded again, and unknown files there become visible", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  a.disk.write(path("d/x.bin"), "x");
  a.disk.write(path("f.bin"), "f");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.move(path("d"), path("f.bin"), "exchange");
  await a.sync();
  b.disk.before = () => {
    if (b.disk.tree(PARKED_PATH).size === 0) return;
    for (const name of b.disk.tree(PARKED_PATH).keys())
      if (!name.includes("/")) b.disk.remove([...PARKED_PATH, ...path(name)]);
    b.disk.write([...PARKED_PATH, ...path("stray")], "stray");
  };
  await b.sync();
  b.disk.before = () => {};
  const whole = await settledTree(world);
  expect([...whole.values()].sort()).toEqual(["dir", "f", "stray", "x"]);
});

test("a file moved out of a directory that makes room is not mistaken for the file that takes its place", async () => {
  const { world, a, b } = await twoFolders();
  for (const name of ["c", "d"]) a.disk.make(path(name));
  a.disk.write(path("c/y.bin"), "y");
  a.disk.write(path("d/x.bin"), "x");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.move(path("d"), path("c/y.bin"), "exchange");
  await a.sync();
  let done = false;
  b.disk.before = () => {
    if (done || !b.hasScanned) return;
    done = true;
    b.disk.move(path("d/x.bin"), path("c/y.bin"), "exchange");
  };
  await b.sync();
  b.disk.before = () => {};
  b.disk.write(path("d"), "new");
  for (let pass = 0; pass < 3; pass++) {
    b.disk.tick(3_000_000_000n);
    await b.sync();
  }
  const at = [...b.disk.tree()].find(([name, text]) => text === "y" && name.endsWith("x.bin"));
  b.disk.tick(3_000_000_000n);
  b.disk.write(path(at?.[0] ?? "none"), "edited");
  const whole = await settledTree(world);
  expect([...whole.values()]).toEqual(expect.arrayContaining(["edited", "new", "x"]));
});

test("a file that is renamed stays one file, even if another name of it is in a directory that was united and is still parked", async () => {
  let [parked, dead] = [0, true];
  for (let change = 0; dead; change++) {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("e"));
    a.disk.write(path("f.bin"), "f");
    await settle(world);
    for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
    a.disk.move(path("e"), path("d"));
    b.disk.make(path("d"));
    await b.disk.link(path("f.bin"), path("d/y.bin"));
    await a.sync();
    dead = await killed(b, change);
    const hidden = [...b.disk.tree(PARKED_PATH)];
    if (hidden.some(([name]) => name.endsWith("/y.bin"))) parked++;
    b.disk.move(path("f.bin"), path("h.bin"));
    const whole = await settledTree(world);
    // Where the link itself was parked, it comes back under a name that the file had.
    const isBack = hidden.some(([name, text]) => !name.includes("/") && text === "f");
    const names = ["d/y.bin", "h.bin", ...(isBack ? ["f.bin"] : [])];
    expect([change, [...whole.keys()].sort()]).toEqual([change, ["d", ...names].sort()]);
    for (const { disk } of world.folders) expect((await disk.look(path("h.bin")))?.links).toBe(names.length);
  }
  expect(parked).toBeGreaterThan(0);
});

test("objects parked when a process dies become visible while the bucket is unreachable, and edits to them arrive later", async () => {
  let [waited, dead] = [0, true];
  for (let change = 0; dead; change++) {
    const { world, a, b } = await twoFolders();
    for (const name of ["d", "e"]) a.disk.make(path(name));
    for (const [name, text] of [
      ["f.bin", "f"],
      ["d/x.bin", "x"],
      ["e/y.bin", "y"],
    ] as const)
      a.disk.write(path(name), text);
    await settle(world);
    a.disk.tick(3_000_000_000n);
    a.disk.move(path("d"), path("f.bin"), "exchange");
    a.disk.move(path("e/y.bin"), path("f.bin/x.bin"), "exchange");
    await a.sync();
    dead = await killed(b, change);
    if (b.disk.tree(PARKED_PATH).size > 0) waited++;
    world.remote.unreachable = true;
    for (const budget of [0, 1, 2]) {
      b.disk.budget = budget;
      await expect(b.sync()).rejects.toThrow(/died|does not answer/);
    }
    b.disk.budget = undefined;
    await expect(b.sync()).rejects.toThrow("does not answer");
    expect(b.disk.tree(PARKED_PATH).size).toBe(0);
    const shown = [...b.disk.tree()];
    expect(shown.flatMap(([, text]) => text).sort()).toEqual(["dir", "dir", "f", "x", "y"]);
    b.disk.tick(3_000_000_000n);
    const f = shown.find(([, text]) => text === "f")?.[0] ?? "";
    b.disk.write(path(f), "meanwhile");
    await expect(b.sync()).rejects.toThrow("does not answer");
    world.remote.unreachable = false;
    const whole = await settledTree(world);
    expect([...whole].sort()).toEqual([
      ["d", "meanwhile"],
      ["e", "dir"],
      ["e/y.bin", "x"],
      ["f.bin", "dir"],
      ["f.bin/x.bin", "y"],
    ]);
  }
  expect(waited).toBeGreaterThan(1);
});

/** A process of the second folder died while something waited for its place there. */
async function waiting() {
  for (let change = 0; ; change++) {
    const { world, a, b } = await twoFolders();
    for (const name of ["in", "in/d"]) a.disk.make(path(name));
    a.disk.write(path("in/f.bin"), "f");
    a.disk.write(path("in/d/x.bin"), "x");
    await settle(world);
    a.disk.tick(3_000_000_000n);
    a.disk.move(path("in/d"), path("in/f.bin"), "exchange");
    await a.sync();
    expect(await killed(b, change)).toBe(true);
    if (b.disk.tree(PARKED_PATH).size > 0) return { world, b };
  }
}

test("a directory that cannot be changed neither keeps parked objects hidden nor stops later passes", async () => {
  const { world, b } = await waiting();
  const rename = b.disk.rename.bind(b.disk);
  b.disk.rename = async (from, to, how) => {
    if (to[0] === "in") throw Object.assign(new Error("not yours"), { code: "EACCES" });
    return rename(from, to, how);
  };
  world.remote.unreachable = true;
  await expect(b.sync()).rejects.toThrow("does not answer");
  expect(b.disk.tree(PARKED_PATH).size).toBe(0);
  world.remote.unreachable = false;
  expect((await b.sync()).applied.left.map(({ reason }) => reason)).toContain("in the way");
  b.disk.rename = rename;
  expect([...(await settledTree(world)).values()].sort()).toEqual(["dir", "dir", "f", "x"]);
});

test("a disk that refuses everything does not mask the error that the bucket is unreachable", async () => {
  const { world, b } = await waiting();
  const rename = b.disk.rename.bind(b.disk);
  world.remote.unreachable = true;
  for (const code of ["EACCES", "EIO"]) {
    b.disk.rename = () => Promise.reject(Object.assign(new Error("no"), { code }));
    await expect(b.sync()).rejects.toThrow("does not answer");
  }
  world.remote.unreachable = false;
  b.disk.rename = rename;
  expect([...(await settledTree(world)).values()].sort()).toEqual(["dir", "dir", "f", "x"]);
});

test("parked objects appear at the top if their directory was renamed", async () => {
  const { world, b } = await waiting();
  b.disk.tick(3_000_000_000n);
  b.disk.move(path("in"), path("in2"));
  world.remote.unreachable = true;
  await expect(b.sync()).rejects.toThrow("does not answer");
  expect(b.disk.tree(PARKED_PATH).size).toBe(0);
  expect([...b.disk.tree().values()].sort()).toEqual(["dir", "dir", "f", "x"]);
  world.remote.unreachable = false;
  expect([...(await settledTree(world))].sort()).toEqual([
    ["in2", "dir"],
    ["in2/d", "f"],
    ["in2/f.bin", "dir"],
    ["in2/f.bin/x.bin", "x"],
  ]);
});

test.each(["directory", "moved file"])(
  "a disk error while a file makes room for a %s brings nothing back",
  async (kind) => {
    const { world, a, b } = await twoFolders();
    for (const name of ["p", "q"]) a.disk.write(path(name), name);
    await settle(world);
    for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
    a.disk.remove(path("p"));
    if (kind === "directory") a.disk.make(path("p"));
    else a.disk.move(path("q"), path("p"));
    await a.sync();
    const look = b.disk.look.bind(b.disk);
    let failed = 0;
    b.disk.look = async (at) => {
      if (at[1] === "parked" && at.length === 3 && failed++ === 0)
        throw Object.assign(new Error("EIO"), { code: "EIO" });
      return look(at);
    };
    await expect(b.sync()).rejects.toMatchObject({ code: "EIO" });
    expect([...(await settledTree(world)).keys()].sort()).toEqual(kind === "directory" ? ["p", "q"] : ["p"]);
  },
);

test("a run that dies while it removes a file's names brings none of them back", async () => {
  for (let change = 0, dead = true; dead; change++) {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("d"));
    a.disk.write(path("x"), "x");
    for (const name of ["y", "d/x", "d/y"]) await a.disk.link(path("x"), path(name));
    await settle(world);
    for (const name of ["x", "y", "d/x", "d/y"]) a.disk.move(path(name), path(`${name} of a`));
    await a.sync();
    b.disk.tick(3_000_000_000n);
    dead = await killed(b, change);
    const whole = await settledTree(world);
    expect([...whole.keys()].sort()).toEqual(["d", "d/x of a", "d/y of a", "x of a", "y of a"]);
  }
});

test("a file that was moved into a directory just before it was parked is not deleted", async () => {
  let [hidden, dead] = [0, true];
  for (let change = 0; dead; change++) {
    const { world, a, b } = await twoFolders();
    for (const name of ["d", "e"]) a.disk.make(path(name));
    for (const name of ["f", "d/x", "e/y"]) a.disk.write(path(name), name);
    await settle(world);
    for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
    a.disk.move(path("d"), path("e"), "exchange");
    a.disk.write(path("f"), "of a");
    await a.sync();
    const rename = b.disk.rename.bind(b.disk);
    let isMoved = false;
    b.disk.rename = async (from, to, how) => {
      if (!isMoved && to[1] === "parked" && from.length === 1 && from[0] !== "f") {
        isMoved = true;
        b.disk.move(path("f"), [...from, "f" as FileName]);
      }
      return rename(from, to, how);
    };
    dead = await killed(b, change);
    b.disk.rename = rename;
    if ([...b.disk.tree(PARKED_PATH).keys()].some((name) => name.endsWith("/f"))) hidden++;
    const whole = await settledTree(world);
    expect([...whole.values()].filter((text) => text.includes("f"))).toEqual(["of a"]);
  }
  expect(hidden).toBeGreaterThan(0);
});
