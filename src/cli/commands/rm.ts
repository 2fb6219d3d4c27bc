/** `syncline rm`: removes paths from a bucket, without a mount. */
import { SynclineError } from "../../base/errors.ts";
import type { BucketWriter } from "../../bucket/writer.ts";
import { isADirectoryError, noSuchPath, notADirectory } from "../../bucket/writer/path-errors.ts";
import { releaseMemory } from "../../runtime/memory.ts";
import { type Call, command } from "../command.ts";
import { BUCKET_OPTIONS, type BucketOption, writingAccess } from "../master-access.ts";
import { noteOf, printPath } from "../terminal/text.ts";
import { type BucketPath, locateInOne } from "./bucket-path.ts";
import { openWriterFor } from "./bucket-writer.ts";
import { noteConflicts, noteElsewhere } from "./conflict-report.ts";
import type { PublishedPortions } from "./portion-writer.ts";
import { Removal } from "./removal.ts";

export const register = command({
  name: "rm",
  arguments: [["<urls...>", "bucket/path, all in one bucket"]],
  summary: "remove files, or with -r directories, from a bucket",
  options: ["recursive", ...BUCKET_OPTIONS],
  examples: ["syncline rm -r file:///srv/bucket/photos file:///srv/bucket/old"],
  exits: [4, 5, 6, 8],
  run: remove,
});

async function remove(call: Call<"recursive" | BucketOption>): Promise<void> {
  const { args, options, output } = call;
  const paths = await locateInOne(call, args, writingAccess(call));
  await using session = await openWriterFor(call, paths[0].address);
  for (const path of paths) await check(session.writer, path, options.recursive === true);
  const note = noteOf(`rm ${paths.map(({ names }) => printPath(names)).join(" ")}`);
  using progress = output.progress("rm");
  const removing = (files: number) => progress.update({ files });
  await using removal = await Removal.begin({ session, note, removing, release: releaseMemory });
  const { root, conflicts, figures } = await removeAll(call, removal, paths);
  progress[Symbol.dispose]();
  const { removed, kept, moved } = removal;
  for (const path of kept) noteElsewhere(output, path, path);
  for (const { path, now } of moved) noteElsewhere(output, path, now);
  noteConflicts(output, conflicts);
  const value = { root: root.commit, version: root.version, removed, ...figures, conflicts };
  const isAll = kept.length + moved.length === 0;
  output.result(value, `Removed ${isAll ? "" : "at most "}${removed}: root ${root.commit}`);
}

/** Call for all paths before removing any. Throws if the path cannot be removed. */
async function check(writer: BucketWriter, { names, directory }: BucketPath, recursive: boolean): Promise<void> {
  if (names.length === 0) throw new SynclineError("usage", "The root directory cannot be removed.");
  const record = await writer.record(names);
  if (record === undefined) throw noSuchPath(names);
  if (record.type === "directory" && !recursive)
    throw isADirectoryError(names, "With -r it is removed, with everything in it.");
  if (record.type !== "directory" && directory) throw notADirectory(names);
}

async function removeAll({ output }: Call, removal: Removal, paths: readonly BucketPath[]): Promise<PublishedPortions> {
  try {
    for (const { names } of paths) await removal.remove(names);
    return await removal.finish();
  } catch (error) {
    if (removal.published > 0)
      output.notice(`${removal.published} were removed before this failed. Run the command again for the rest.`);
    throw error;
  }
}
