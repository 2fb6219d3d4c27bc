/**
 * `syncline conflicts list | show | diff | resolve`: versions that lost the conflict in a merge and are kept next to the
 * winner.
 */
import { SynclineError } from "../../base/errors.ts";
import { type BucketReader, findObject, openReader } from "./bucket-reader.ts";
import { openConflicts } from "../../bucket/conflicts/open-conflicts.ts";
import { addCommand, type Call, type Program } from "../command.ts";
import {
  causeOf,
  pathText,
  reportDisplaced,
  reportKept,
  requireConflict,
  versionLine,
  WINNER,
  writerNames,
} from "./conflict-report.ts";
import type { DisplacedReport } from "./conflict-report.ts";
import { BUCKET_OPTIONS, type BucketOption, readingAccess } from "../master-access.ts";
import { locateTarget, type TargetPath } from "./target-path.ts";
import { printText } from "../terminal/text.ts";

const PATH_HELP = "bucket/path, or a path in a mount: the kept name, or a version that lost";

export function register(program: Program): void {
  addCommand(program, {
    name: "conflicts list",
    arguments: [["<url|dir>", "a bucket or a mount, or a directory in it"]],
    summary: "list the open conflicts",
    options: ["at", ...BUCKET_OPTIONS],
    examples: ["syncline conflicts list ~/bucket", "syncline conflicts list file:///srv/bucket/photos --json"],
    exits: [4, 5, 6, 8],
    run: list,
  });
  addCommand(program, {
    name: "conflicts show",
    arguments: [["<path>", PATH_HELP]],
    summary: "show the versions of a conflict: machine, time and merge rule",
    options: BUCKET_OPTIONS,
    examples: ["syncline conflicts show ~/bucket/notes.txt"],
    exits: [4, 5, 6, 8],
    run: show,
  });
  addCommand(program, {
    name: "conflicts diff",
    arguments: [["<path>", PATH_HELP]],
    summary: "compare a conflict's versions with the kept one, line by line",
    options: BUCKET_OPTIONS,
    examples: ["syncline conflicts diff ~/bucket/notes.txt"],
    exits: [4, 5, 6, 8],
    run: async (call) => {
      const { target, reader } = await openAt(call);
      await using opened = reader;
      const { diffConflict } = await import("./conflicts-diff.ts");
      await diffConflict(opened, await requireConflict(opened, target.names), call.output);
    },
  });
  addCommand(program, {
    name: "conflicts resolve",
    arguments: [["<path>", `${PATH_HELP}; with --all-older-than: a bucket, a mount or a directory in it`]],
    summary: "resolve a conflict, by a commit that restore can undo",
    options: ["keep", "allOlderThan", "dryRun", ...BUCKET_OPTIONS],
    examples: [
      "syncline conflicts resolve ~/bucket/notes.txt",
      "syncline conflicts resolve file:///srv/bucket/notes.txt --keep copy",
      "syncline conflicts resolve ~/bucket --all-older-than 30d --keep kept --dry-run",
    ],
    exits: [3, 4, 5, 6, 8],
    run: async (call) => (await import("./conflicts-resolve.ts")).resolveConflicts(call),
  });
}

async function list(call: Call<"at" | BucketOption>): Promise<void> {
  const { options, output } = call;
  const { target, reader } = await openAt(call, options.at);
  await using opened = reader;
  const directory = await findObject(opened, target);
  if (directory.record.type !== "directory") {
    throw new SynclineError("not_a_directory", `${printText(target.address)}: that path is not a directory.`, {
      hint: "`syncline conflicts show` shows the conflict of a single file.",
    });
  }
  const nameOf = writerNames(opened);
  let count = 0;
  for await (const conflict of openConflicts(opened.nodes, opened.tree, directory, target.names)) {
    count++;
    const copies: DisplacedReport[] = [];
    for (const version of conflict.versions)
      copies.push((await reportDisplaced(opened, conflict, version, nameOf)).report);
    const newest = copies.toSorted((a, b) => (a.time < b.time ? 1 : -1))[0];
    const { machine = null, time = null, rule = null } = newest ?? {};
    const lines = copies.map(
      (copy) => `  ${printText(copy.path)}  by ${printText(copy.machine)}, ${copy.time}, ${copy.rule}`,
    );
    const path = pathText(conflict.path);
    const kept = await reportKept(opened, conflict, nameOf);
    const first = kept === null ? printText(path) : `${printText(path)}  by ${printText(kept.machine)}, ${kept.time}`;
    output.result({ path, kept, copies, machine, time, rule }, [first, ...lines].join("\n"));
  }
  if (count > 0 && options.json !== true) output.notice(WINNER);
  if (count === 0 && options.json !== true) output.result({}, "No conflicts.");
}

async function show(call: Call<BucketOption>): Promise<void> {
  const { output } = call;
  const { target, reader } = await openAt(call);
  await using opened = reader;
  const conflict = await requireConflict(opened, target.names);
  const nameOf = writerNames(opened);
  const kept = await reportKept(opened, conflict, nameOf);
  const copies: (DisplacedReport & { cause: string })[] = [];
  for (const version of conflict.versions) {
    const { report } = await reportDisplaced(opened, conflict, version, nameOf);
    copies.push({ ...report, cause: causeOf(version) });
  }
  const path = pathText(conflict.path);
  const lines = copies.flatMap((copy) => [`lost       ${versionLine(copy)}`, `           ${copy.rule}: ${copy.cause}`]);
  const first = kept === null ? "kept       nothing has this name now" : `kept       ${versionLine(kept)}`;
  output.result({ path, kept, copies }, [printText(path), first, ...lines].join("\n"));
}

/** Opens what the first argument names, as the bucket has it. */
async function openAt(
  call: Call<BucketOption>,
  at?: string,
): Promise<{ readonly target: TargetPath; readonly reader: BucketReader }> {
  const target = await locateTarget(call, call.args[0] ?? "", readingAccess(call));
  return { target, reader: await openReader(call, target.address, at) };
}
