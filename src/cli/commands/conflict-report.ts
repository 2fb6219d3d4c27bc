/** A conflict as commands show it: its versions, their writers, since when they are there, and by which rule. */
import { timeText } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid, FileName, WriterId } from "../../base/ids.ts";
import { nameToText } from "../../base/names.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import { bringer, type ConflictSource } from "../../bucket/conflicts/last-change.ts";
import { conflictAt, type Displaced, type OpenConflict } from "../../bucket/conflicts/open-conflicts.ts";
import { MachineNames } from "../../bucket/machines.ts";
import type { TreeObject } from "../../fstree/fs-reader.ts";
import type { Output } from "../terminal/output.ts";
import { exactTime, printBytes, printCount, printPath, printText } from "../terminal/text.ts";

export interface VersionReport {
  readonly path: string;
  readonly type: string;
  readonly size: number;
  readonly mtime: string;
  /** The version's writer; for a displaced object, the merge's publisher. */
  readonly writer: WriterId;
  /** The machine's name from the writer's newest commits, or else the writer's id. */
  readonly machine: string;
  /** When the version got its place, and the root that brought it. */
  readonly time: string;
  readonly root: Cid;
}

export interface DisplacedReport extends VersionReport {
  readonly kind: Displaced["kind"];
  readonly rule: string;
}

/** Answers a writer's display name. */
export type NameWriter = (writer: WriterId) => Promise<string>;

export function writerNames({ bucket, commit }: Pick<ConflictSource, "bucket" | "commit">): NameWriter {
  const names = new MachineNames(bucket, commit);
  return async (writer) => (await names.of(writer)) ?? writer;
}

/** A version that lost the conflict, with the commit that brought it. */
export async function reportDisplaced(
  source: ConflictSource,
  conflict: OpenConflict,
  version: Displaced,
  nameOf: NameWriter,
): Promise<{ report: DisplacedReport; commit: VerifiedCommit }> {
  const { object, path } = version;
  const commit = await bringer(source, object, path, (there) => there.id === object.id);
  const report = await reportVersion(
    object,
    path,
    object.record.conflict?.writer ?? commit.body.writer,
    commit,
    nameOf,
  );
  return { report: { ...report, kind: version.kind, rule: ruleOf(conflict, version) }, commit };
}

/** The version that kept the name, or null. */
export async function reportKept(
  source: ConflictSource,
  { kept, path }: OpenConflict,
  nameOf: NameWriter,
): Promise<VersionReport | null> {
  if (kept === undefined) return null;
  const { mtimeNs, size } = kept.record;
  const same = (there: TreeObject) =>
    there.id === kept.id && there.record.mtimeNs === mtimeNs && there.record.size === size;
  const commit = await bringer(source, kept, path, same);
  return reportVersion(kept, path, commit.body.writer, commit, nameOf);
}

export function versionLine({ path, type, size, mtime, machine, time }: VersionReport): string {
  const what = type === "directory" ? "directory" : printBytes(size);
  return `${printText(path)}  ${what}, modified ${mtime}, by ${printText(machine)}, here since ${time}`;
}

/** The conflict at a path. Throws `no_such_path` when there is none. */
export async function requireConflict(
  { nodes, commit }: Pick<ConflictSource, "nodes" | "commit">,
  path: readonly FileName[],
): Promise<OpenConflict> {
  const found = await conflictAt(nodes, commit.body.tree, path);
  if (found !== undefined) return found;
  throw new SynclineError("no_such_path", `There is no conflict at /${printPath(path)}.`, {
    hint: "`syncline conflicts list` shows the open conflicts.",
  });
}

/** The rule in the merge's table. A copy does not tell whether it was two edits or two creations. */
export function ruleOf({ kept }: OpenConflict, { kind, object }: Displaced): string {
  if (kind === "copy" && object.record.type === "directory") return "units";
  if (kind === "copy") return "content / content or create / create";
  if (object.record.type === "directory") return "two directories at one name";
  return kept?.record.type === "directory" ? "file / directory at one name" : "two files at one name";
}

/** Explains the cause, for people. */
export function causeOf({ kind, object }: Displaced): string {
  const origin = object.record.conflict;
  if (kind === "copy" && origin !== undefined) {
    return (
      `Writer ${origin.writer} changed it in epoch ${origin.epoch}, another writer had also changed it, and the two ` +
      `versions cannot be merged. ${WINNER}`
    );
  }
  return "Two different objects got the same name. One kept it. This one has a name next to it and is unchanged.";
}

/** docs/design/merge.md, Winner and base. Which of the two applied is not stored. */
export const WINNER =
  "The side with more commits since the last common state kept the name; on a tie, the greater writer id did.";

export function pathText(path: readonly FileName[]): string {
  return path.map(nameToText).join("/");
}

async function reportVersion(
  { record }: TreeObject,
  path: readonly FileName[],
  writer: WriterId,
  commit: VerifiedCommit,
  nameOf: NameWriter,
): Promise<VersionReport> {
  const { type, size, mtimeNs } = record;
  const time = timeText(commit.body.timeNs);
  const mtime = exactTime(mtimeNs);
  return { path: pathText(path), type, size, mtime, writer, machine: await nameOf(writer), time, root: commit.cid };
}

/** Tells people where others' changes have put what a command changed; nothing if it is where the command left it. */
export function noteElsewhere(
  output: Pick<Output, "notice">,
  path: readonly FileName[],
  now: readonly FileName[] | undefined,
): void {
  if (now === undefined) return;
  const [old, there] = [printPath(path), printPath(now)];
  output.notice(`${old} ${old === there ? "stays" : `is now at ${there}`}: others changed it meanwhile.`);
}

/** Tells people that a command's changes met others' changes. */
export function noteConflicts(output: Pick<Output, "notice">, conflicts: number): void {
  if (conflicts === 0) return;
  const them = conflicts === 1 ? "it" : "them";
  output.notice(
    `${printCount(conflicts, "conflict")} with others' changes: \`syncline conflicts list\` shows ${them}.`,
  );
}
