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

/**
 * The changes of the object at `path` in `head`, newest first, as far as history is kept. A change in a commit that was
 * thinned out, lost or damaged is reported with the next readable one, and lost ones are named as gaps. A moved file or
 * directory is followed to its earlier path.
 */
export async function* pathHistory(
  commits: Commits,
  nodes: NodeStore,
  head: VerifiedCommit,
  path: readonly FileName[],
): AsyncGenerator<PathChange | Gap> {
  let at = path;
  let gaps: Gap[] = [];
  let newer: { readonly commit: VerifiedCommit; readonly object: TreeObject | undefined } | undefined;
  for await (const commit of history(commits, head)) {
    if (isGap(commit)) {
      gaps.push(commit);
      continue;
    }
    const object = await resolvePath(nodes, commit.body.tree, at);
    if (newer !== undefined && !isSame(object, newer.object)) {
      const from = await movedFrom(nodes, commit.body.tree, newer.commit.body.tree, newer.object, object);
      yield { ...changeOf(newer.commit, at, object, newer.object), ...(from && { kind: "moved", from }) };
      if (from !== undefined) {
        at = from;
        newer = { commit, object: await resolvePath(nodes, commit.body.tree, at) };
        yield* gaps;
        gaps = [];
        continue;
      }
    }
    newer = { commit, object };
    yield* gaps;
    gaps = [];
  }
  if (newer?.object !== undefined) {
    const first = changeOf(newer.commit, at, undefined, newer.object);
    yield gaps.length === 0 ? first : { ...first, kind: "seen" };
  }
  yield* gaps;
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
