/**
 * The deletion limit: if a scan misses much of what was synced, or a root would remove much of the folder, these deletions
 * wait until a person approves exactly them (docs/design/folder-sync.md, The deletion limit). Everything else is synced meanwhile.
 */
import { isGone } from "../blocks/not-found.ts";
import { ROOT_ID, type Cid, type FileId } from "../base/ids.ts";
import { lookup } from "../fstree/fs-reader.ts";
import { placeText } from "../fstree/object-rows.ts";
import type { Policy } from "../format/commits/policy.ts";
import { blake3 } from "../crypto/hash.ts";
import type { NodeStore } from "../tree/node-store.ts";
import type { SyncDatabase } from "./known/database.ts";
import type { DiskPath } from "./disk/disk.ts";
import type { Entry } from "./known/entry.ts";
import type { IgnoreRules } from "./scan/ignore-rules.ts";

export interface HeldDeletions {
  /** Identifies the deletions in an approval. */
  readonly digest: string;
  /** How many names of files would be deleted. */
  readonly files: number;
  /** Where they would be deleted. */
  readonly where: "bucket" | "folder";
}

/**
 * More than `files` files, and more than `percent` percent of all files, are a mass deletion. The bucket's policy sets
 * both.
 */
export type DeletionLimit = Policy["guard"];

interface LimitContext {
  readonly db: SyncDatabase;
  readonly rules: IgnoreRules;
  readonly limit: DeletionLimit;
}

/** Returns these deletions if they exceed the limit. An approval names their digest. */
export function massDeletion(
  where: HeldDeletions["where"],
  entries: readonly Entry[],
  { db, rules, limit }: LimitContext,
): HeldDeletions | undefined {
  const files = entries.filter(isFile);
  if (files.length <= limit.files) return undefined;
  const isFew = (total: number) => files.length * 100 <= total * limit.percent;
  const total = countFilesBefore(db, limit);
  // Ignored files are never deleted, so they do not count. Finding them means looking at every name.
  if (isFew(total) && (rules.isEmpty || isFew(total - countIgnored(db, rules)))) return undefined;
  return { digest: digestOf(where, files), files: files.length, where };
}

/** Counts the names of ignored files. */
function countIgnored(db: SyncDatabase, rules: IgnoreRules): number {
  let count = 0;
  // In a damaged database, directories may contain one another.
  const met = new Set<FileId>();
  const directories = [{ id: ROOT_ID as FileId, path: [] as DiskPath, isIgnored: false }];
  for (const { id, path, isIgnored } of directories) {
    if (met.has(id)) continue;
    met.add(id);
    for (const look of db.looks(id).values()) {
      const below = [...path, look.name];
      const isToo = isIgnored || rules.ignores(below, look.isDirectory);
      if (look.isDirectory) directories.push({ id: look.id, path: below, isIgnored: isToo });
      else if (isToo) count++;
    }
  }
  return count;
}

/**
 * The files that a scan misses, if they are a mass. Files missing in the root, too, were deleted by others or by a killed
 * run.
 */
export async function missingMass(
  context: LimitContext & { readonly nodes: NodeStore },
  missing: readonly Entry[],
): Promise<HeldDeletions | undefined> {
  const { db, nodes } = context;
  const tree = db.base()?.tree;
  const behind = new Set(missing.length === 0 ? [] : db.unsettled().map(placeText));
  const left: Entry[] = [];
  for (const entry of missing) {
    const isBehind = tree !== undefined && behind.has(placeText(entry));
    if (!isBehind || (await isThere(nodes, tree, entry))) left.push(entry);
  }
  return massDeletion("bucket", left, context);
}

/** If the root is gone, this is unknown: the deletion counts. */
async function isThere(nodes: NodeStore, tree: Cid, entry: Entry): Promise<boolean> {
  try {
    return (await lookup(nodes, tree, entry))?.id === entry.id;
  } catch (error) {
    if (isGone(error)) return true;
    throw error;
  }
}

/** Call before files move while deletions may be or are a waiting mass: they are still compared with the earlier total. */
export function noteFilesBefore(db: SyncDatabase, { files }: DeletionLimit): void {
  if (db.count("files before") <= files) db.setFact("files before", String(db.countFiles()));
}

/** Everything was synced: deletions are compared with the current total. */
export function forgetFilesBefore(db: SyncDatabase): void {
  if (db.fact("files before") !== undefined) db.setFact("files before", undefined);
}

/** The number of files that deletions are compared with. */
export function countFilesBefore(db: SyncDatabase, { files }: DeletionLimit): number {
  const before = db.count("files before");
  // So few files are never a mass; deletions then concern files that came since.
  return before > files ? Math.min(before, db.countFiles()) : db.countFiles();
}

function isFile({ record }: Entry): boolean {
  return record.type !== "directory";
}

/** Identifies exactly these deletions: one more or less, or another version of a file, changes it. */
function digestOf(where: string, files: readonly Entry[]): string {
  const lines = files.map(({ parent, name, id, record }) => {
    return JSON.stringify([parent, name, id, record.size, String(record.mtimeNs)]);
  });
  const text = [where, ...lines.sort()].join("\n");
  return Buffer.from(blake3(Buffer.from(text, "utf8"))).toString("hex", 0, 8);
}
