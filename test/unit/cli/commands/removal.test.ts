/** Removing many paths of a bucket: one commit, or portions of it, beside others' changes. */
import { expect, test } from "vitest";
import { type BucketWriter, openWriter, type Path } from "../../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../../src/bucket/writer/file-source.ts";
import { Removal } from "../../../../src/cli/commands/removal.ts";
import { name } from "../../../support/epochs.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { createBucket, newWriter, pathsOf } from "../../../support/test-bucket.ts";

const ATTRIBUTES = { mode: 0o644, uid: 1, gid: 1 };
const path = (text: string): Path => text.split("/").map(name);

async function world(...files: readonly string[]) {
  const bucket = await createBucket(new MemoryRemote());
  const [context, others] = [await newWriter(bucket, 2), await newWriter(bucket, 3)];
  let [epoch, otherEpoch] = [0, 0];
  const another = () => openWriter(context, ++epoch);
  const byOthers = async (work: (writer: BucketWriter) => Promise<unknown>) => {
    await using writer = await openWriter(others, ++otherEpoch);
    await work(writer);
    expect((await writer.publish()).kind).toBe("published");
  };
  const put = (writer: BucketWriter, file: string) =>
    writer.putFile(path(file), sourceOfBytes(Buffer.from(file)), ATTRIBUTES);
  await byOthers(async (writer) => {
    for (const file of files) await put(writer, file);
  });
  const paths = async () => Object.keys(await pathsOf(bucket, (await bucket.head()).commit.body.tree));
  const commits = async () => (await bucket.head()).commit.body.seq;
  type Meanwhile = () => Promise<void>;
  const remove = async (target: string, portion: number, removing?: Meanwhile, publishing?: Meanwhile) => {
    const writer = await another();
    const removal = await Removal.begin({ session: { bucket, writer, another }, note: "rm", portion });
    await removing?.();
    await removal.remove(path(target));
    await publishing?.();
    await removal.finish();
    return removal;
  };
  return { byOthers, put, paths, commits, remove };
}

const FILES = ["d/a", "d/b", "d/e/1", "d/e/2", "d/e/3", "d/f/g/h", "kept"];

test("what fits into one portion is one commit", async () => {
  const { paths, commits, remove } = await world(...FILES);
  const before = await commits();
  expect(await remove("d", 100)).toMatchObject({ removed: 10, published: 10, kept: [] });
  expect([await paths(), (await commits()) - before]).toEqual([["kept"], 1]);
});

test("more goes in portions", async () => {
  const { paths, commits, remove } = await world(...FILES);
  const before = await commits();
  expect(await remove("d", 3)).toMatchObject({ removed: 10, published: 10 });
  expect(await paths()).toEqual(["kept"]);
  expect((await commits()) - before).toBeGreaterThan(2);
});

test("a repository goes in one portion", async () => {
  const git = Array.from({ length: 10 }, (_, index) => `d/.git/objects/${index}`);
  const { paths, commits, remove } = await world(...git);
  const before = await commits();
  await remove("d", 2);
  // Its directory follows.
  expect([await paths(), (await commits()) - before]).toEqual([[], 1]);
});

test("what others make meanwhile stays, with the directories above it", async () => {
  const { byOthers, put, paths, remove } = await world(...FILES);
  const { kept } = await remove("d", 1, () =>
    byOthers(async (writer) => {
      await put(writer, "d/f/new");
      await writer.putFile(path("d/e/2"), sourceOfBytes(Buffer.from("changed")), ATTRIBUTES);
      await writer.remove(path("d/e/3"));
    }),
  );
  expect(await paths()).toEqual(["d", "d/e", "d/e/2", "d/f", "d/f/new", "kept"]);
  expect(kept.map((each) => each.join("/"))).toEqual(["d/e/2", "d/e", "d/f", "d"]);
});

test("what others change while the only portion is on its way stays, and is named", async () => {
  const { byOthers, put, paths, remove } = await world(...FILES);
  const meanwhile = () =>
    byOthers(async (writer) => {
      await put(writer, "d/f/new");
      await writer.putFile(path("d/e/2"), sourceOfBytes(Buffer.from("changed")), ATTRIBUTES);
    });
  const { kept } = await remove("d", 100, undefined, meanwhile);
  expect(await paths()).toEqual(["d", "d/e", "d/e/2", "d/f", "d/f/new", "kept"]);
  expect(kept.map((each) => each.join("/"))).toEqual(["d"]);
});

test("all names of a file go, in whatever portions", async () => {
  const { byOthers, paths, remove } = await world(...FILES);
  await byOthers(async (writer) => {
    await writer.link(path("d/b2"), path("d/a"));
    await writer.link(path("d/e/4"), path("d/a"));
    await writer.link(path("d/z"), path("kept"));
  });
  expect(await remove("d", 1)).toMatchObject({ removed: 13, kept: [] });
  expect(await paths()).toEqual(["kept"]);
});
