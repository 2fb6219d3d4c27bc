import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import type { Bucket } from "../../../src/bucket/bucket.ts";
import type { VerifiedCommit } from "../../../src/bucket/verified-commit.ts";
import { resolvePath } from "../../../src/fstree/fs-reader.ts";
import { findCommit } from "../../../src/bucket/find-commit.ts";
import { log } from "../../../src/bucket/history.ts";
import { verifyBucket } from "../../../src/bucket/verify.ts";
import type { NewAttributes, Path } from "../../../src/bucket/writer.ts";
import { openWriter } from "../../../src/bucket/writer.ts";
import type { BucketWriter } from "../../../src/bucket/writer.ts";
import { sourceOfBytes, sourceOfFile, sourceOfStream } from "../../../src/bucket/writer/file-source.ts";
import { noise } from "../../support/bytes.ts";
import { name } from "../../support/epochs.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { createBucket, newWriter, nodesOf, pathsOf } from "../../support/test-bucket.ts";
import { dropKept } from "../../support/thinning.ts";
import { Timeline } from "../../../src/simulate/timeline.ts";

const ATTRIBUTES: NewAttributes = { mode: 0o640, uid: 5, gid: 6 };
const path = (text: string): Path => text.split("/").map(name);
const source = (text: string) => sourceOfBytes(Buffer.from(text));

async function world() {
  const remote = new MemoryRemote();
  const bucket = await createBucket(remote);
  const context = await newWriter(bucket, 2);
  let epoch = 0;
  const edit = async (work: (writer: BucketWriter) => Promise<unknown>): Promise<VerifiedCommit> => {
    await using writer = await openWriter(context, ++epoch);
    await work(writer);
    expect((await writer.publish()).kind).toBe("published");
    return head(bucket);
  };
  return { remote, bucket, context, edit };
}

async function head(bucket: Bucket): Promise<VerifiedCommit> {
  const current = await bucket.current();
  if (current === undefined) throw new Error("the bucket has no root");
  return current.commit;
}

async function files(bucket: Bucket) {
  return pathsOf(bucket, (await head(bucket)).body.tree);
}

describe("a writer without a mount", () => {
  test("puts files and creates the directories above them", async () => {
    const { remote, bucket, edit } = await world();
    await edit(async (writer) => {
      await writer.putFile(path("a/b/c.txt"), source("c"), ATTRIBUTES);
      await writer.putFile(path("a/d.txt"), source("d"), ATTRIBUTES);
      await writer.putSymlink(path("link"), "a/d.txt", ATTRIBUTES);
      await writer.makeDirectory(path("empty/one"), { ...ATTRIBUTES, mode: 0o750 });
    });
    expect(await files(bucket)).toEqual({
      a: "dir",
      "a/b": "dir",
      "a/b/c.txt": "c",
      "a/d.txt": "d",
      empty: "dir",
      "empty/one": "dir",
      link: "-> a/d.txt",
    });
    expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
  });

  test("overwrites a file's bytes and keeps its id", async () => {
    const { bucket, edit } = await world();
    const find = async () => resolvePath(nodesOf(bucket), (await head(bucket)).body.tree, path("f"));
    await edit((writer) => writer.putFile(path("f"), source("one"), ATTRIBUTES));
    const before = await find();
    await edit((writer) => writer.putFile(path("f"), source("two, longer"), { ...ATTRIBUTES, mode: 0o600 }));
    const after = await find();
    expect(after?.id).toBe(before?.id);
    expect(after?.record).toMatchObject({ size: 11, mode: 0o600 });
    expect(await files(bucket)).toEqual({ f: "two, longer" });
  });

  test("hard-links a file, also in place of another file", async () => {
    const { remote, bucket, edit } = await world();
    await edit(async (writer) => {
      await writer.putFile(path("d/a"), source("shared"), ATTRIBUTES);
      await writer.putFile(path("d/gone"), source("other"), ATTRIBUTES);
      await writer.link(path("d/gone"), path("d/a"));
      await writer.link(path("b"), path("d/a"));
      await expect(writer.link(path("d"), path("d/a"))).rejects.toMatchObject({ code: "is_a_directory" });
      await expect(writer.link(path("x"), path("nothing"))).rejects.toMatchObject({ code: "no_such_path" });
    });
    expect(await files(bucket)).toEqual({ b: "shared", d: "dir", "d/a": "shared", "d/gone": "shared" });
    const found = await resolvePath(nodesOf(bucket), (await head(bucket)).body.tree, path("b"));
    expect(found?.names).toHaveLength(3);
    await edit((writer) => writer.putFile(path("d/gone"), source("its own"), ATTRIBUTES));
    expect(await files(bucket)).toMatchObject({ b: "shared", "d/a": "shared", "d/gone": "its own" });
    await edit((writer) => writer.link(path("b"), path("d/a")));
    expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
  });

  test("a move over one of a file's names leaves the bytes under its other names", async () => {
    const { bucket, edit } = await world();
    await edit(async (writer) => {
      for (const file of ["a", "b"]) await writer.putFile(path(file), source(file), ATTRIBUTES);
      await writer.link(path("c"), path("b"));
    });
    await edit((writer) => writer.move(path("a"), path("b")));
    expect(await files(bucket)).toEqual({ b: "a", c: "b" });
  });

  test("a file moved over another keeps its own other names", async () => {
    const { bucket, edit } = await world();
    const find = async (text: string) => resolvePath(nodesOf(bucket), (await head(bucket)).body.tree, path(text));
    await edit(async (writer) => {
      for (const file of ["a", "b"]) await writer.putFile(path(file), source(file), ATTRIBUTES);
      await writer.link(path("c"), path("a"));
    });
    await edit((writer) => writer.move(path("a"), path("b")));
    expect(await files(bucket)).toEqual({ b: "a", c: "a" });
    expect((await find("b"))?.id).toBe((await find("c"))?.id);
    await edit((writer) => writer.move(path("c"), path("b")));
    expect(await files(bucket)).toEqual({ b: "a" });
  });

  test("sets a directory's attributes after its entries", async () => {
    const { bucket, edit } = await world();
    await edit(async (writer) => {
      await writer.makeDirectory(path("d"), { ...ATTRIBUTES, mode: 0o500 });
      await writer.putFile(path("d/f"), source("f"), ATTRIBUTES);
      await writer.setAttributes(path("d"), { mode: 0o1500, uid: 7, gid: 8, mtimeNs: 123_456_789n });
      await expect(writer.setAttributes(path("x"), ATTRIBUTES)).rejects.toMatchObject({ code: "no_such_path" });
    });
    const found = await resolvePath(nodesOf(bucket), (await head(bucket)).body.tree, path("d"));
    expect(found?.record).toMatchObject({ mode: 0o1500, uid: 7, gid: 8, mtimeNs: 123_456_789n });
  });

  test("keeps the last of several puts to one path", async () => {
    const { bucket, edit } = await world();
    await edit(async (writer) => {
      await writer.putFile(path("f"), source("one"), ATTRIBUTES);
      await writer.putSymlink(path("f"), "elsewhere", ATTRIBUTES);
      await writer.putFile(path("f"), source("three"), ATTRIBUTES);
    });
    expect(await files(bucket)).toEqual({ f: "three" });
  });

  test("refuses to put a file over a directory, or below a file", async () => {
    const { edit } = await world();
    await edit(async (writer) => {
      await writer.putFile(path("d/f"), source("x"), ATTRIBUTES);
      await expect(writer.putFile(path("d"), source("x"), ATTRIBUTES)).rejects.toMatchObject({
        code: "is_a_directory",
      });
      await expect(writer.putFile(path("d/f/g"), source("x"), ATTRIBUTES)).rejects.toMatchObject({
        code: "not_a_directory",
      });
      await expect(writer.remove(path("d/none"))).rejects.toMatchObject({ code: "no_such_path" });
    });
  });

  test("removes a directory with everything in it", async () => {
    const { remote, bucket, edit } = await world();
    await edit(async (writer) => {
      for (const each of ["d/e/f", "d/g", "h"]) await writer.putFile(path(each), source(each), ATTRIBUTES);
    });
    await edit((writer) => writer.remove(path("d")));
    expect(await files(bucket)).toEqual({ h: "h" });
    expect((await head(bucket)).body.totals).toEqual({ files: 1, directories: 0, bytes: 1 });
    expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
  });

  test("puts streams of any length, and local files", async () => {
    const folder = await mkdtemp(join(tmpdir(), "writer-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const { bucket, edit } = await world();
    const large = noise(9 * 1024 * 1024, 3);
    async function* pieces(bytes: Uint8Array) {
      for (let at = 0; at < bytes.length; at += 1 << 20) yield bytes.subarray(at, at + (1 << 20));
    }
    await edit(async (writer) => {
      await writer.putFile(
        path("short"),
        await sourceOfStream(pieces(Buffer.from("short")), join(folder, "1")),
        ATTRIBUTES,
      );
      await writer.putFile(path("large"), await sourceOfStream(pieces(large), join(folder, "2")), ATTRIBUTES);
      await writer.putFile(path("local"), sourceOfFile(import.meta.filename, 12), ATTRIBUTES);
      expect(await readdir(folder)).toHaveLength(1);
    });
    expect(await readdir(folder)).toEqual([]);
    const found = await resolvePath(nodesOf(bucket), (await head(bucket)).body.tree, path("large"));
    expect(found?.record.size).toBe(large.length);
    expect((await files(bucket))["short"]).toBe("short");
    expect((await files(bucket))["local"]).toBe("import { mkd");
  });
});

describe("restoring", () => {
  test("brings a path back as it was, removes newer entries, and leaves the rest alone", async () => {
    const { remote, bucket, edit } = await world();
    const old = await edit(async (writer) => {
      for (const each of ["d/keep", "d/change", "d/gone", "d/sub/x", "other"])
        await writer.putFile(path(each), source(each), ATTRIBUTES);
    });
    await edit(async (writer) => {
      await writer.putFile(path("d/change"), source("changed"), ATTRIBUTES);
      await writer.remove(path("d/gone"));
      await writer.remove(path("d/sub"));
      await writer.putFile(path("d/sub"), source("a file now"), ATTRIBUTES);
      await writer.putFile(path("d/new"), source("new"), ATTRIBUTES);
      await writer.putFile(path("other"), source("other, changed"), ATTRIBUTES);
    });
    await edit(async (writer) => {
      expect(await writer.restore(path("d"), old)).toEqual({ restored: 5, removed: 2 });
    });
    const found = await files(bucket);
    expect(found).toEqual({
      d: "dir",
      "d/keep": "d/keep",
      "d/change": "d/change",
      "d/gone": "d/gone",
      "d/sub": "dir",
      "d/sub/x": "d/sub/x",
      other: "other, changed",
    });
    expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
  });

  test("fails and changes nothing if the bucket drops the commit meanwhile", async () => {
    const { bucket, context, edit } = await world();
    const old = await edit((writer) => writer.putFile(path("f"), source("old"), ATTRIBUTES));
    await edit((writer) => writer.putFile(path("f"), source("new"), ATTRIBUTES));
    await using writer = await openWriter(context, 9);
    await writer.restore(path("f"), old);
    await dropKept(await newWriter(bucket, 3), [old.body.seq]);
    await expect(writer.publish()).rejects.toMatchObject({ code: "no_such_root" });
    expect(await files(bucket)).toEqual({ f: "new" });
  });

  test("recreates lost parent directories, and can restore everything", async () => {
    const { bucket, edit } = await world();
    const old = await edit((writer) => writer.putFile(path("a/b/f"), source("f"), ATTRIBUTES));
    await edit((writer) => writer.remove(path("a")));
    await edit((writer) => writer.restore(path("a/b/f"), old));
    expect(await files(bucket)).toEqual({ a: "dir", "a/b": "dir", "a/b/f": "f" });
    await edit((writer) => writer.putFile(path("z"), source("z"), ATTRIBUTES));
    await edit((writer) => writer.restore([], old));
    expect(await files(bucket)).toEqual({ a: "dir", "a/b": "dir", "a/b/f": "f" });
    await edit(async (writer) => {
      await expect(writer.restore(path("never"), old)).rejects.toMatchObject({ code: "no_such_path" });
    });
  });

  test("never writes through a hard link to a file outside the restored path", async () => {
    const { remote, bucket, edit } = await world();
    const old = await edit(async (writer) => {
      await writer.putFile(path("work/report"), source("report"), ATTRIBUTES);
      await writer.putFile(path("work/shared"), source("shared"), ATTRIBUTES);
      await writer.putFile(path("keep/master"), source("master"), ATTRIBUTES);
      await writer.link(path("keep/shared"), path("work/shared"));
    });
    await edit(async (writer) => {
      await writer.link(path("work/report"), path("keep/master"));
      await writer.remove(path("keep/shared"));
      await writer.putFile(path("work/shared"), source("shared, edited"), ATTRIBUTES);
      await writer.link(path("keep/shared"), path("work/shared"));
    });
    await edit((writer) => writer.restore(path("work"), old));
    expect(await files(bucket)).toEqual({
      keep: "dir",
      "keep/master": "master",
      "keep/shared": "shared, edited",
      work: "dir",
      "work/report": "report",
      "work/shared": "shared",
    });
    expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
  });

  test.each([
    ["a", "b"],
    ["b", "a"],
  ])("gives files that were linked since their own bytes again: %s became a link of %s", async (link, to) => {
    const { remote, bucket, edit } = await world();
    const old = await edit(async (writer) => {
      await writer.putFile(path("a"), source("this is a"), ATTRIBUTES);
      await writer.putFile(path("b"), source("this is b"), ATTRIBUTES);
    });
    await edit((writer) => writer.link(path(link), path(to)));
    await edit((writer) => writer.restore([], old));
    expect(await files(bucket)).toEqual({ a: "this is a", b: "this is b" });
    expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
  });

  test("a hard-linked file stays the same file if all its names are restored", async () => {
    const { bucket, edit } = await world();
    const find = async () => resolvePath(nodesOf(bucket), (await head(bucket)).body.tree, path("d/sub/b"));
    const old = await edit(async (writer) => {
      await writer.putFile(path("d/sub/a"), source("old"), ATTRIBUTES);
      await writer.link(path("d/sub/b"), path("d/sub/a"));
    });
    const before = await find();
    await edit((writer) => writer.setAttributes(path("d/sub/a"), { ...ATTRIBUTES, mode: 0o600 }));
    await edit((writer) => writer.restore(path("d"), old));
    expect(await find()).toMatchObject({ id: before?.id, record: { mode: 0o640 }, names: [{}, {}] });
    expect(await files(bucket)).toMatchObject({ "d/sub/a": "old", "d/sub/b": "old" });
  });

  test("a hard link that moved out of the restored path keeps its bytes", async () => {
    const { bucket, edit } = await world();
    const old = await edit(async (writer) => {
      await writer.putFile(path("work/sub/a"), source("old"), ATTRIBUTES);
      await writer.putFile(path("work/b"), source("x"), ATTRIBUTES);
      await writer.link(path("work/b"), path("work/sub/a"));
      await writer.makeDirectory(path("keep"), ATTRIBUTES);
    });
    await edit(async (writer) => {
      await writer.move(path("work/sub"), path("keep/sub"));
      await writer.setAttributes(path("work/b"), { ...ATTRIBUTES, mode: 0o600, mtimeNs: 5n });
    });
    await edit((writer) => writer.restore(path("work"), old));
    const at = async (text: string) =>
      (await resolvePath(nodesOf(bucket), (await head(bucket)).body.tree, path(text)))?.record;
    expect(await at("keep/sub/a")).toMatchObject({ mode: 0o600, mtimeNs: 5n });
    expect(await at("work/sub/a")).toMatchObject({ mode: 0o640 });
    expect(await at("work/b")).toMatchObject({ mode: 0o640 });
  });

  test("finds the root by its address or by a time", async () => {
    const { bucket, edit } = await world();
    const first = await edit((writer) => writer.putFile(path("f"), source("1"), ATTRIBUTES));
    const second = await edit((writer) => writer.putFile(path("f"), source("2"), ATTRIBUTES));
    expect((await findCommit(bucket, second, first.cid, systemClock)).cid).toBe(first.cid);
    expect((await findCommit(bucket, second, "2999-01-01T00:00:00Z", systemClock)).cid).toBe(second.cid);
    await expect(findCommit(bucket, second, "1999-01-01T00:00:00Z", systemClock)).rejects.toMatchObject({
      code: "no_such_root",
    });
    await expect(findCommit(bucket, second, "some day", systemClock)).rejects.toMatchObject({ code: "usage" });
    await expect(findCommit(bucket, first, second.cid, systemClock)).rejects.toMatchObject({ code: "no_such_root" });
  });
});

describe("32 writers at the same moment", () => {
  test("all publish within 16 attempts, and history stays linear", async () => {
    const clock = new Timeline();
    const remote = new MemoryRemote();
    const bucket = await createBucket(remote);
    // What a local disk takes for a commit object and for a swap; swaps wait for one another's lock.
    let lock = Promise.resolve();
    remote.beforePrepare = () => clock.sleep(5);
    remote.beforeSwap = () => (lock = lock.then(() => clock.sleep(3)));
    const flushes = 4;
    const attempts: number[] = [];
    const writers = Array.from({ length: 32 }, async (_, index) => {
      const context = { ...(await newWriter(bucket, 100 + index)), clock };
      for (let epoch = 1; epoch <= flushes; epoch++) {
        await using writer = await openWriter(context, epoch);
        await writer.putFile(path(`w${index}-${epoch}`), source(`${index}`), ATTRIBUTES);
        const outcome = await writer.publish();
        expect(outcome.kind).toBe("published");
        attempts.push(outcome.figures.attempts);
      }
    });
    await clock.run(Promise.all(writers));
    expect(Object.keys(await files(bucket))).toHaveLength(32 * flushes);
    const seqs: number[] = [];
    for await (const { body } of log(bucket, await head(bucket))) seqs.push(body.seq);
    expect(seqs).toEqual(Array.from({ length: 32 * flushes + 1 }, (_, index) => 32 * flushes + 1 - index));
    attempts.sort((a, b) => a - b);
    console.log(
      `attempts: median ${attempts[attempts.length >> 1]}, most ${attempts.at(-1)}; ${clock.monotonicMs()} ms`,
    );
    expect(attempts.filter((count) => count > 16)).toEqual([]);
  });
});
