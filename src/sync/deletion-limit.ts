/**
 * The deletion limit: where a scan misses much of what was synced, or a root would take much of the folder away, these deletions wait
 * until a person approves just them (docs/design/merge.md, Laws). Everything else goes and comes meanwhile.
 */
import { hasCode } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { lookup } from "../fstree/fs-reader.ts";
import { placeText } from "../fstree/object-rows.ts";
import type { Policy } from "../format/commits/policy.ts";
import { blake3 } from "../crypto/hash.ts";
import type { NodeStore } from "../tree/node-store.ts";
import type { SyncDatabase } from "./known/database.ts";
import type { Entry } from "./known/entry.ts";

export interface HeldDeletions {
  /** What an approval names. */
  readonly digest: string;
  /** Names of files that would be gone. */
  readonly files: number;
  /** Where they would be deleted. */
  readonly where: "bucket" | "folder";
}

/** A mass deletion is more than `files` files, and more than `percent` percent of all of them. The bucket's policy sets both. */
export type DeletionLimit = Policy["guard"];

/** These deletions if they are a mass: whoever approves them names the digest. `total`: names of files that the folder had. */
export function massDeletion(
  where: HeldDeletions["where"],
  entries: readonly Entry[],
  total: number,
  limit: DeletionLimit,
): HeldDeletions | undefined {
  const files = entries.filter(isFile);
  if (files.length <= limit.files || files.length * 100 <= total * limit.percent) return undefined;
  return { digest: digestOf(where, files), files: files.length, where };
}

/** What a scan misses, if that is a mass. What the root does not have any more either was deleted by others, or by a run that died. */
export async function missingMass(
  db: SyncDatabase,
  nodes: NodeStore,
  missing: readonly Entry[],
  limit: DeletionLimit,
): Promise<HeldDeletions | undefined> {
  const tree = db.base()?.tree;
  const behind = new Set(missing.length === 0 ? [] : db.unsettled().map(placeText));
  const left: Entry[] = [];
  for (const entry of missing) {
    const isBehind = tree !== undefined && behind.has(placeText(entry));
    if (!isBehind || (await isThere(nodes, tree, entry))) left.push(entry);
  }
  return massDeletion("bucket", left, countFilesBefore(db, limit), limit);
}

/** Of a root that is gone nobody can tell: then it counts. */
async function isThere(nodes: NodeStore, tree: Cid, entry: Entry): Promise<boolean> {
  try {
    return (await lookup(nodes, tree, entry))?.id === entry.id;
  } catch (error) {
    if (hasCode(error, "block_not_found")) return true;
    throw error;
  }
}

/**
 * Before files go or come although deletions may be a mass, as while such deletions wait: they are still compared with what there was before.
 */
export function noteFilesBefore(db: SyncDatabase, { files }: DeletionLimit): void {
  if (db.count("files before") <= files) db.setFact("files before", String(db.countFiles()));
}

/** All went and came: deletions are compared with what there is now. */
export function forgetFilesBefore(db: SyncDatabase): void {
  if (db.fact("files before") !== undefined) db.setFact("files before", undefined);
}

/** Names of files of which deletions may be too large a part. */
export function countFilesBefore(db: SyncDatabase, { files }: DeletionLimit): number {
  const before = db.count("files before");
  // So few are no mass; then it is what came since that is deleted.
  return before > files ? Math.min(before, db.countFiles()) : db.countFiles();
}

function isFile({ record }: Entry): boolean {
  return record.type !== "directory";
}

/** Of exactly these deletions: one more, one less, or another version of a file, and it is another. */
function digestOf(where: string, files: readonly Entry[]): string {
  const lines = files.map(({ parent, name, id, record }) => {
    return JSON.stringify([parent, name, id, record.size, String(record.mtimeNs)]);
  });
  const text = [where, ...lines.sort()].join("\n");
  return Buffer.from(blake3(Buffer.from(text, "utf8"))).toString("hex", 0, 8);
}
