/**
 * The deletion limit: where a scan misses much of what was synced, or a root would take much of the folder away, nothing
 * happens before somebody says yes to just these deletions (merge.md, Laws).
 */
import { blake3 } from "../crypto/hash.ts";
import type { SyncDatabase } from "./known/database.ts";
import type { Entry } from "./known/entry.ts";

export interface HeldDeletions {
  /** What a yes names. */
  readonly digest: string;
  /** Names of files that would be gone. */
  readonly files: number;
  /** Where they would be deleted. */
  readonly where: "bucket" | "folder";
}

/** More files than this, and more than half of them all, are a mass. */
const MASS_FILES = 100;

/** What waits for a yes. Undefined: not many, or allowed. `total`: names of files that the folder had. */
export function checkDeletions(
  where: HeldDeletions["where"],
  entries: readonly Entry[],
  total: number,
  allowed: string | undefined,
): HeldDeletions | undefined {
  const files = entries.filter(({ record }) => record.type !== "directory");
  if (files.length <= MASS_FILES || files.length * 2 <= total) return undefined;
  const digest = digestOf(where, files);
  return digest === allowed ? undefined : { digest, files: files.length, where };
}

/** Before much that is new goes or comes by itself: of what there was before deletions may be a mass still. */
export function noteFilesBefore(db: SyncDatabase): void {
  if (Number(db.fact("files before") ?? 0) <= MASS_FILES) db.setFact("files before", String(db.countFiles()));
}

/** All went and came: deletions are a part of what there is now. */
export function forgetFilesBefore(db: SyncDatabase): void {
  if (db.fact("files before") !== undefined) db.setFact("files before", undefined);
}

/** Names of files of which deletions may be too large a part. */
export function countFilesBefore(db: SyncDatabase): number {
  const before = Number(db.fact("files before") ?? 0);
  // So few are no mass; then it is what came since that is deleted.
  return before > MASS_FILES ? Math.min(before, db.countFiles()) : db.countFiles();
}

/** Of exactly these deletions: one more, one less, or another version of a file, and it is another. */
function digestOf(where: string, files: readonly Entry[]): string {
  const lines = files.map(({ parent, name, id, record }) => {
    return JSON.stringify([parent, name, id, record.size, String(record.mtimeNs)]);
  });
  const text = [where, ...lines.sort()].join("\n");
  return Buffer.from(blake3(Buffer.from(text, "utf8"))).toString("hex", 0, 8);
}
