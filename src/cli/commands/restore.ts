/** `syncline restore`: brings a path back to what it was in an older root, as a new commit; history is unchanged. */
import { requirePublished } from "../../agent/command-writer.ts";
import { Elsewhere } from "../../bucket/writer/elsewhere.ts";
import { findCommit } from "../../bucket/find-commit.ts";
import { openWriterFor } from "./bucket-writer.ts";
import { noteConflicts, noteElsewhere } from "./conflict-report.ts";
import { type Call, command } from "../command.ts";
import { BUCKET_OPTIONS, type BucketOption } from "../master-access.ts";
import { flushFirst, locateToWrite, showAtMount } from "./target-path.ts";
import { noteOf, printPath } from "../terminal/text.ts";

export const register = command({
  name: "restore",
  arguments: [["<path>", "a path below a mount, or bucket/path"]],
  summary: "restore an old state of a path, as a new commit",
  options: ["at", ...BUCKET_OPTIONS],
  required: ["at"],
  examples: [
    "syncline restore ~/bucket/photos --at 2026-01-31T12:00:00Z",
    "syncline restore file:///srv/bucket/notes.txt --at bafyr4i…",
  ],
  exits: [3, 4, 5, 6, 8],
  run: restore,
});

async function restore(call: Call<"at" | BucketOption>): Promise<void> {
  const { args, options, output } = call;
  const path = await locateToWrite(call, args[0] ?? "");
  await flushFirst(path, call.runtime);
  await using session = await openWriterFor(call, path.address);
  const { bucket, writer } = session;
  const current = await bucket.head();
  const from = await findCommit(bucket, current.commit, options.at ?? "", call.runtime.clock);
  const { restored, removed } = await writer.restore(path.names, from);
  const note = noteOf(`restore ${printPath(path.names)} from ${from.cid}`);
  const { root, conflicts, figures } = requirePublished(await writer.publish(note));
  const elsewhere = new Elsewhere(bucket, writer.base, root.commit);
  await showAtMount(path, call.runtime);
  noteElsewhere(output, path.names, await elsewhere.of(path.names, path.names));
  noteConflicts(output, conflicts.length);
  const value = {
    root: root.commit,
    version: root.version,
    from: from.cid,
    restored,
    removed,
    ...figures,
    conflicts: conflicts.length,
  };
  output.result(value, `Restored ${restored}, removed ${removed}: root ${root.commit}`);
}
