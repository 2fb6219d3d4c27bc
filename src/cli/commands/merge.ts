/** `syncline merge --dry-run`: what merging two roots would do, and why. Only reports: publishing merges by itself. */
import { SynclineError } from "../../base/errors.ts";
import { findCommit } from "../../bucket/find-commit.ts";
import { type Action, previewMerge } from "../../bucket/merge-preview.ts";
import type { Conflict } from "../../fstree/merge/conflict.ts";
import { openReader } from "./bucket-reader.ts";
import { command } from "../command.ts";
import { pathText } from "./conflict-report.ts";
import { BUCKET_OPTIONS, readingAccess } from "../master-access.ts";
import { locateTarget } from "./target-path.ts";
import { printCount, printPath } from "../terminal/text.ts";

export const register = command({
  name: "merge",
  arguments: [
    ["<url|dir>", "a bucket, or where it is mounted"],
    ["<base>", "the common base: a root or a time"],
    ["<x>", "one side, likewise"],
    ["<y>", "the other side"],
  ],
  summary: "with --dry-run: show what a merge of two roots would do and why; writes nothing",
  options: ["dryRun", ...BUCKET_OPTIONS],
  examples: ["syncline merge --dry-run file:///srv/bucket bafyr4i… bafyr4j… bafyr4k…"],
  exits: [4, 5, 6, 8],
  async run(call) {
    const { args, options, output, runtime } = call;
    if (options.dryRun !== true) {
      throw new SynclineError("usage", "merge works only with --dry-run.", {
        hint: "Publishing merges automatically; `syncline restore` brings back an old state.",
      });
    }
    const [given = "", ...roots] = args;
    const { address } = await locateTarget(call, given, readingAccess(call));
    await using reader = await openReader(call, address, undefined);
    const { bucket, commit } = reader;
    const [base = commit, x = commit, y = commit] = await Promise.all(
      roots.map((root) => findCommit(bucket, commit, root, runtime.clock)),
    );
    const { tree, winner, paths, complete, conflicts } = await previewMerge(bucket, base, x, y);
    const value = {
      base: base.cid,
      x: x.cid,
      y: y.cid,
      winner,
      tree,
      paths: paths.map((each) => ({ ...each, path: pathText(each.path) })),
      complete,
      conflicts: conflicts.map(conflictValue),
    };
    const lines = [
      `${winner} wins; the tree would be ${tree}`,
      ...paths.map(({ path, merged, rule, ...did }) => {
        return `${LETTERS[merged]} ${printPath(path)}  (x ${did.x}, y ${did.y}: ${rule})`;
      }),
      ...(complete ? [] : ["There are more paths than these."]),
      ...conflicts.map(conflictText),
      `${printCount(paths.length, "path")}, ${printCount(conflicts.length, "conflict")}`,
    ];
    output.result(value, lines.join("\n"));
  },
});

const LETTERS: Readonly<Record<Action, string>> = { added: "+", changed: "~", removed: "-", nothing: "=" };

function conflictValue({ kind, rule, names, writer, epoch }: Conflict) {
  return { kind, rule, kept: pathText(names.kept), other: pathText(names.other), writer, epoch };
}

function conflictText({ kind, rule, names }: Conflict): string {
  const [kept, other] = [printPath(names.kept), printPath(names.other)];
  if (kind === "copy") return `copy: ${other} is the loser's version of ${kept} (${rule})`;
  if (kind === "displaced") return `displaced: ${other} lost to ${kept} (${rule})`;
  return `dropped move: ${kept} stays in place instead of moving to ${other} (${rule})`;
}
