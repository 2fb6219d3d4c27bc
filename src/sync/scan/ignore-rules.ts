/**
 * What is not synced: `.synclineignore` at the folder's root, in gitignore's syntax. Ignored paths are never uploaded,
 * deleted or overwritten, on either side.
 */
import { SynclineError } from "../../base/errors.ts";
import { describeError } from "../../base/log.ts";
import { failedWith } from "../../base/system-errors.ts";
import { blake3 } from "../../crypto/hash.ts";
import { orElse } from "../../base/unless.ts";
import type { FileName } from "../../base/ids.ts";
import type { FileType } from "../../format/files/record.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import { IGNORE_FILE, OWN_FOLDER, pathText } from "../disk/paths.ts";

export interface IgnoreRules {
  /** Digest of the rules' text, to detect changes. */
  readonly digest: string;
  readonly text: string;
  /** `rulesFrom` makes the same rules of it, in a later pass. */
  readonly source: string;
  /** Only the folder's own directory is ignored. */
  readonly isEmpty: boolean;
  /** Whether a path, or a directory above it, is ignored. */
  ignores(path: DiskPath, isDirectory: boolean): boolean;
}

/** As in most folders: only the folder's own directory is ignored. */
export const NO_RULES = rulesOf("", undefined, []);

/** The folder's rules, or `otherwise` if it has none. Throws `precondition_failed` if they cannot be read, as through a link. */
export async function readRules(
  disk: SyncDisk,
  hidden: readonly DiskPath[] | undefined,
  otherwise: string,
): Promise<IgnoreRules> {
  return parseRules((await readText(disk)) ?? otherwise, hidden);
}

/** Undefined if this is not such a source. */
export async function rulesFrom(source: string): Promise<IgnoreRules | undefined> {
  const value = orElse(undefined, () => JSON.parse(source) as Readonly<Record<string, unknown>> | null);
  const { text, hidden } = value ?? {};
  if (typeof text !== "string" || !Array.isArray(hidden)) return undefined;
  return parseRules(
    text,
    hidden.map((path) => String(path).split("/") as FileName[]),
  );
}

async function readText(disk: SyncDisk): Promise<string | undefined> {
  try {
    const stat = await disk.look([IGNORE_FILE]);
    if (stat === undefined) return undefined;
    requireFile(stat.type, "folder");
    const file = await disk.read([IGNORE_FILE]);
    try {
      const { size } = await file.stat();
      return Buffer.from(await file.read(0, size)).toString("utf8");
    } finally {
      await file.close();
    }
  } catch (error) {
    if (failedWith(error, "ENOENT")) return undefined;
    if (error instanceof SynclineError) throw error;
    throw new SynclineError("precondition_failed", `${IGNORE_FILE} cannot be read: ${describeError(error)}`, {
      hint: "Nothing is synced while the ignore rules are unknown. Make the file readable, or remove it.",
      cause: error,
    });
  }
}

/** Links are never followed. Taking one for an empty list of rules would publish what people meant to exclude. */
export function requireFile(type: FileType, where: "folder" | "bucket"): void {
  if (type === "file") return;
  throw new SynclineError("precondition_failed", `The ${where}'s ${IGNORE_FILE} is a ${type}, not a file.`, {
    hint: "Nothing is synced while the ignore rules are unknown. Replace it with a file of rules.",
  });
}

/**
 * `hidden`: paths also ignored, with everything below. Text without rules skips matching, which takes a quarter of a walk's
 * time. Throws `precondition_failed` for rules that are not text, or too long to match.
 */
export async function parseRules(text: string, hidden: readonly DiskPath[] = []): Promise<IgnoreRules> {
  if (isBlank(text)) return rulesOf(text, undefined, hidden);
  check(text);
  const { default: ignore } = await import("ignore");
  // Names that differ in case are different here, as in a bucket.
  return rulesOf(text, ignore({ ignorecase: false, allowRelativePaths: true }).add(text), hidden);
}

/** Whether the text has no rules. */
export function isBlank(text: string): boolean {
  return text.split(/\r?\n/).every((line) => line.trim() === "" || line.startsWith("#"));
}

/** The longest path (Linux: PATH_MAX), and far more rules than anybody writes. Rules become regular expressions. */
const MAX_RULE_LENGTH = 4_096;
export const MAX_RULES_LENGTH = 1024 * 1024;

function check(text: string): void {
  // Windows PowerShell writes UTF-16, in which no rule would match.
  if (text.includes("\0"))
    throw new SynclineError("precondition_failed", `${IGNORE_FILE} is not UTF-8 text.`, {
      hint: "Nothing is synced while the ignore rules are unknown. Save the file as UTF-8.",
    });
  const line = text.split(/\r?\n/).findIndex(({ length }) => length > MAX_RULE_LENGTH);
  if (line < 0 && text.length <= MAX_RULES_LENGTH) return;
  const what =
    line < 0
      ? `is longer than ${MAX_RULES_LENGTH} characters`
      : `has more than ${MAX_RULE_LENGTH} characters in line ${line + 1}`;
  throw new SynclineError("precondition_failed", `${IGNORE_FILE} ${what}.`, {
    hint: "Nothing is synced while the ignore rules are unknown. Shorten the file.",
  });
}

function rulesOf(
  text: string,
  rules: { ignores(path: string): boolean } | undefined,
  hidden: readonly DiskPath[],
): IgnoreRules {
  const whole = [text, ...hidden.map(pathText)].join("\0");
  return {
    digest: Buffer.from(blake3(Buffer.from(whole, "utf8"))).toString("hex", 0, 16),
    text,
    source: JSON.stringify({ text, hidden: hidden.map((path) => path.join("/")) }),
    isEmpty: rules === undefined && hidden.length === 0,
    ignores(path, isDirectory) {
      if (path.length === 0) return false;
      // Covers synced folders within this one, too.
      if (path.includes(OWN_FOLDER) || hidden.some((each) => isIn(path, each))) return true;
      return rules !== undefined && rules.ignores(isDirectory ? `${pathText(path)}/` : pathText(path));
    },
  };
}

function isIn(path: DiskPath, above: DiskPath): boolean {
  return above.every((name, index) => path[index] === name);
}
