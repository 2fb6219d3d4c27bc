/**
 * What is not synced: `.synclineignore` at the folder's root, in gitignore's syntax. What it names is neither uploaded nor deleted nor
 * overwritten, on either side.
 */
import ignore from "ignore";
import { blake3 } from "../crypto/hash.ts";
import type { DiskPath } from "./disk.ts";
import { isOwn, pathText } from "./paths.ts";

export interface IgnoreRules {
  /** Of the rules' text: tells when they changed. */
  readonly digest: string;
  /** Whether a path, or a directory that it is in, is left alone. */
  ignores(path: DiskPath, isDirectory: boolean): boolean;
}

export function parseRules(text: string): IgnoreRules {
  // Names that differ in case are different names here, as they are in a bucket.
  const rules = ignore({ ignorecase: false, allowRelativePaths: true }).add(text);
  return {
    digest: Buffer.from(blake3(Buffer.from(text, "utf8"))).toString("hex", 0, 16),
    ignores(path, isDirectory) {
      if (path.length === 0) return false;
      if (isOwn(path)) return true;
      return rules.ignores(isDirectory ? `${pathText(path)}/` : pathText(path));
    },
  };
}
