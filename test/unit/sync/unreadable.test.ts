/** Files that the system does not let be read: they are told of, and keep nothing else back. */
import { expect, test } from "vitest";
import { syncFlush } from "../../../src/agent/folder/sync-status.ts";
import { UNKNOWN, type SyncDisk } from "../../../src/sync/disk/disk.ts";
import { isUnpublished, reportOf } from "../../../src/sync/report.ts";
import type { PassResult } from "../../../src/sync/pass-result.ts";
import {
  bucketTree,
  killed,
  path,
  settle,
  settledTree,
  type SyncedFolder,
  twoFolders,
} from "../../support/sync-world.ts";

/** Refuses to read these, as a system does. */
function refuse({ disk }: SyncedFolder, code: string, ...texts: readonly string[]): Disposable {
  const { read, xattrs } = disk;
  const check = (at: string) => {
    if (texts.includes(at)) throw Object.assign(new Error(`${code}: ${at}`), { code });
  };
  disk.read = async (at) => {
    check(at.join("/"));
    return read.call(disk, at);
  };
  disk.xattrs = async (at) => {
    check(at.join("/"));
    return xattrs.call(disk, at);
  };
  return { [Symbol.dispose]: () => void Object.assign(disk, { read, xattrs }) };
}

/** Lets nothing be seen or changed in a directory. */
function shut({ disk }: SyncedFolder, code: string, directory: string): Disposable {
  const { list, look, rename } = disk;
  const check = (at: string) => {
    if (at.startsWith(`${directory}/`)) throw Object.assign(new Error(`${code}: ${at}`), { code });
  };
  disk.list = async (at) => {
    check(`${at.join("/")}/`);
    return list.call(disk, at);
  };
  disk.look = async (at) => {
    check(at.join("/"));
    return look.call(disk, at);
  };
  disk.rename = async (from, to, how) => {
    for (const at of [from, to]) check(at.join("/"));
    return rename.call(disk, from, to, how);
  };
  return { [Symbol.dispose]: () => void Object.assign(disk, { list, look, rename }) };
}

function left(pass: PassResult): [string, string][] {
  const report = reportOf([pass]);
  return (report?.left ?? []).map(({ path: at, why }) => [at, why]);
}

test.each(["EACCES", "EPERM", "EIO", "ENAMETOOLONG"])(
  "new unreadable files are left out (%s), and published once they can be read",
  async (code) => {
    const { world, a } = await twoFolders();
    a.disk.make(path("d"));
    for (const name of ["d/1", "d/2", "d/3", "d/4", "d/5", "ok"]) a.disk.write(path(name), name);
    using refused = refuse(a, code, "d/1", "d/3", "d/5");
    const pass = await a.sync();
    expect(left(pass).sort()).toEqual([
      ["d/1", "cannot be read"],
      ["d/3", "cannot be read"],
      ["d/5", "cannot be read"],
    ]);
    const report = reportOf([pass]);
    expect(report && isUnpublished(report)).toBe(true);
    expect([...(await bucketTree(world.bucket)).keys()].sort()).toEqual(["d", "d/2", "d/4", "ok"]);
    refused[Symbol.dispose]();
    await settle(world);
    expect((await bucketTree(world.bucket)).get("d/3")).toBe("d/3");
  },
);

test("a known file that becomes unreadable stays as it was in the bucket, and others sync both ways", async () => {
  const { world, a, b } = await twoFolders();
  for (const name of ["kept", "other"]) a.disk.write(path(name), "old");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("kept"), "new and longer");
  a.disk.write(path("other"), "new");
  b.disk.write(path("theirs"), "of b");
  await b.sync();
  using refused = refuse(a, "EACCES", "kept");
  expect(left(await a.sync())).toEqual([["kept", "cannot be read"]]);
  expect(Object.fromEntries(await bucketTree(world.bucket))).toEqual({ kept: "old", other: "new", theirs: "of b" });
  expect(a.disk.tree().get("theirs")).toBe("of b");
  refused[Symbol.dispose]();
  await settle(world);
  expect((await bucketTree(world.bucket)).get("kept")).toBe("new and longer");
});

test("others' version does not replace an unreadable file", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("f"), "old");
  await settle(world);
  b.disk.tick(3_000_000_000n);
  b.disk.write(path("f"), "of b");
  await b.sync();
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("f"), "of a!");
  using refused = refuse(a, "EACCES", "f");
  await a.sync();
  expect(a.disk.tree().get("f")).toBe("of a!");
  refused[Symbol.dispose]();
  await settle(world);
  const texts = [...(await bucketTree(world.bucket)).values()];
  expect(texts.sort()).toEqual(["of a!", "of b"]);
});

test("a dry run plans everything but the unreadable files", async () => {
  const { a } = await twoFolders();
  for (const name of ["1", "2", "3"]) a.disk.write(path(name), name);
  await a.sync();
  for (const name of ["4", "5"]) a.disk.write(path(name), name);
  using _refused = refuse(a, "EACCES", "4");
  const pass = await a.dryRun();
  expect(pass.local.map(({ object }) => object.found[0]?.path.join("/"))).toEqual(["5"]);
  expect(left(pass)).toEqual([["4", "cannot be read"]]);
});

test("unreadable files are left out in portions too", async () => {
  const { world, a } = await twoFolders();
  a.portion = { things: 2, bytes: Infinity };
  for (let each = 0; each < 12; each++) a.disk.write(path(`n${each}`), `${each}`);
  using _refused = refuse(a, "EACCES", "n3", "n4", "n9");
  expect(left(await a.sync()).sort()).toEqual([
    ["n3", "cannot be read"],
    ["n4", "cannot be read"],
    ["n9", "cannot be read"],
  ]);
  expect((await bucketTree(world.bucket)).size).toBe(9);
});

test.each(["edit", "edit it and remove one name"])(
  "an unreadable file with two names loses no version while others %s",
  async (action) => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("x"), "old");
    await a.disk.link(path("x"), path("y"));
    await settle(world);
    for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
    a.disk.write(path("x"), "of a!!");
    b.disk.write(path("x"), "of b");
    if (action !== "edit") b.disk.remove(path("x"));
    await b.sync();
    a.disk.tick(3_000_000_000n);
    using refused = refuse(a, "EIO", "x", "y");
    await a.sync();
    refused[Symbol.dispose]();
    await settle(world);
    const whole = await bucketTree(world.bucket);
    expect(a.disk.tree()).toEqual(whole);
    expect(new Set(whole.values())).toEqual(new Set(["of a!!", "of b"]));
  },
);

test.each(["known", "new"])(
  "attributes of a %s file that could not be read once are published when they can be",
  async (kind) => {
    const { world, a, b } = await twoFolders();
    if (kind === "known") {
      a.disk.write(path("f"), "text");
      await settle(world);
    } else a.disk.write(path("f"), "text");
    a.disk.tick(3_000_000_000n);
    await a.disk.setXattrs(path("f"), new Map([["user.k", new Uint8Array([1])]]));
    a.disk.tick(3_000_000_000n);
    using refused = refuse(a, "EIO", "f");
    expect(left(await a.sync())).toEqual([["f", "cannot be read"]]);
    refused[Symbol.dispose]();
    await settle(world);
    expect([...(await b.disk.xattrs(path("f"))).keys()]).toEqual(["user.k"]);
  },
);

test("on a damaged disk many files that fail only when read do not hold others back", async () => {
  const { world, a } = await twoFolders();
  a.disk.write(path("ok"), "ok");
  for (let each = 0; each < 130; each++) a.disk.write(path(`bad${each}`), `bad${each}`);
  const read = a.disk.read.bind(a.disk);
  a.disk.read = async (at) => {
    const file = await read(at);
    if (at.join("/") === "ok" || at[0] === ".syncline") return file;
    const failing = async () => {
      throw Object.assign(new Error("EIO"), { code: "EIO" });
    };
    return Object.assign(Object.create(file) as typeof file, { read: failing });
  };
  expect(left(await a.sync())).toHaveLength(130);
  expect([...(await bucketTree(world.bucket)).keys()]).toEqual(["ok"]);
});

test("attributes of a directory that could not be read once are published when they can be", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  await a.disk.setXattrs(path("d"), new Map([["user.k", new Uint8Array([1])]]));
  a.disk.write(path("d/f"), "text");
  a.disk.chmod(path("d"), 0o750);
  a.disk.tick(3_000_000_000n);
  using refused = refuse(a, "EIO", "d");
  await a.sync();
  const head = (await world.bucket.head()).commit.cid;
  // It is looked at in each pass, and is no news in the next.
  await a.sync();
  expect((await world.bucket.head()).commit.cid).toBe(head);
  expect((await bucketTree(world.bucket)).get("d/f")).toBe("text");
  refused[Symbol.dispose]();
  await settle(world);
  b.disk.chmod(path("d"), 0o700);
  await settle(world);
  const names = [a, b].map(async ({ disk }) => Array.from((await disk.xattrs(path("d"))).keys()));
  expect(await Promise.all(names)).toEqual([["user.k"], ["user.k"]]);
});

test("a flush reports that an unreadable file is not published", async () => {
  const { a } = await twoFolders();
  a.disk.write(path("f"), "text");
  using _refused = refuse(a, "EACCES", "f");
  const report = reportOf([await a.sync()]);
  expect(syncFlush({ report, error: undefined, scansOnly: undefined, waiting: false })).toMatchObject({
    published: false,
    pending: { files: 1 },
  });
});

test("a filesystem mounted inside the folder receives nothing, and everything else still syncs", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("sub"));
  for (const name of ["gone", "stays"]) a.disk.write(path(name), "old");
  await settle(world);
  const { rename, placeAll } = b.disk;
  const check = (to: readonly string[]) => {
    if (to[0] === "sub") throw Object.assign(new Error("EXDEV"), { code: "EXDEV" });
  };
  b.disk.rename = async (from, to, how) => {
    check(to);
    return rename.call(b.disk, from, to, how);
  };
  b.disk.placeAll = undefined;
  a.disk.write(path("sub/inner"), "1");
  a.disk.remove(path("gone"));
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("stays"), "newer");
  await a.sync();
  expect(left(await b.sync())).toEqual([["sub/inner", "in the way"]]);
  expect(Object.fromEntries(b.disk.tree())).toEqual({ sub: "dir", stays: "newer" });
  Object.assign(b.disk, { rename, placeAll });
  await settle(world);
  expect(b.disk.tree()).toEqual(a.disk.tree());
});

test.each(["EACCES", "EIO", "ENOTCONN"])(
  "what the system tells nothing of stays as it is, and everything beside it syncs both ways (%s)",
  async (code) => {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("d"));
    for (const name of ["d/f", "gone", "g", "edited"]) a.disk.write(path(name), name);
    await settle(world);
    for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
    for (const name of ["d/f", "edited"]) b.disk.write(path(name), "of b");
    b.disk.remove(path("gone"));
    await b.sync();
    const { list, look } = a.disk;
    const hidden = ["d", "g", "gone", "strange"];
    a.disk.write(path("strange"), "unknown");
    const disk: SyncDisk = a.disk;
    disk.list = async (at) => {
      const entries = await list.call(a.disk, at);
      return entries.map(({ name, stat }) => ({
        name,
        stat: hidden.includes([...at, name].join("/")) ? UNKNOWN : stat,
      }));
    };
    a.disk.look = async (at) => {
      if (hidden.includes(at[0] ?? "")) throw Object.assign(new Error(code), { code });
      return look.call(a.disk, at);
    };
    a.disk.write(path("mine"), "of a");
    const pass = await a.sync();
    expect(pass.local.map(({ action, object }) => `${action} ${object.found[0]?.path.join("/")}`)).toEqual([
      "added mine",
    ]);
    expect(pass.notSynced.unreadable.map((at) => at.join("/")).sort()).toEqual(hidden);
    expect(a.disk.tree().get("edited")).toBe("of b");
    expect((await bucketTree(world.bucket)).get("g")).toBe("g");
    expect(left(await a.sync())).toEqual(left(pass));
    Object.assign(a.disk, { list, look });
    await settle(world);
    expect(Object.fromEntries(b.disk.tree())).toEqual({
      d: "dir",
      "d/f": "of b",
      g: "g",
      edited: "of b",
      strange: "unknown",
      mine: "of a",
    });
    expect(a.disk.tree()).toEqual(b.disk.tree());
  },
);

test.each(["EACCES", "EIO", "ENOTCONN"])(
  "what others change in a directory that is shut waits, and no pass fails on it (%s)",
  async (code) => {
    const { world, a, b } = await twoFolders();
    for (const name of ["d", "d/.git"]) a.disk.make(path(name));
    for (const name of ["d/f", "d/x.db", "d/.git/HEAD", "d/linked", "d/moved"]) a.disk.write(path(name), "old");
    await a.disk.link(path("d/linked"), path("linked"));
    await settle(world);
    using shutting = shut(a, code, "d");
    b.disk.move(path("d/moved"), path("moved"));
    for (const round of [1, 2]) {
      for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
      for (const name of ["d/f", "d/x.db", "d/x.db-wal", "d/.git/HEAD", "d/.git/index"])
        b.disk.write(path(name), `of b ${round}`);
      await b.disk.link(path("linked"), path(`linked ${round}`));
      await b.sync();
      a.disk.write(path(`mine ${round}`), "of a");
      await a.sync();
      await a.sync();
      expect(a.disk.tree().get(`linked ${round}`)).toBe("old");
      expect((await bucketTree(world.bucket)).get(`mine ${round}`)).toBe("of a");
    }
    expect(a.disk.tree().get("d/f")).toBe("old");
    shutting[Symbol.dispose]();
    await settle(world);
    expect(a.disk.tree().get("d/x.db-wal")).toBe("of b 2");
    expect(a.disk.tree()).toEqual(b.disk.tree());
  },
);

test("a save over one name of a linked file leaves the name as it is that cannot be seen", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  a.disk.write(path("d/linked"), "old");
  await a.disk.link(path("d/linked"), path("linked"));
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.save(path("linked"), "saved");
  const shutting = shut(a, "EACCES", "d");
  await a.sync();
  await b.sync();
  shutting[Symbol.dispose]();
  await settle(world);
  const tree = { d: "dir", "d/linked": "old", linked: "saved" };
  for (const { disk } of [a, b]) expect(Object.fromEntries(disk.tree())).toEqual(tree);
});

test.each(["with", "without"])(
  "what is written at one name of a file comes to one that was shut (on a disk %s links)",
  async (links) => {
    const { world, a, b } = await twoFolders();
    if (links === "without")
      b.disk.link = () => Promise.reject(Object.assign(new Error("ENOTSUP"), { code: "ENOTSUP" }));
    a.disk.make(path("d"));
    a.disk.write(path("f"), "old");
    await a.disk.link(path("f"), path("d/f"));
    await settle(world);
    b.disk.tick(3_000_000_000n);
    const shutting = shut(b, "EACCES", "d");
    b.disk.write(path("f"), "of b");
    await b.sync();
    await b.sync();
    shutting[Symbol.dispose]();
    expect(Object.fromEntries(await settledTree(world))).toEqual({ d: "dir", "d/f": "of b", f: "of b" });
  },
);

test("a repository that both changed stays whole on both sides while a directory in it is shut", async () => {
  const { world, a, b } = await twoFolders();
  for (const name of [".git", ".git/objects"]) a.disk.make(path(name));
  for (const name of [".git/HEAD", ".git/objects/1"]) a.disk.write(path(name), "old");
  await settle(world);
  using shutting = shut(a, "EACCES", ".git/objects");
  b.disk.tick(3_000_000_000n);
  b.disk.write(path(".git/objects/1"), "of b");
  await b.sync();
  await a.sync();
  a.disk.tick(3_000_000_000n);
  a.disk.write(path(".git/HEAD"), "of a");
  await a.sync();
  await a.sync();
  shutting[Symbol.dispose]();
  await settle(world);
  const tree = await bucketTree(world.bucket);
  const heads = [...tree]
    .filter(([name]) => name.endsWith("HEAD"))
    .map(([name, text]) => [text, tree.get(name.replace("HEAD", "objects/1"))]);
  expect(heads.sort()).toEqual([
    ["of a", "old"],
    ["old", "of b"],
  ]);
});

test.each(["", "N/new"])(
  "a directory that is made with the id of one that is out of reach stays (with '%s')",
  async (file) => {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("N"));
    await settle(world);
    a.disk.move(path("N"), path("d"));
    await settle(world);
    const shutting = shut(b, "ENOTCONN", "d");
    a.disk.remove(path("d"));
    await a.sync();
    await b.sync();
    b.disk.make(path("N"));
    if (file !== "") b.disk.write(path(file), "new");
    await b.sync();
    await b.sync();
    const tree = { N: "dir", ...(file !== "" && { [file]: "new" }) };
    expect(Object.fromEntries(b.disk.tree())).toEqual({ ...tree, d: "dir" });
    shutting[Symbol.dispose]();
    expect(Object.fromEntries(await settledTree(world))).toEqual(tree);
  },
);

test("what is at a place stays until that can come which others moved there from a directory that is out of reach", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  for (const name of ["d/f", "f"]) a.disk.write(path(name), name);
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  const shutting = shut(b, "ENOTCONN", "d");
  a.disk.remove(path("f"));
  a.disk.move(path("d/f"), path("f"), "free");
  await a.sync();
  await b.sync();
  await b.sync();
  expect(b.disk.tree().get("f")).toBe("f");
  shutting[Symbol.dispose]();
  expect(Object.fromEntries(await settledTree(world))).toEqual({ d: "dir", f: "d/f" });
});

/** Others' changes in a directory and into it, and how it is shut then. */
const KILLED_IN: [string, string, (b: SyncedFolder) => void][] = [
  ["moves a file into", "EACCES", ({ disk }) => disk.move(path("f"), path("d/f"), "free")],
  ["moves a file out of", "ENOTCONN", ({ disk }) => disk.move(path("d/moved"), path("moved"), "free")],
  ["swaps two files in", "ENOTCONN", ({ disk }) => disk.move(path("d/moved"), path("d/edited"), "exchange")],
  ["replaces a file that is saved meanwhile in", "EACCES", ({ disk }) => disk.write(path("d/edited"), "of b")],
];

test.each(KILLED_IN)(
  "after a killed pass that %s a directory, no pass fails on it if it is shut (%s)",
  async (_, code, act) => {
    let isKilled = true;
    for (let change = 0; isKilled; change++) {
      const { world, a, b } = await twoFolders();
      a.disk.make(path("d"));
      for (const name of ["f", "d/moved", "d/edited"]) a.disk.write(path(name), "old");
      await settle(world);
      for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
      act(b);
      await b.sync();
      const saves = beforeExchange(a, () => a.disk.save(path("d/edited"), "saved"));
      isKilled = await killed(a, change);
      saves[Symbol.dispose]();
      const shutting = shut(a, code, "d");
      a.disk.write(path("mine"), "of a");
      await a.sync();
      await a.sync();
      expect((await bucketTree(world.bucket)).get("mine")).toBe("of a");
      shutting[Symbol.dispose]();
      const whole = await settledTree(world);
      expect([...whole.values()].includes("saved")).toBe(saves.isDone());
    }
  },
);

test("a file that a killed pass parked is published when it is written under another name, even if its place is shut", async () => {
  let isKilled = true;
  for (let change = 0; isKilled; change++) {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("s"));
    for (const name of ["s/f", "s/x"]) a.disk.write(path(name), "old");
    await a.disk.link(path("s/f"), path("g"));
    await settle(world);
    for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
    b.disk.move(path("s/f"), path("s/x"), "exchange");
    await b.sync();
    isKilled = await killed(a, change);
    const shutting = shut(a, "ENOTCONN", "s");
    a.disk.write(path("g"), "of a");
    await a.sync();
    expect((await bucketTree(world.bucket)).get("g")).toBe("of a");
    shutting[Symbol.dispose]();
    expect((await settledTree(world)).get("s/x")).toBe("of a");
  }
});

/** Runs once, right before a file takes another one's place. */
function beforeExchange({ disk }: SyncedFolder, act: () => void): Disposable & { readonly isDone: () => boolean } {
  const { rename } = disk;
  let isDone = false;
  disk.rename = async (from, to, how) => {
    if (how === "exchange" && !isDone) {
      isDone = true;
      disk.tick();
      act();
    }
    return rename.call(disk, from, to, how);
  };
  return { isDone: () => isDone, [Symbol.dispose]: () => void (disk.rename = rename) };
}
