/**
 * What is not synced: `.synclineignore` at the folder's root, in gitignore's syntax. What it names is neither uploaded nor deleted nor
 * overwritten, on either side.
 */
import { SynclineError } from "../../base/errors.ts";
import { describeError } from "../../base/log.ts";
import { failedWith } from "../../base/system-errors.ts";
import { blake3 } from "../../crypto/hash.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import { IGNORE_FILE, OWN_FOLDER, pathText } from "../disk/paths.ts";

export interface IgnoreRules {
  /** Of the rules' text: tells when they changed. */
  readonly digest: string;
  /** Whether a path, or a directory that it is in, is left alone. */
  ignores(path: DiskPath, isDirectory: boolean): boolean;
}

/** As in most folders: but what is the folder's own is left alone. */
export const NO_RULES = rulesOf("", undefined, []);

/** Those in the folder. Throws `precondition_failed` where they cannot be read. */
export async function readRules(disk: SyncDisk, hidden?: readonly DiskPath[]): Promise<IgnoreRules> {
  return parseRules(await readText(disk), hidden);
}

async function readText(disk: SyncDisk): Promise<string> {
  try {
    const file = await disk.read([IGNORE_FILE]);
    try {
      const { size } = await file.stat();
      return Buffer.from(await file.read(0, size)).toString("utf8");
    } finally {
      await file.close();
    }
  } catch (error) {
    if (failedWith(error, "ENOENT", "ELOOP", "EISDIR")) return "";
    throw new SynclineError("precondition_failed", `${IGNORE_FILE} cannot be read: ${describeError(error)}`, {
      hint: "Without it nobody knows what is to be left alone, so nothing is synced. Let it be read, or remove it.",
      cause: error,
    });
  }
}

/** `hidden`: what is left alone besides, with all in it. In text without rules no path is looked for: for each of a folder's that takes a quarter of the time of the walk. */
export async function parseRules(text: string, hidden: readonly DiskPath[] = []): Promise<IgnoreRules> {
  const isEmpty = text.split(/\r?\n/).every((line) => line.trim() === "" || line.startsWith("#"));
  if (isEmpty) return rulesOf(text, undefined, hidden);
  const { default: ignore } = await import("ignore");
  // Names that differ in case are different names here, as they are in a bucket.
  return rulesOf(text, ignore({ ignorecase: false, allowRelativePaths: true }).add(text), hidden);
}

function rulesOf(
  text: string,
  rules: { ignores(path: string): boolean } | undefined,
  hidden: readonly DiskPath[],
): IgnoreRules {
  const whole = [text, ...hidden.map(pathText)].join("\0");
  return {
    digest: Buffer.from(blake3(Buffer.from(whole, "utf8"))).toString("hex", 0, 16),
    ignores(path, isDirectory) {
      if (path.length === 0) return false;
      // A folder in this one that is synced, too, has its own.
      if (path.includes(OWN_FOLDER) || hidden.some((each) => isIn(path, each))) return true;
      return rules !== undefined && rules.ignores(isDirectory ? `${pathText(path)}/` : pathText(path));
    },
  };
}

function isIn(path: DiskPath, above: DiskPath): boolean {
  return above.every((name, index) => path[index] === name);
}
