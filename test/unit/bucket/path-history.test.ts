import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { nameFromText, nameToText } from "../../../src/base/names.ts";
import { isGap } from "../../../src/bucket/history.ts";
import { pathHistory } from "../../../src/bucket/path-history.ts";
import { openWriter, type BucketWriter } from "../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../src/bucket/writer/file-source.ts";
import { NodeStore } from "../../../src/tree/node-store.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { createBucket, newWriter } from "../../support/test-bucket.ts";

const ATTRIBUTES = { mode: 0o644, uid: 0, gid: 0 };
const path = (text: string) => text.split("/").map(nameFromText);

async function world() {
  const bucket = await createBucket(new MemoryRemote());
  const context = await newWriter(bucket, 2);
  const nodes = new NodeStore(bucket.blocks, { capacityBytes: 1 << 20 });
  let epoch = 0;
  return {
    async edit(edit: (writer: BucketWriter) => Promise<unknown>) {
      await using writer = await openWriter({ ...context, clock: systemClock }, ++epoch);
      await edit(writer);
      expect((await writer.publish()).kind).toBe("published");
    },
    put: (name: string, text: string) => (writer: BucketWriter) =>
      writer.putFile(path(name), sourceOfBytes(Buffer.from(text)), ATTRIBUTES),
    async history(name: string) {
      const { commit } = await bucket.head();
      const lines: string[] = [];
      for await (const change of pathHistory(bucket, nodes, commit, path(name))) {
        if (isGap(change)) throw new Error("nothing is lost here");
        const from = change.from === undefined ? "" : ` from ${change.from.map(nameToText).join("/")}`;
        lines.push(
          `${change.commit.body.seq} ${change.kind}${from} ${change.path.map(nameToText).join("/")} ${change.record?.size ?? "-"}`,
        );
      }
      return lines;
    },
  };
}

test("a file's history has exactly the commits that created, changed, moved, removed or replaced it", async () => {
  const { edit, put, history } = await world();
  await edit(put("a", "1"));
  await edit(put("b", "other"));
  await edit(put("a", "12"));
  await edit((writer) => writer.move(path("a"), path("c")));
  await edit(put("c", "123"));
  expect(await history("c")).toEqual(["6 changed c 3", "5 moved from a c 2", "4 changed a 2", "2 created a 1"]);
  await edit((writer) => writer.remove(path("c")));
  await edit(put("c", "new"));
  expect((await history("c")).slice(0, 3)).toEqual(["8 created c 3", "7 removed c -", "6 changed c 3"]);
  expect(await history("never")).toEqual([]);
});

test("the history of a path goes on with what a renamed file replaced there", async () => {
  const { edit, put, history } = await world();
  const save = async (text: string) => {
    await edit(put("f.tmp", text));
    await edit(async (writer) => {
      await writer.remove(path("f"));
      await writer.move(path("f.tmp"), path("f"));
    });
  };
  await edit(put("f", "1"));
  await edit(put("f", "12"));
  await save("123");
  await save("1234");
  expect(await history("f")).toEqual([
    "7 moved from f.tmp f 4",
    "6 created f.tmp 4",
    "5 moved from f.tmp f 3",
    "4 created f.tmp 3",
    "3 changed f 2",
    "2 created f 1",
  ]);
});

test("the history of a path that was exchanged with another has both files", async () => {
  const { edit, put, history } = await world();
  await edit(put("a", "1"));
  await edit(put("b", "22"));
  const exchange = () =>
    edit(async (writer) => {
      await writer.move(path("a"), path("c"));
      await writer.move(path("b"), path("a"));
      await writer.move(path("c"), path("b"));
    });
  await exchange();
  await exchange();
  expect(await history("a")).toEqual([
    "5 moved from b a 1",
    "4 moved from a b 1",
    "4 moved from b a 2",
    "3 created b 2",
    "2 created a 1",
  ]);
});

test("the history of a path goes on where a directory above it had another name", async () => {
  const { edit, put, history } = await world();
  await edit(put("z/f", "1"));
  await edit(put("z/f", "12"));
  await edit((writer) => writer.move(path("z"), path("a")));
  await edit(put("a/f", "123"));
  expect(await history("a/f")).toEqual([
    "5 changed a/f 3",
    "4 moved from z/f a/f 2",
    "3 changed z/f 2",
    "2 created z/f 1",
  ]);
  await edit((writer) => writer.move(path("a/f"), path("f")));
  await edit(put("b/c/d", "other"));
  await edit((writer) => writer.move(path("f"), path("b/c/f")));
  await edit((writer) => writer.move(path("b"), path("z")));
  expect((await history("z/c/f")).slice(0, 4)).toEqual([
    "9 moved from b/c/f z/c/f 3",
    "8 moved from f b/c/f 3",
    "6 moved from a/f f 3",
    "5 changed a/f 3",
  ]);
  expect(await history("z/c")).toEqual(["9 moved from b/c z/c 0", "8 changed b/c 0", "7 created b/c 0"]);
});

test("a renamed directory that replaced another leads to the files of both", async () => {
  const { edit, put, history } = await world();
  await edit(put("a/f", "1"));
  await edit(put("z/f", "22"));
  await edit(async (writer) => {
    await writer.remove(path("a"));
    await writer.move(path("z"), path("a"));
  });
  expect(await history("a/f")).toEqual(["4 moved from z/f a/f 2", "3 created z/f 2", "2 created a/f 1"]);
});

test("a hard link is a new name of a file, and no move while the old name is left", async () => {
  const { edit, put, history } = await world();
  await edit(put("a", "1"));
  await edit((writer) => writer.link(path("c"), path("a")));
  await edit((writer) => writer.link(path("d"), path("a")));
  expect(await history("c")).toEqual(["3 created c 1"]);
  expect(await history("d")).toEqual(["4 created d 1"]);
  expect(await history("a")).toEqual(["2 created a 1"]);
  await edit(async (writer) => {
    await writer.link(path("e"), path("a"));
    await writer.remove(path("a"));
  });
  expect(await history("e")).toEqual(["5 moved from a e 1", "2 created a 1"]);
});
