/** A conflict as commands show it: its versions, whose they are, since when they lie there, and by which rule. */
import { hostname } from "node:os";
import { ownWriters } from "../agent/own-writers.ts";
import { stateRoot } from "../agent/state-dir.ts";
import { timeText } from "../base/clock.ts";
import { SynclineError } from "../base/errors.ts";
import type { Cid, FileName, WriterId } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import type { VerifiedCommit } from "../bucket/bucket.ts";
import { broughtBy } from "../bucket/conflicts/brought-by.ts";
import { conflictAt } from "../bucket/conflicts/open-conflicts.ts";
import type { GivenWay, OpenConflict } from "../bucket/conflicts/open-conflicts.ts";
import { lookup } from "../bucket/fs-reader.ts";
import type { TreeObject } from "../bucket/fs-reader.ts";
import type { NodeStore } from "../tree/node-store.ts";
import type { Bucket } from "../bucket/bucket.ts";
import type { Runtime } from "./runtime.ts";
import { exactTime, printPath } from "./text.ts";

/** Where the versions are read: one tree, and the history that led to it. */
export interface ConflictSource {
  readonly bucket: Bucket;
  readonly nodes: NodeStore;
  readonly commit: VerifiedCommit;
}

export interface VersionReport {
  readonly path: string;
  readonly type: string;
  readonly size: number;
  readonly mtime: string;
  /** Whose version it is; of a displaced object, who published the merge. */
  readonly writer: WriterId;
  /** The writer's name where it is known: of this machine's writers. Else its id. */
  readonly machine: string;
  /** When the version came to be where it is, and the root that brought it. */
  readonly time: string;
  readonly root: Cid;
}

export interface GivenWayReport extends VersionReport {
  readonly kind: GivenWay["kind"];
  readonly rule: string;
}

/** Tells this machine's writers by name. */
export type NameWriter = (writer: WriterId) => string;

export function writerNames({ env }: Runtime, state: string | undefined): NameWriter {
  const own = ownWriters(stateRoot(env, state));
  return (writer) => (own.has(writer) ? hostname() : writer);
}

/** One that gave way, with the commit that brought it. */
export async function reportGivenWay(
  source: ConflictSource,
  conflict: OpenConflict,
  version: GivenWay,
  nameOf: NameWriter,
): Promise<{ report: GivenWayReport; commit: VerifiedCommit }> {
  const { object, path } = version;
  const commit = await bringer(source, object, path, (there) => there.id === object.id);
  const report = reportVersion(object, path, object.record.conflict?.writer ?? commit.body.writer, commit, nameOf);
  return { report: { ...report, kind: version.kind, rule: ruleOf(conflict, version) }, commit };
}

/** The one that kept the name, or null. */
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

/** The conflict at a path. Throws `no_such_path` when there is none. */
export async function requireConflict(
  { nodes, commit }: Pick<ConflictSource, "nodes" | "commit">,
  path: readonly FileName[],
): Promise<OpenConflict> {
  const found = await conflictAt(nodes, commit.body.tree, path);
  if (found !== undefined) return found;
  throw new SynclineError("no_such_path", `There is no conflict at /${printPath(path)}.`, {
    hint: "`syncline conflicts list` shows those that there are.",
  });
}

/** The row of the merge's table. Which of two edits and two births it was is not stored with a copy. */
export function ruleOf({ kept }: OpenConflict, { kind, object }: GivenWay): string {
  if (kind === "copy" && object.record.type === "directory") return "units";
  if (kind === "copy") return "content / content or create / create";
  if (object.record.type === "directory") return "two directories at one name";
  return kept?.record.type === "directory" ? "file / directory at one name" : "two files at one name";
}

/** For people: how it came to this. */
export function causeOf({ kind, object }: GivenWay): string {
  const origin = object.record.conflict;
  if (kind === "copy" && origin !== undefined) {
    return (
      `Writer ${origin.writer} changed it in its epoch ${origin.epoch}, another had changed it too, and the two could not ` +
      "become one. The winner of the merge kept the name, this is the other's version."
    );
  }
  return "Two different objects came to have one name. One kept it, this one has a name beside it and is as it was.";
}

export function pathText(path: readonly FileName[]): string {
  return path.map(nameToText).join("/");
}

function reportVersion(
  { record }: TreeObject,
  path: readonly FileName[],
  writer: WriterId,
  commit: VerifiedCommit,
  nameOf: NameWriter,
): VersionReport {
  const { type, size, mtimeNs } = record;
  const time = timeText(commit.body.timeNs);
  const mtime = exactTime(mtimeNs);
  return { path: pathText(path), type, size, mtime, writer, machine: nameOf(writer), time, root: commit.cid };
}

/** The commit from which on this is at its place. */
function bringer(
  { bucket, nodes, commit }: ConflictSource,
  object: TreeObject,
  path: readonly FileName[],
  same: (there: TreeObject) => boolean,
): Promise<VerifiedCommit> {
  const place = object.names.find(({ name }) => name === path.at(-1));
  if (place === undefined) return Promise.resolve(commit);
  return broughtBy(bucket, nodes, commit, async (tree) => {
    const there = await lookup(nodes, tree, place);
    return there !== undefined && same(there);
  });
}
