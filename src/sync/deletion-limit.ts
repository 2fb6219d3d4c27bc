/**
 * The deletion limit: where a scan misses much of what was synced, or a root would take much of the folder away, nothing
 * happens before somebody says yes to just these deletions (merge.md, Laws).
 */
import { blake3 } from "../crypto/hash.ts";
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

/** Of exactly these deletions: one more, one less, or another version of a file, and it is another. */
function digestOf(where: string, files: readonly Entry[]): string {
  const lines = files.map(({ parent, name, id, record }) => {
    return JSON.stringify([parent, name, id, record.size, String(record.mtimeNs)]);
  });
  const text = [where, ...lines.sort()].join("\n");
  return Buffer.from(blake3(Buffer.from(text, "utf8"))).toString("hex", 0, 8);
}
