/** The history of one path: the commits that changed its object, contents or attributes. */
import type { Cid, FileId, FileName } from "../base/ids.ts";
import type { FileRecord } from "../format/files/record.ts";
import type { NodeStore } from "../tree/node-store.ts";
import type { VerifiedCommit } from "./verified-commit.ts";
import { differences } from "../fstree/differences.ts";
import { pathOfDirectory, resolvePath, type TreeObject } from "../fstree/fs-reader.ts";
import { type Gap, history, isGap, type Commits } from "./history.ts";

export interface PathChange {
  readonly commit: VerifiedCommit;
  /** "seen": older commits cannot be read, so what the commit did is unknown. */
  readonly kind: "created" | "changed" | "moved" | "removed" | "replaced" | "seen";
  /** The path after the commit; for a removed object, before it. */
  readonly path: readonly FileName[];
  /** For a moved object: where it was before. */
  readonly from: readonly FileName[] | undefined;
  /** The record after the commit; undefined when it was removed. */
  readonly record: FileRecord | undefined;
}

/** A path that is followed back in time. */
interface Trail {
  readonly path: readonly FileName[];
  /** Ends with the creation of the object that it follows: other objects at the path are of no interest. */
  readonly followsOne: boolean;
  /** What the path had in the last commit read. */
  readonly newer: { readonly commit: VerifiedCommit; readonly object: TreeObject | undefined } | undefined;
}

/**
 * The changes of the object at `path` in `head`, newest first, as far as history is kept. A change in a commit that was
 * thinned out, lost or damaged is reported with the next readable one, and lost ones are named as gaps. A moved file or
 * directory is followed to its earlier path; what it replaced is followed, too.
 */
export async function* pathHistory(
  commits: Commits,
  nodes: NodeStore,
  head: VerifiedCommit,
  path: readonly FileName[],
): AsyncGenerator<PathChange | Gap> {
  let trails: readonly Trail[] = [{ path, followsOne: false, newer: undefined }];
  let gaps: Gap[] = [];
  for await (const item of history(commits, head)) {
    if (isGap(item)) {
      gaps.push(item);
      continue;
    }
    const older: Trail[] = [];
    for (const trail of trails) {
      const { change, leads } = await stepBack(nodes, item, trail);
      if (change !== undefined) yield change;
      older.push(...leads);
    }
    trails = distinct(older);
    yield* gaps;
    gaps = [];
  }
  for (const { path: at, newer } of trails) {
    if (newer?.object === undefined) continue;
    const first = changeOf(newer.commit, at, undefined, newer.object);
    yield gaps.length === 0 ? first : { ...first, kind: "seen" };
  }
  yield* gaps;
}

/** What changed since this commit, and where the trail leads from here. */
async function stepBack(
  nodes: NodeStore,
  commit: VerifiedCommit,
  trail: Trail,
): Promise<{ readonly change?: PathChange; readonly leads: readonly Trail[] }> {
  const { path, followsOne, newer } = trail;
  const { tree } = commit.body;
  const object = await resolvePath(nodes, tree, path);
  const here = { ...trail, newer: { commit, object } };
  if (newer === undefined || isSame(object, newer.object)) return { leads: [here] };
  const change = changeOf(newer.commit, path, object, newer.object);
  const from = await movedFrom(nodes, tree, newer.commit.body.tree, newer.object, object);
  if (from === undefined) return { change, leads: followsOne && object?.id !== newer.object?.id ? [] : [here] };
  const isReplacement = object !== undefined;
  const there = { commit, object: await resolvePath(nodes, tree, from) };
  const moved = { path: from, followsOne: followsOne || isReplacement, newer: there };
  return { change: { ...change, kind: "moved", from }, leads: isReplacement ? [moved, here] : [moved] };
}

/** One trail for each path: that which follows the most. */
function distinct(trails: readonly Trail[]): Trail[] {
  const byPath = new Map<string, Trail>();
  for (const trail of trails) {
    const key = trail.path.join("/");
    if (byPath.get(key)?.followsOne !== false) byPath.set(key, trail);
  }
  return [...byPath.values()];
}

function changeOf(
  commit: VerifiedCommit,
  path: readonly FileName[],
  before: TreeObject | undefined,
  after: TreeObject | undefined,
): PathChange {
  const kind =
    before === undefined
      ? "created"
      : after === undefined
        ? "removed"
        : before.id === after.id
          ? "changed"
          : "replaced";
  return { commit, kind, path, from: undefined, record: after?.record };
}

function isSame(a: TreeObject | undefined, b: TreeObject | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.id === b.id && a.subdirs === b.subdirs && recordText(a.record) === recordText(b.record);
}

/** Records are plain data: bytes, numbers and texts. */
function recordText(record: FileRecord): string {
  return JSON.stringify(record, (_, value: unknown) => {
    if (typeof value === "bigint") return `${value}`;
    return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
  });
}

/** The object's path in the older tree if it was moved here. Also undefined where too much changed to search. */
async function movedFrom(
  nodes: NodeStore,
  before: Cid,
  after: Cid,
  moved: TreeObject | undefined,
  replaced: TreeObject | undefined,
): Promise<readonly FileName[] | undefined> {
  if (moved === undefined || moved.id === replaced?.id) return undefined;
  for (const change of (await differences(nodes, before, after)) ?? []) {
    if (change.kind !== "dentry" || change.before !== moved.id) continue;
    return pathOf(nodes, before, change.parent, change.name);
  }
  return undefined;
}

async function pathOf(nodes: NodeStore, tree: Cid, parent: FileId, name: FileName) {
  const above = await pathOfDirectory(nodes, tree, parent);
  return above && [...above, name];
}
