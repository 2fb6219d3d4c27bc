/** How much a directory of a bucket holds. */
import { expect, test } from "vitest";
import { resolvePath } from "../../../../src/fstree/fs-reader.ts";
import { publishEpoch } from "../../../../src/bucket/publish.ts";
import { countBelow } from "../../../../src/cli/commands/count-below.ts";
import { epochOf, name } from "../../../support/epochs.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { createBucket, newWriter, nodesOf } from "../../../support/test-bucket.ts";

test("a directory counts all files below it, each once, and no others", async () => {
  const bucket = await createBucket(new MemoryRemote());
  const { commit } = await bucket.head();
  const bytes = (length: number) => Buffer.alloc(length, 1);
  const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, 1, [
    { ino: 2, names: [[1, "d"]], type: "directory" },
    { ino: 3, names: [[2, "below"]], type: "directory" },
    { ino: 4, names: [[3, "large"]], bytes: bytes(300_000) },
    { ino: 5, names: [[2, "small"]], bytes: bytes(10) },
    {
      ino: 6,
      names: [
        [2, "one"],
        [3, "two"],
        [1, "outside"],
      ],
      bytes: bytes(1000),
    },
    { ino: 7, names: [[1, "beside"]], bytes: bytes(5000) },
  ]);
  const published = await publishEpoch(await newWriter(bucket, 2), changes, data);
  expect(published.kind).toBe("published");
  const { tree } = (await bucket.head()).commit.body;
  const nodes = nodesOf(bucket);
  const directory = await resolvePath(nodes, tree, [name("d")]);
  if (directory === undefined) throw new Error("There is no directory.");
  expect(await countBelow(nodes, tree, directory.id)).toEqual({ files: 3, bytes: 301_010 });
});
