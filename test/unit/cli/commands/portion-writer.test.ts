/** Portions of one command: one commit each, with the sums over all. */
import { expect, test } from "vitest";
import { type BucketWriter, openWriter } from "../../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../../src/bucket/writer/file-source.ts";
import { PortionWriter } from "../../../../src/cli/commands/portion-writer.ts";
import { name } from "../../../support/epochs.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { createBucket, newWriter, pathsOf } from "../../../support/test-bucket.ts";

const put = (writer: BucketWriter, file: string, text = file) =>
  writer.putFile([name(file)], sourceOfBytes(Buffer.from(text)), { mode: 0o644, uid: 1, gid: 1 });

async function world() {
  const bucket = await createBucket(new MemoryRemote());
  const [context, others] = [await newWriter(bucket, 2), await newWriter(bucket, 3)];
  let epoch = 0;
  const another = () => openWriter(context, ++epoch);
  const released: number[] = [];
  const release = () => released.push(epoch);
  const session = { bucket, writer: await another(), another };
  const byOthers = async (file: string, text: string) => {
    await using writer = await openWriter(others, 1);
    await put(writer, file, text);
    expect((await writer.publish()).kind).toBe("published");
  };
  return { bucket, released, byOthers, portions: new PortionWriter({ session, note: "test", release }) };
}

test("each portion is one commit on what others have published before it", async () => {
  const { bucket, byOthers, released, portions } = await world();
  await put(portions.writer, "a");
  await portions.publish();
  await byOthers("b", "b");
  await portions.next();
  expect(await portions.writer.record([name("b")])).toBeDefined();
  await put(portions.writer, "c");
  const { root } = await portions.publish();
  const { commit } = await bucket.head();
  expect(commit).toMatchObject({ cid: root.commit, body: { seq: 4, note: "test" } });
  expect(Object.keys(await pathsOf(bucket, commit.body.tree))).toEqual(["a", "b", "c"]);
  // Only the portion before has ended.
  expect(released).toEqual([1]);
});

test("conflicts and figures add up over the portions", async () => {
  const { byOthers, portions } = await world();
  await put(portions.writer, "a", "mine");
  await byOthers("a", "theirs");
  const first = await portions.publish();
  await portions.next();
  await put(portions.writer, "b");
  const both = await portions.publish();
  expect([first.conflicts, both.conflicts]).toEqual([1, 1]);
  expect(both.figures.attempts).toBe(first.figures.attempts + 1);
  expect(both.figures.uploadedBytes).toBeGreaterThan(first.figures.uploadedBytes);
});
