/** Differences between two trees, for the overlay: it drops what it shows of them and notifies kernels. */
import { addAll } from "../base/collections.ts";
import { unless } from "../base/unless.ts";
import { isGone } from "../blocks/not-found.ts";
import type { Cid, FileId } from "../base/ids.ts";
import { type Key, parseKey } from "../format/files/keys.ts";
import { decodeDentry, decodeSelf, dentryId } from "../format/files/rows.ts";
import { diff } from "../tree/diff.ts";
import type { Entry } from "../tree/entry.ts";
import type { NodeStore } from "../tree/node-store.ts";
import type { BaseChange } from "./change-set.ts";
import { listDirectory } from "./fs-reader.ts";

/** More changed rows than this are not listed. */
export const MAX_LISTED_CHANGES = 10_000;

/** The rows that differ from tree `from` to tree `to`, or undefined when there are more than `limit`. */
export async function differences(
  nodes: NodeStore,
  from: Cid,
  to: Cid,
  limit: number = MAX_LISTED_CHANGES,
): Promise<BaseChange[] | undefined> {
  const changes: BaseChange[] = [];
  for await (const { key, before, after } of diff(nodes, from, to)) {
    const change = changeOf(parseKey(key), before, after);
    if (change === undefined) continue;
    if (changes.length === limit) return undefined;
    changes.push(change);
  }
  return changes;
}

/** As `differences`; undefined, too, where blocks of the older tree are gone: then both have to be compared as a whole. */
export async function differencesIfThere(nodes: NodeStore, from: Cid, to: Cid): Promise<BaseChange[] | undefined> {
  return unless(isGone, () => differences(nodes, from, to));
}

/** All entries of these directories but the known ones, reported as just added. Undefined: too many to list. */
export async function entriesOf(
  nodes: NodeStore,
  tree: Cid,
  directories: Iterable<FileId>,
  known: ReadonlySet<FileId> = NOTHING,
): Promise<BaseChange[] | undefined> {
  const entries: BaseChange[] = [];
  for (const parent of directories) {
    for await (const { name, dentry } of listDirectory(nodes, tree, parent)) {
      const after = dentryId(parent, name, dentry);
      if (known.has(after)) continue;
      if (entries.length === MAX_LISTED_CHANGES) return undefined;
      entries.push({ kind: "dentry", parent, name, before: undefined, after });
    }
  }
  return entries;
}

const NOTHING: ReadonlySet<FileId> = new Set();

/** Joins the lists; undefined if any of them is. */
export function allOf(lists: readonly (readonly BaseChange[] | undefined)[]): BaseChange[] | undefined {
  const all: BaseChange[] = [];
  for (const list of lists) {
    if (list === undefined) return undefined;
    addAll(all, list);
  }
  return all;
}

function changeOf(key: Key, before: Entry | undefined, after: Entry | undefined): BaseChange | undefined {
  // A file's back-references change with its dentries.
  if (key.kind === "backref") return undefined;
  if (key.kind === "dentry") {
    const idOf = (entry: Entry | undefined) =>
      entry === undefined ? undefined : dentryId(key.id, key.name, decodeDentry(key.id, key.name, entry));
    return { kind: "dentry", parent: key.id, name: key.name, before: idOf(before), after: idOf(after) };
  }
  const [old, now] = [before, after].map((entry) => (entry === undefined ? undefined : decodeSelf(key.id, entry)));
  // A file without its 00 row may still exist under one name: its dentries tell.
  if (old?.kind !== "directory") return { kind: "self", id: key.id, removed: false, moved: false };
  const place = now?.kind === "directory" ? now.place : undefined;
  const moved = now !== undefined && (place?.parent !== old.place?.parent || place?.name !== old.place?.name);
  return { kind: "self", id: key.id, removed: now === undefined, moved };
}
