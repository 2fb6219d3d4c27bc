/** `syncline mv`: moves a path within a bucket, without a mount. */
import { requirePublished } from "../../agent/command-writer.ts";
import { SynclineError } from "../../base/errors.ts";
import type { BucketWriter, Path } from "../../bucket/writer.ts";
import { Elsewhere } from "../../bucket/writer/elsewhere.ts";
import { isADirectoryError, notADirectory } from "../../bucket/writer/path-errors.ts";
import { type Call, command } from "../command.ts";
import { BUCKET_OPTIONS, type BucketOption, writingAccess } from "../master-access.ts";
import { noteOf, printPath } from "../terminal/text.ts";
import { type BucketPath, locateInOne } from "./bucket-path.ts";
import { openWriterFor } from "./bucket-writer.ts";
import { noteConflicts, noteElsewhere } from "./conflict-report.ts";

export const register = command({
  name: "mv",
  arguments: [
    ["<url>", "bucket/path"],
    ["<to>", "bucket/path in the same bucket: a new name, or a directory"],
  ],
  summary: "move or rename a file or directory in a bucket",
  options: BUCKET_OPTIONS,
  examples: [
    "syncline mv file:///srv/bucket/notes.txt file:///srv/bucket/ideas.txt",
    "syncline mv file:///srv/bucket/photos file:///srv/bucket/2026/",
  ],
  exits: [4, 5, 6, 8],
  run: move,
});

async function move(call: Call<BucketOption>): Promise<void> {
  const { args, output } = call;
  const [from, given] = await locateInOne(call, args, writingAccess(call));
  if (given === undefined) throw new SynclineError("usage", "Give the new place too.");
  await using session = await openWriterFor(call, from.address);
  const { bucket, writer } = session;
  const to = await targetOf(writer, from, given);
  await check(writer, from.names, to);
  await writer.move(from.names, to);
  const [old, now] = [printPath(from.names), printPath(to)];
  const { root, conflicts, figures } = requirePublished(await writer.publish(noteOf(`mv ${old} ${now}`)));
  const elsewhere = await new Elsewhere(bucket, writer.base, root.commit).ofMoved(from.names, to);
  noteElsewhere(output, from.names, elsewhere);
  noteConflicts(output, conflicts.length);
  const value = { root: root.commit, version: root.version, ...figures, conflicts: conflicts.length };
  const done = elsewhere === undefined ? `Moved ${old} to ${now}` : "Published";
  output.result(value, `${done}: root ${root.commit}`);
}

/** If the new place is a directory, or ends in a slash, the object goes into it under its own name. */
async function targetOf(writer: BucketWriter, from: BucketPath, { names, directory }: BucketPath): Promise<Path> {
  const there = (await writer.record(names))?.type;
  if (directory && there !== undefined && there !== "directory") throw notADirectory(names);
  return directory || there === "directory" ? [...names, ...from.names.slice(-1)] : names;
}

/** The rules of rename(2), except that a directory is never replaced. */
async function check(writer: BucketWriter, from: Path, to: Path): Promise<void> {
  if (from.every((name, depth) => name === to[depth]))
    throw new SynclineError("usage", `${printPath(from)} cannot be moved to itself, or into itself.`);
  const [moved, there] = [await writer.record(from), await writer.record(to)];
  if (moved === undefined || there === undefined) return;
  if (there.type === "directory") throw isADirectoryError(to, "Remove or move it first.");
  if (moved.type === "directory") throw notADirectory(to);
}
