/** The history of one path: the commits that changed its object, contents or attributes. */
import type { Cid, FileId, FileName } from "../base/ids.ts";
import type { FileRecord } from "../format/files/record.ts";
import type { NodeStore } from "../tree/node-store.ts";
import type { VerifiedCommit } from "./verified-commit.ts";
import { differences } from "../fstree/differences.ts";
import { pathOfDirectory, readObject, resolvePath, type TreeObject } from "../fstree/fs-reader.ts";
import { hasName } from "../fstree/merge/objects.ts";
import { type Place, samePlace } from "../fstree/object-rows.ts";
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
  const isOther = newer.object !== undefined && newer.object.id !== object?.id;
  const from = isOther ? await movedFrom(nodes, tree, newer.commit.body.tree, path, newer.object) : undefined;
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

/**
 * The older path of the object that is at `path` in the newer tree, if it or a directory above it was moved. Undefined if it
 * is new, if the path is one more name of it, and where too much changed to search.
 */
async function movedFrom(
  nodes: NodeStore,
  before: Cid,
  after: Cid,
  path: readonly FileName[],
  moved: TreeObject,
): Promise<readonly FileName[] | undefined> {
  const name = path.at(-1);
  const above = await resolvePath(nodes, after, path.slice(0, -1));
  if (name === undefined || above === undefined) return undefined;
  const place = { parent: above.id, name };
  const old = await readObject(nodes, before, moved.id, place);
  const names = old?.names ?? (await namesLeft(nodes, before, after, moved.id));
  // The same entry of the same directory: the directory was moved.
  const from = names.find((each) => samePlace(each, place)) ?? names.find((each) => !hasName(moved, each));
  return from && pathOf(nodes, before, from);
}

/** The names that the object has lost. They are found through the differences: an object that never moved does not list its name. */
async function namesLeft(nodes: NodeStore, before: Cid, after: Cid, id: FileId): Promise<readonly Place[]> {
  const changes = (await differences(nodes, before, after)) ?? [];
  return changes.filter((change) => change.kind === "dentry").filter((change) => change.before === id);
}

async function pathOf(nodes: NodeStore, tree: Cid, { parent, name }: Place) {
  const above = await pathOfDirectory(nodes, tree, parent);
  return above && [...above, name];
}
