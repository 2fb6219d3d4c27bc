/**
 * What is not synced: `.synclineignore` at the folder's root, in gitignore's syntax. What it names is neither uploaded nor deleted nor
 * overwritten, on either side.
 */
import { blake3 } from "../../crypto/hash.ts";
import type { DiskPath } from "../disk/disk.ts";
import { isOwn, pathText } from "../disk/paths.ts";

export interface IgnoreRules {
  /** Of the rules' text: tells when they changed. */
  readonly digest: string;
  /** Whether a path, or a directory that it is in, is left alone. */
  ignores(path: DiskPath, isDirectory: boolean): boolean;
}

/** As in most folders: but what is the folder's own is left alone. */
export const NO_RULES = rulesOf("", undefined);

/** In text without rules no path is looked for: for each of a folder's that takes a quarter of the time of the walk. */
export async function parseRules(text: string): Promise<IgnoreRules> {
  const isEmpty = text.split(/\r?\n/).every((line) => line.trim() === "" || line.startsWith("#"));
  if (isEmpty) return rulesOf(text, undefined);
  const { default: ignore } = await import("ignore");
  // Names that differ in case are different names here, as they are in a bucket.
  return rulesOf(text, ignore({ ignorecase: false, allowRelativePaths: true }).add(text));
}

function rulesOf(text: string, rules: { ignores(path: string): boolean } | undefined): IgnoreRules {
  return {
    digest: Buffer.from(blake3(Buffer.from(text, "utf8"))).toString("hex", 0, 16),
    ignores(path, isDirectory) {
      if (path.length === 0) return false;
      if (isOwn(path)) return true;
      return rules !== undefined && rules.ignores(isDirectory ? `${pathText(path)}/` : pathText(path));
    },
  };
}
