/** Copying from a hostile bucket, and to disks that cannot hold all of it. */
import { chmodSync, chownSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import { ROOT_ID } from "../../../../src/base/ids.ts";
import { type BucketWriter, openWriter } from "../../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../../src/bucket/writer/file-source.ts";
import { ChunkCache } from "../../../../src/content/chunk-cache.ts";
import { readObject } from "../../../../src/fstree/fs-reader.ts";
import type { TreeObject } from "../../../../src/fstree/fs-reader.ts";
import type { BucketReader } from "../../../../src/cli/commands/bucket-reader.ts";
import { CopyOut } from "../../../../src/cli/commands/copy-out.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { selfKey } from "../../../../src/format/files/keys.ts";
import { encodeSelf } from "../../../../src/format/files/rows.ts";
import type { DiskPath, Placed, SyncDisk } from "../../../../src/sync/disk/disk.ts";
import { openRealDisk } from "../../../../src/sync/disk/real-disk.ts";
import { buildTree } from "../../../../src/tree/edit.ts";
import { createTreeConfig } from "../../../../src/tree/boundary.ts";
import { NodeStore } from "../../../../src/tree/node-store.ts";
import { BlockMap } from "../../../support/block-map.ts";
import { cyclicRows } from "../../../support/cyclic-rows.ts";
import { name, recordOf } from "../../../support/epochs.ts";
import { folding } from "../../../support/folding-disk.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { createBucket, newWriter, nodesOf } from "../../../support/test-bucket.ts";

test("a directory that lies in itself is copied once and reported as an error", async () => {
  const noLink = () => expect.unreachable();
  const whole = { kind: "directory", record: recordOf("directory"), place: undefined, subdirs: 1 } as const;
  const rows = [{ key: selfKey(ROOT_ID), ...encodeSelf(whole, noLink) }, ...cyclicRows()];
  const blocks = new BlockMap();
  const nodes = new NodeStore(blocks, { capacityBytes: 1 << 20 });
  const tree = await buildTree(nodes, blocks, createTreeConfig({ salt: new Uint8Array(32), targetBytes: 1024 }), rows);
  const reader = { nodes, tree } as unknown as BucketReader;
  const folder = await temporaryFolder();
  const disk = await openRealDisk(folder, { allXattrs: false, setModified: async () => {}, unlocks: false });
  const copy = new CopyOut({ reader, disk, runtime: createFakeRuntime({}), special: false, moved: () => {} });
  const root = (await readObject(nodes, tree, ROOT_ID)) as TreeObject;
  await expect(copy.copy(root, name("copy"))).rejects.toMatchObject({ code: "format_invalid" });
  expect(readdirSync(join(folder, "copy", "d"))).toEqual([]);
});

/** A bucket with these files, and how it is copied to a disk that `alter` changes. */
async function world(fill: (writer: BucketWriter) => Promise<void>) {
  const bucket = await createBucket(new MemoryRemote());
  await using writer = await openWriter(await newWriter(bucket, 2), 1);
  await fill(writer);
  await writer.publish();
  const { tree } = (await bucket.head()).commit.body;
  const nodes = nodesOf(bucket);
  const content = new ChunkCache(bucket.blocks, { capacityBytes: 1 << 20 });
  const folder = await temporaryFolder();
  const copyTo = async (alter: (disk: SyncDisk) => SyncDisk) => {
    const disk = alter(await openRealDisk(folder, { allXattrs: false, setModified: async () => {}, unlocks: false }));
    const reader = { bucket, nodes, tree, content };
    const copy = new CopyOut({ reader, disk, runtime: createFakeRuntime({}), special: false, moved: () => {} });
    const root = (await readObject(nodes, tree, ROOT_ID)) as TreeObject;
    await copy.copy(root, name("copy"));
    return copy;
  };
  /** Paths of files below the copy, and what they hold. */
  const copied = () => {
    const below = readdirSync(join(folder, "copy"), { recursive: true, withFileTypes: true });
    const files = below.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name));
    return Object.fromEntries(files.map((at) => [relative(join(folder, "copy"), at), readFileSync(at, "utf8")]));
  };
  return { copyTo, copied, folder, content };
}

const at = (text: string) => text.split("/").map(name);
const put = (writer: BucketWriter, path: string, text = path) =>
  writer.putFile(at(path), sourceOfBytes(Buffer.from(text)), { mode: 0o644, uid: 0, gid: 0 });

/** The paths that each error names. */
const namedBy = (copy: CopyOut) =>
  copy.left.errors().map(({ message }) =>
    message
      .slice(message.lastIndexOf(": ") + 2, -1)
      .split(", ")
      .toSorted(),
  );

const portable = (disk: SyncDisk) => Object.assign(disk, { placeAll: undefined, createAll: undefined });
const ways: [string, (disk: SyncDisk) => SyncDisk][] = [
  ["one by one", portable],
  ["many at once", (disk) => disk],
];

const NOBODY = 65_534;

test.runIf(process.geteuid?.() === 0).each(ways)(
  "a directory that its owner may not write in is copied again, with what came since: %s",
  async (_, way) => {
    const attributes = { mode: 0o555, uid: NOBODY, gid: NOBODY };
    const { copyTo, copied, folder } = await world(async (writer) => {
      await writer.makeDirectory(at("d"), attributes);
      await writer.makeDirectory(at("d/e"), attributes);
      for (const each of ["d/1", "d/e/2"]) await put(writer, each);
    });
    chmodSync(join(folder, ".."), 0o755);
    chownSync(folder, NOBODY, NOBODY);
    process.seteuid?.(NOBODY);
    try {
      await copyTo(way);
      for (const each of ["copy/d", "copy/d/e"]) chmodSync(join(folder, each), 0o755);
      rmSync(join(folder, "copy/d/1"));
      for (const each of ["copy/d", "copy/d/e"]) chmodSync(join(folder, each), 0o555);
      const { left } = await copyTo(way);
      expect(left.errors()).toEqual([]);
      expect(copied()).toEqual({ "d/1": "d/1", "d/e/2": "d/e/2" });
      for (const each of ["copy/d", "copy/d/e"]) expect(statSync(join(folder, each)).mode & 0o777).toBe(0o555);
    } finally {
      process.seteuid?.(0);
    }
  },
);

test.each(ways)(
  "on a disk without case the first of several names is kept, and the others are counted: %s",
  async (_, way) => {
    const { copyTo, copied } = await world(async (writer) => {
      for (const each of ["1", "README", "Readme", "readme", "Docs/a", "docs/b", "other"]) await put(writer, each);
      await put(writer, "OTHER/in");
    });
    for (let run = 0; run < 2; run++) {
      const copy = await copyTo((disk) => folding((text) => text.toLowerCase())(way(disk)));
      expect(copied()).toEqual({ "1": "1", readme: "README", "docs/a": "Docs/a", other: "other" });
      expect(namedBy(copy)).toEqual([["copy/OTHER", "copy/Readme", "copy/docs", "copy/readme"]]);
      expect([copy.files, copy.left.count("collides")]).toEqual([4, 4]);
    }
  },
);

test.each(ways)("on a disk that takes Unicode forms for one the first is kept: %s", async (_, way) => {
  const { copyTo, copied } = await world(async (writer) => {
    for (const each of ["caf\u00e9", "cafe\u0301", "plain"]) await put(writer, each);
  });
  const copy = await copyTo((disk) => folding((text) => text.normalize("NFC"))(way(disk)));
  expect(copied()).toEqual({ "caf\u00e9": "cafe\u0301", plain: "plain" });
  expect(copy.left.count("collides")).toBe(1);
});

test("on a disk that tells names apart, all are copied, also over those of an earlier copy", async () => {
  const { copyTo, copied } = await world(async (writer) => {
    for (const each of ["README", "readme", "d/x", "D/x"]) await put(writer, each);
  });
  for (let run = 0; run < 2; run++) expect(namedBy(await copyTo((disk) => disk))).toEqual([]);
  expect(copied()).toEqual({ README: "README", readme: "readme", "d/x": "d/x", "D/x": "D/x" });
});

test("hard links whose names differ only in case do not make a disk one without case", async () => {
  const { copyTo, copied } = await world(async (writer) => {
    await put(writer, "A", "linked");
    await writer.link(at("a"), at("A"));
    for (const each of ["X", "x"]) await put(writer, each);
  });
  for (let run = 0; run < 2; run++) expect(namedBy(await copyTo((disk) => disk))).toEqual([]);
  expect(copied()).toEqual({ A: "linked", a: "linked", X: "X", x: "x" });
});

test.each(["EPERM", "ENOTSUP", "EMLINK"])("where a hard link fails with %s, its names become files", async (code) => {
  const { copyTo, copied, folder } = await world(async (writer) => {
    await put(writer, "a/one", "same");
    await writer.makeDirectory(at("b"), { mode: 0o755, uid: 0, gid: 0 });
    for (const each of ["a/two", "b/three"]) await writer.link(at(each), at("a/one"));
    await put(writer, "b/other");
  });
  const copy = await copyTo((disk) => Object.assign(disk, { link: () => Promise.reject(failure(code)) }));
  expect(copied()).toEqual({ "a/one": "same", "a/two": "same", "b/three": "same", "b/other": "b/other" });
  expect(copy).toMatchObject({ unlinked: 2, files: 4 });
  expect(readdirSync(join(folder, "copy", "b")).toSorted()).toEqual(["other", "three"]);
});

/** Refuses paths of more than three names. */
function shallow(disk: SyncDisk): SyncDisk {
  return new Proxy(portable(disk), {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      return async (...call: unknown[]) => {
        if (call.some((each) => Array.isArray(each) && typeof each[3] === "string")) throw failure("ENAMETOOLONG");
        return (value as (...args: unknown[]) => unknown).apply(target, call);
      };
    },
  });
}

test("paths that are too long for the disk are left out, and the rest is copied", async () => {
  const { copyTo, copied } = await world(async (writer) => {
    for (const each of ["a", "d/e/f/g/h", "d/e/i", "d/j", "z/k"]) await put(writer, each);
    await writer.link(at("d/e/linked"), at("a"));
  });
  const copy = await copyTo(shallow);
  expect(copied()).toEqual({ a: "a", "d/j": "d/j", "z/k": "z/k" });
  expect(namedBy(copy)).toEqual([["copy/d/e/f", "copy/d/e/i", "copy/d/e/linked"]]);
});

test("a hard link whose first name collides is a file", async () => {
  const { copyTo, copied } = await world(async (writer) => {
    for (const each of ["A", "a"]) await put(writer, each);
    await writer.link(at("z"), at("a"));
  });
  await copyTo(folding((text) => text.toLowerCase()));
  expect(copied()).toEqual({ a: "A", z: "a" });
});

const failure = (code: string) => Object.assign(new Error(code), { code });

/** A disk without symlinks, and with short names only. */
function narrow(disk: SyncDisk): SyncDisk {
  const { rename, makeDirectory, placeAll } = disk;
  const isLong = (path: DiskPath) => path.some((each) => each.length >= LONG.length);
  const check = (path: DiskPath) => {
    if (isLong(path)) throw failure("EINVAL");
  };
  return Object.assign(disk, {
    makeSymlink: () => Promise.reject(failure("EPERM")),
    makeDirectory: async (path: DiskPath) => (check(path), makeDirectory.call(disk, path)),
    rename: async (...call: Parameters<typeof rename>) => (check(call[1]), rename.apply(disk, call)),
    placeAll:
      placeAll &&
      (async (directory: DiskPath, files: readonly Placed[]) => {
        const end = files.findIndex(({ to }) => isLong(to));
        return placeAll.call(disk, directory, end < 0 ? files : files.slice(0, end));
      }),
  });
}
const LONG = "x".repeat(100);

test.each(ways)("what a disk cannot hold is left out, and everything else copied: %s", async (_, way) => {
  const { copyTo, copied, folder } = await world(async (writer) => {
    for (const each of ["a", LONG, `d/${LONG}`, "d/z", `${LONG}-directory/in`, "y", "z"]) await put(writer, each);
    await writer.link(at(`${LONG}-link`), at("a"));
    await writer.putSymlink(at("d/link"), "z", { mode: 0o777, uid: 0, gid: 0 });
  });
  for (let run = 0; run < 2; run++) {
    const copy = await copyTo((disk) => narrow(way(disk)));
    expect(copied()).toEqual({ a: "a", "d/z": "d/z", y: "y", z: "z" });
    expect([copy.files, copy.left.count("not held")]).toEqual([4, 5]);
    expect(copy.left.errors()).toMatchObject([
      { code: "local_io_failed", message: expect.stringContaining("copy/d/link") },
    ]);
    expect(readdirSync(join(folder, "copy")).toSorted()).toEqual(["a", "d", "y", "z"]);
  }
});

test.each(ways)("files whose blocks the bucket lost or damaged are left out: %s", async (_, way) => {
  const { copyTo, copied, content } = await world(async (writer) => {
    for (const each of ["a", "lost", "d/damaged", "d/b"]) await put(writer, each, each.padEnd(5_000, "."));
  });
  const { load } = content;
  const chunkOf = (text: string) => cidOf("raw", Buffer.from(text.padEnd(5_000, ".")));
  const bad = new Map([
    [chunkOf("lost"), "block_not_found"],
    [chunkOf("d/damaged"), "block_corrupt"],
  ] as const);
  content.load = async (cids, needed) => {
    for (const cid of cids.slice(0, needed)) {
      const code = bad.get(cid);
      if (code !== undefined) throw new SynclineError(code, "It cannot be read.");
    }
    return load.call(content, cids, needed);
  };
  const copy = await copyTo(way);
  expect(Object.keys(copied()).toSorted()).toEqual(["a", "d/b"]);
  expect(copy.left.errors()).toMatchObject([{ code: "block_not_found" }]);
  expect(namedBy(copy)).toEqual([["copy/d/damaged", "copy/lost"]]);
});
