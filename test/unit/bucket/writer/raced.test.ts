/** What others publish between a command's first look at the root and its swap is kept, whatever the command does there. */
import { expect, test } from "vitest";
import { type BucketWriter, openWriter, type Path } from "../../../../src/bucket/writer.ts";
import type { VerifiedCommit } from "../../../../src/bucket/verified-commit.ts";
import { sourceOfBytes } from "../../../../src/bucket/writer/file-source.ts";
import { name } from "../../../support/epochs.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { createBucket, newWriter, pathsOf } from "../../../support/test-bucket.ts";

const ATTRIBUTES = { mode: 0o644, uid: 1, gid: 1 };
const path = (text: string): Path => text.split("/").map(name);
const put = (writer: BucketWriter, file: string, text: string) =>
  writer.putFile(path(file), sourceOfBytes(Buffer.from(text)), ATTRIBUTES);

type Work = (writer: BucketWriter, old: VerifiedCommit) => Promise<unknown>;

/**
 * The files at the end, where `theirs` was published just before the command's first swap, so that this one fails. Before,
 * both files in d were written twice: `old`, then `new`.
 */
async function filesAfter(command: Work, theirs: Work): Promise<Record<string, string>> {
  const remote = new MemoryRemote();
  const bucket = await createBucket(remote);
  const [ours, others] = [await newWriter(bucket, 2), await newWriter(bucket, 3)];
  let epoch = 0;
  const byOthers = async (work: (writer: BucketWriter) => Promise<unknown>) => {
    await using writer = await openWriter(others, ++epoch);
    await work(writer);
    expect((await writer.publish()).kind).toBe("published");
    return (await bucket.head()).commit;
  };
  const write = (text: string) =>
    byOthers(async (writer) => {
      for (const file of ["a", "b"]) await put(writer, `d/${file}.bin`, `${text} ${file}`);
    });
  const old = await write("old");
  await write("new");
  await using writer = await openWriter(ours, 1);
  await command(writer, old);
  remote.beforeSwap = async () => {
    remote.beforeSwap = async () => {};
    await byOthers((other) => theirs(other, old));
  };
  expect((await writer.publish()).kind).toBe("published");
  expect(epoch).toBe(3);
  const all = Object.entries(await pathsOf(bucket, (await bucket.head()).commit.body.tree));
  const plain = ([file, text]: [string, string]) => [file.replace(/conflict [0-9a-f]{8}/, "conflict"), text];
  return Object.fromEntries(all.filter(([, text]) => text !== "dir").map(plain));
}

const remove: Work = (writer) => writer.remove(path("d"));
const restore: Work = (writer, old) => writer.restore(path("d"), old);
const moveDirectory: Work = (writer) => writer.move(path("d"), path("e"));
const moveFile: Work = (writer) => writer.move(path("d/a.bin"), path("d/c.bin"));
const replace: Work = (writer) => writer.move(path("d/a.bin"), path("d/b.bin"));
const overwrite: Work = (writer) => put(writer, "d/a.bin", "ours");

const edit: Work = (writer) => put(writer, "d/a.bin", "theirs");
const add: Work = (writer) => put(writer, "d/n/new.bin", "theirs");
const create: Work = (writer) => put(writer, "d/c.bin", "theirs");
const editTarget: Work = (writer) => put(writer, "d/b.bin", "theirs");
const moveAway: Work = (writer) => writer.move(path("d"), path("f"));
const becomeDirectory: Work = async (writer) => {
  await writer.remove(path("d/a.bin"));
  await put(writer, "d/a.bin/in.bin", "theirs");
};

test.each<[string, string, Work, Work, readonly string[]]>([
  ["rm", "an edit", remove, edit, ["theirs"]],
  ["rm", "a new file", remove, add, ["theirs"]],
  ["rm", "a move of the directory", remove, moveAway, ["new a", "new b"]],
  ["restore", "an edit", restore, edit, ["theirs", "old a", "old b"]],
  ["restore", "a new file", restore, add, ["theirs", "old a", "old b"]],
  ["restore", "a move of the directory", restore, moveAway, ["old a", "old b"]],
  ["restore", "a removal", restore, remove, ["old a", "old b"]],
  ["restore", "a directory at a file's name", restore, becomeDirectory, ["theirs", "old a", "old b"]],
  ["mv of a directory", "an edit", moveDirectory, edit, ["theirs", "new b"]],
  ["mv of a directory", "a new file", moveDirectory, add, ["theirs", "new a", "new b"]],
  ["mv of a directory", "another move", moveDirectory, moveAway, ["new a", "new b"]],
  ["mv of a file", "a file at the new name", moveFile, create, ["theirs", "new a", "new b"]],
  ["mv of a file", "an edit", moveFile, edit, ["theirs", "new b"]],
  ["mv of a file", "a move of the directory", moveFile, moveAway, ["new a", "new b"]],
  ["mv over a file", "an edit of that file", replace, editTarget, ["theirs", "new a"]],
  ["mv over a file", "an edit of the moved one", replace, edit, ["theirs", "new a"]],
  ["put", "an edit", overwrite, edit, ["theirs", "ours", "new b"]],
  ["put", "a removal", overwrite, remove, ["ours"]],
  ["put", "a move of the directory", overwrite, moveAway, ["ours", "new b"]],
  ["put", "a directory at the name", overwrite, becomeDirectory, ["theirs", "ours", "new b"]],
])("%s beside %s: everything that nobody removed is there", async (_, _what, command, theirs, texts) => {
  const files = await filesAfter(command, theirs);
  expect(Object.values(files).sort(), JSON.stringify(files)).toEqual([...texts].sort());
});
