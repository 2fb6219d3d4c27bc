/** Copying a directory into a bucket: one commit, or portions of it. */
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { FileName } from "../../../../src/base/ids.ts";
import { resolvePath } from "../../../../src/fstree/fs-reader.ts";
import { isGap, log } from "../../../../src/bucket/history.ts";
import { pathHistory } from "../../../../src/bucket/path-history.ts";
import { openWriter } from "../../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../../src/bucket/writer/file-source.ts";
import { CopyIn } from "../../../../src/cli/commands/copy-in.ts";
import { openRealDisk } from "../../../../src/sync/disk/real-disk.ts";
import type { SyncDisk } from "../../../../src/sync/disk/disk.ts";
import { noise } from "../../../support/bytes.ts";
import { name } from "../../../support/epochs.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { createBucket, newWriter, nodesOf, pathsOf } from "../../../support/test-bucket.ts";

const TARGET = [name("tree")];

async function world(things: number) {
  const bucket = await createBucket(new MemoryRemote());
  const context = await newWriter(bucket, 2);
  const source = await temporaryFolder();
  const spool = join(await temporaryFolder(), "spool");
  let epoch = 0;
  const another = () => openWriter(context, ++epoch);
  /** `alter` may change how the disk reads; `between` runs between two portions. */
  const put = async (alter = (disk: SyncDisk): SyncDisk => disk, between = async () => {}) => {
    const next = async () => {
      await between();
      return another();
    };
    const session = { bucket, writer: await another(), another: next };
    const disk = async (path: string) =>
      alter(await openRealDisk(path, { allXattrs: false, setModified: async () => {}, unlocks: false }));
    await using copy = new CopyIn({
      session,
      openDisk: disk,
      spoolPath: () => spool,
      note: "put",
      moved: () => {},
      portion: { things, bytes: 1 << 30 },
    });
    await copy.copy(source, TARGET, true);
    const published = await copy.publish();
    return { ...published, files: copy.files, bytes: copy.bytes, unsteady: copy.unsteady, vanished: copy.vanished };
  };
  /** Paths in each commit, oldest first. */
  const states = async () => {
    const states: string[][] = [];
    const { commit } = await bucket.head();
    for await (const { body } of log(bucket, commit)) states.unshift(Object.keys(await pathsOf(bucket, body.tree)));
    return states;
  };
  const write = (path: string, bytes: string | Uint8Array = path) => {
    mkdirSync(join(source, path, ".."), { recursive: true });
    writeFileSync(join(source, path), bytes);
  };
  const record = async (path: string) => {
    const { tree } = (await bucket.head()).commit.body;
    const names = path === "" ? [] : path.split("/").map(name);
    return (await resolvePath(nodesOf(bucket), tree, [...TARGET, ...names]))?.record;
  };
  return { bucket, source, put, states, write, record };
}

const files = (states: readonly string[]) => states.filter((path) => path.endsWith(".txt")).sort();

test("files that fit into one portion make one commit", async () => {
  const { put, states, write } = await world(10);
  for (let each = 0; each < 6; each++) write(`d/${each}.txt`);
  await put();
  const all = await states();
  expect(files(all.at(-1) ?? [])).toHaveLength(6);
  expect(files(all.at(-2) ?? [])).toHaveLength(0);
});

test("more files come in portions: each commit adds to the one before, and a directory's files stay together", async () => {
  const { put, states, write } = await world(7);
  for (const directory of ["a", "b", "c"]) for (let each = 0; each < 4; each++) write(`${directory}/${each}.txt`);
  await put();
  const counts = (await states()).map((state) => files(state).length);
  expect(counts.slice(-3)).toEqual([4, 8, 12]);
});

test("a directory with more files than a portion is split", async () => {
  const { put, states, write } = await world(4);
  for (let each = 0; each < 10; each++) write(`d/${each}.txt`);
  await put();
  const all = (await states()).map((state) => files(state).length);
  expect(all.at(-1)).toBe(10);
  expect(all.length).toBeGreaterThan(3);
});

test("a git repository comes in one portion, however large it is", async () => {
  const { put, states, write } = await world(4);
  write("first.txt");
  for (let each = 0; each < 10; each++) write(`r/.git/objects/${each}.txt`);
  await put();
  for (const state of await states())
    expect([0, 10]).toContain(state.filter((path) => path.includes("objects/")).length);
});

test("an interrupted run is completed by the next one, which sends nothing twice", async () => {
  const { put, states, write, record } = await world(8);
  for (const [at, directory] of ["a", "b", "c", "d"].entries())
    for (let each = 0; each < 6; each++) write(`${directory}/${each}.txt`, noise(20_000, 6 * at + each));
  let listed = 0;
  const dying = (disk: SyncDisk): SyncDisk => {
    const list = disk.list.bind(disk);
    return Object.assign(disk, {
      list: (path: readonly FileName[]) => (++listed > 3 ? Promise.reject(new RangeError("killed")) : list(path)),
    });
  };
  await expect(put(dying)).rejects.toMatchObject({ code: "local_io_failed" });
  const before = (await states()).at(-1) ?? [];
  const there = files(before);
  expect(there.length).toBeGreaterThan(0);
  expect(there.length).toBeLessThan(24);
  const [first = ""] = there;
  const kept = await record(first.slice("tree/".length));
  const { figures } = await put();
  expect(files((await states()).at(-1) ?? [])).toHaveLength(24);
  expect(await record(first.slice("tree/".length))).toEqual(kept);
  // What is left, and the tree's nodes.
  expect(figures.uploadedBytes).toBeLessThan((24 - there.length) * 20_000 + 20_000);
});

test("putting the same files again makes no commit", async () => {
  const { put, states, write, source } = await world(100);
  write("d/a.txt");
  symlinkSync("a.txt", join(source, "d", "link"));
  await put();
  const before = await states();
  await put();
  expect(await states()).toEqual(before);
});

test("changed bytes with the same length and time are sent", async () => {
  const { bucket, put, write, source, record } = await world(100);
  write("a.txt", "one");
  const { atime, mtime } = statSync(join(source, "a.txt"));
  await put();
  const before = await record("a.txt");
  write("a.txt", "two");
  utimesSync(join(source, "a.txt"), atime, mtime);
  await put();
  utimesSync(join(source, "a.txt"), atime, mtime);
  await put();
  const after = await record("a.txt");
  expect(after?.content).not.toEqual(before?.content);
  expect(after?.ctimeNs).not.toBe(before?.ctimeNs);
  expect((await bucket.head()).commit.body.seq).toBeGreaterThan(2);
});

test("hard links across portions stay links to one file", async () => {
  const { bucket, put, write, source } = await world(3);
  for (const directory of ["a", "b", "c"]) for (let each = 0; each < 2; each++) write(`${directory}/${each}.txt`);
  linkSync(join(source, "a", "0.txt"), join(source, "c", "same.txt"));
  await put();
  const { tree } = (await bucket.head()).commit.body;
  const at = (path: string) => resolvePath(nodesOf(bucket), tree, [...TARGET, ...path.split("/").map(name)]);
  const [one, other] = [await at("a/0.txt"), await at("c/same.txt")];
  expect(one?.id).toBe(other?.id);
  expect(one?.names).toHaveLength(2);
});

const CHANGES = ["replaced", "removed"];

test.each(CHANGES)("a hard link has the source's bytes if others have %s its first name meanwhile", async (what) => {
  const { bucket, put, write, source, record } = await world(3);
  for (const directory of ["a", "b", "c"]) for (let each = 0; each < 2; each++) write(`${directory}/${each}.txt`);
  linkSync(join(source, "a", "0.txt"), join(source, "c", "same.txt"));
  const others = await newWriter(bucket, 3);
  let first = "";
  const between = async () => {
    if (first !== "") return;
    // Disks list directories in any order.
    for (const path of ["a/0.txt", "c/same.txt"]) if ((await record(path)) !== undefined) first = path;
    if (first === "") return;
    const names = [...TARGET, ...first.split("/").map(name)];
    const writer = await openWriter(others, 1);
    if (what === "removed") await writer.remove(names);
    else await writer.putFile(names, sourceOfBytes(Buffer.from("of others")), { mode: 0o644, uid: 0, gid: 0 });
    await writer.publish();
  };
  await put(undefined, between);
  const { tree } = (await bucket.head()).commit.body;
  const { [`tree/${first}`]: there, ...rest } = await pathsOf(bucket, tree);
  expect(there).toBe(what === "removed" ? undefined : "of others");
  expect(rest[first === "a/0.txt" ? "tree/c/same.txt" : "tree/a/0.txt"]).toBe("a/0.txt");
});

test("if others move a directory between two portions, later hard links still go to its old path", async () => {
  const { bucket, put, write, source } = await world(3);
  write("0.txt");
  mkdirSync(join(source, "d"));
  for (let each = 1; each < 7; each++) linkSync(join(source, "0.txt"), join(source, "d", `${each}.txt`));
  const others = await newWriter(bucket, 3);
  let isMoved = false;
  const between = async () => {
    await using writer = await openWriter(others, 1);
    if (isMoved || (await writer.record([...TARGET, name("d")])) === undefined) return;
    await writer.move([...TARGET, name("d")], [...TARGET, name("moved")]);
    await writer.publish();
    isMoved = true;
  };
  await put(undefined, between);
  const paths = Object.entries(await pathsOf(bucket, (await bucket.head()).commit.body.tree));
  const linked = paths.filter(([path]) => /^tree\/(d|moved)\/[1-6]\.txt$/.test(path));
  expect([isMoved, linked.length, linked.filter(([, text]) => text !== "0.txt")]).toEqual([true, 6, []]);
});

test("what others write between two portions and a later one replaces stays in the history of its path", async () => {
  const { bucket, put, write } = await world(3);
  for (const directory of ["a", "b", "c"]) for (let each = 0; each < 2; each++) write(`${directory}/${each}.txt`);
  const others = await newWriter(bucket, 3);
  let last = "";
  const between = async () => {
    await using writer = await openWriter(others, 1);
    if (last !== "") return;
    for (const path of ["a", "b", "c"]) if ((await writer.record([...TARGET, name(path)])) === undefined) last = path;
    const file = [...TARGET, name(last), name("0.txt")];
    await writer.putFile(file, sourceOfBytes(Buffer.from("of others")), { mode: 0o644, uid: 0, gid: 0 });
    await writer.publish();
  };
  await put(undefined, between);
  const head = (await bucket.head()).commit;
  const texts: (string | undefined)[] = [];
  const path = [...TARGET, name(last), name("0.txt")];
  for await (const item of pathHistory(bucket, nodesOf(bucket), head, path))
    if (!isGap(item)) texts.push((await pathsOf(bucket, item.commit.body.tree))[`tree/${last}/0.txt`]);
  expect(texts).toEqual([`${last}/0.txt`, "of others"]);
});

test("an unreadable source file fails a one-commit copy and leaves the bucket unchanged", async () => {
  const { put, states, write } = await world(100);
  write("d/a.txt", noise(100, 1));
  const before = await states();
  const damaged = (disk: SyncDisk): SyncDisk =>
    Object.assign(disk, {
      readAll: undefined,
      read: () => Promise.reject(Object.assign(new Error("EIO"), { code: "EIO" })),
    });
  await expect(put(damaged)).rejects.toMatchObject({ code: "local_io_failed", message: expect.stringMatching(/d\/a/) });
  expect(await states()).toEqual(before);
});

test("a directory replaced by a symlink during the copy is not followed", async () => {
  const { put, write, source } = await world(100);
  const outside = await temporaryFolder();
  writeFileSync(join(outside, "a.txt"), "outside");
  write("d/a.txt", "inside");
  const swapping = (disk: SyncDisk): SyncDisk => {
    const list = disk.list.bind(disk);
    return Object.assign(disk, {
      list: async (path: readonly FileName[]) => {
        const entries = await list(path);
        if (path.length === 1) {
          rmSync(join(source, "d"), { recursive: true });
          symlinkSync(outside, join(source, "d"));
        }
        return entries;
      },
    });
  };
  await expect(put(swapping)).rejects.toMatchObject({ code: "local_io_failed" });
  expect(readFileSync(join(source, "d", "a.txt"), "utf8")).toBe("outside");
});

/** Runs `change` once the directory with this many names above it was listed. */
function afterListing(depth: number, change: () => void) {
  return (disk: SyncDisk): SyncDisk => {
    const list = disk.list.bind(disk);
    return Object.assign(disk, {
      list: async (path: readonly FileName[]) => {
        const entries = await list(path);
        if (path.length === depth) change();
        return entries;
      },
    });
  };
}

/** Runs `change` after each piece that is read of a large file. */
function whileReading(change: (piece: number) => void) {
  return (disk: SyncDisk): SyncDisk => {
    const read = disk.read.bind(disk);
    let piece = 0;
    return Object.assign(disk, {
      read: async (path: readonly FileName[]) => {
        const file = await read(path);
        const readOn = file.read.bind(file);
        return Object.assign(file, {
          read: async (offset: number, length: number) => {
            const bytes = await readOn(offset, length);
            change(piece++);
            return bytes;
          },
        });
      },
    });
  };
}

test.each([
  ["as long as before", "one", "two"],
  ["longer", "one", "longer than before"],
  ["shorter", "one", "2"],
  ["no longer empty", "", "full"],
  ["empty", "one", ""],
])("a file that is %s when it is read has the attributes of its new bytes", async (_, before, after) => {
  const { bucket, put, write, source, record } = await world(100);
  write("a.txt", before);
  const { unsteady, bytes } = await put(
    afterListing(0, () => {
      write("new", after);
      chmodSync(join(source, "new"), 0o600);
      utimesSync(join(source, "new"), 5, 5);
      renameSync(join(source, "new"), join(source, "a.txt"));
    }),
  );
  expect((await pathsOf(bucket, (await bucket.head()).commit.body.tree))["tree/a.txt"]).toBe(after);
  expect(await record("a.txt")).toMatchObject({ size: after.length, mode: 0o600, mtimeNs: 5_000_000_000n });
  expect(unsteady).toEqual([]);
  expect(bytes).toBe(after.length);
});

/** A filesystem that tells a wrong size of all files. */
function telling(size: number): (disk: SyncDisk) => SyncDisk {
  return (disk) => {
    const [read, look, list] = [disk.read.bind(disk), disk.look.bind(disk), disk.list.bind(disk)];
    const wrong = <Stat extends { readonly type: string }>(stat: Stat): Stat =>
      stat.type === "file" ? { ...stat, size } : stat;
    return Object.assign(disk, {
      read: async (path: readonly FileName[]) => {
        const file = await read(path);
        const stat = file.stat.bind(file);
        return Object.assign(file, { stat: async () => wrong(await stat()) });
      },
      look: async (path: readonly FileName[]) => {
        const stat = await look(path);
        return stat && wrong(stat);
      },
      list: async (path: readonly FileName[]) =>
        (await list(path)).map(({ name: each, stat }) => ({ name: each, stat: wrong(stat) })),
    });
  };
}

test.each([
  [0, 9_000_000],
  [4096, 4000],
  [10_000_000, 9_000_000],
])("a file is whole although its filesystem says that it has %i bytes: %i", async (size, length) => {
  const { bucket, put, write, record } = await world(100);
  const long = "a".repeat(length);
  write("short.txt");
  write("empty.txt", "");
  write("long.txt", long);
  const { unsteady, bytes } = await put(telling(size));
  const paths = await pathsOf(bucket, (await bucket.head()).commit.body.tree);
  expect([paths["tree/short.txt"], paths["tree/empty.txt"]]).toEqual(["short.txt", ""]);
  expect(paths["tree/long.txt"] === long).toBe(true);
  expect((await record("short.txt"))?.size).toBe("short.txt".length);
  expect([unsteady, bytes]).toEqual([[], length + "short.txt".length]);
});

test("a file that is rewritten while it is being read is read again", async () => {
  const { bucket, put, write, source, record } = await world(100);
  const size = 3_000_000;
  write("a.bin", "a".repeat(size));
  const changed = whileReading((piece) => {
    if (piece === 1) write("a.bin", "b".repeat(size));
    if (piece === 3) write("a.bin", "c".repeat(2_000_000));
  });
  const { unsteady } = await put(changed);
  const paths = await pathsOf(bucket, (await bucket.head()).commit.body.tree);
  expect(paths["tree/a.bin"] === "c".repeat(2_000_000)).toBe(true);
  expect((await record("a.bin"))?.mtimeNs).toBe(statSync(join(source, "a.bin"), { bigint: true }).mtimeNs);
  expect(unsteady).toEqual([]);
});

test("what is removed before it is read is left out: a file, a link, a directory", async () => {
  const { bucket, put, write, source } = await world(100);
  for (const path of ["kept.txt", "gone.txt", "below/1.txt", "below/2.txt"]) write(path);
  symlinkSync("kept.txt", join(source, "link"));
  mkdirSync(join(source, "empty"));
  const { vanished, files, bytes } = await put(
    afterListing(0, () => {
      for (const name of ["gone.txt", "link", "below"]) rmSync(join(source, name), { recursive: true });
    }),
  );
  const paths = await pathsOf(bucket, (await bucket.head()).commit.body.tree);
  expect(Object.keys(paths).sort()).toEqual(["tree", "tree/empty", "tree/kept.txt"]);
  expect(vanished.sort()).toEqual(["below", "gone.txt", "link"]);
  expect([files, bytes]).toEqual([1, "kept.txt".length]);
});

test.each(["x.db-wal", ".git/objects/1"])(
  "a part of a unit that is removed before it is read ends the copy: %s",
  async (part) => {
    const { states, put, write, source } = await world(100);
    for (const path of ["x.db", ".git/HEAD", part]) write(path);
    const gone = afterListing(part.split("/").length - 1, () => rmSync(join(source, part), { force: true }));
    await expect(put(gone)).rejects.toMatchObject({ code: "local_io_failed" });
    expect(await states()).toHaveLength(1);
  },
);

test("what is removed before it is read stays in the bucket as it was put before", async () => {
  const { bucket, put, write, source } = await world(100);
  write("gone.txt", "earlier");
  write("kept.txt", "earlier");
  await put();
  write("gone.txt", "later, and longer");
  write("kept.txt", "later, and longer");
  const { vanished } = await put(afterListing(0, () => rmSync(join(source, "gone.txt"))));
  const paths = await pathsOf(bucket, (await bucket.head()).commit.body.tree);
  expect([paths["tree/gone.txt"], paths["tree/kept.txt"]]).toEqual(["earlier", "later, and longer"]);
  expect(vanished).toEqual(["gone.txt"]);
});

test("a file that never stops growing is published as far as it was, and named", async () => {
  const { bucket, put, write, source, record } = await world(100);
  write("d/a.log", "line\n".repeat(200_000));
  write("d/b.txt");
  const { unsteady, bytes } = await put(whileReading(() => appendFileSync(join(source, "d", "a.log"), "line\n")));
  const text = (await pathsOf(bucket, (await bucket.head()).commit.body.tree))["tree/d/a.log"] ?? "";
  expect(text).toMatch(/^(line\n)+$/);
  expect((await record("d/a.log"))?.size).toBe(text.length);
  expect(text.length).toBeGreaterThan(1_000_000);
  expect(unsteady).toEqual(["d/a.log"]);
  expect(bytes).toBe(text.length + "d/b.txt".length);
});
