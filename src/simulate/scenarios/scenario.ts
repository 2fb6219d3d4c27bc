/**
 * A worked merge as stored in a file (docs/design/merge.md, Scenarios): what two writers do from one base, and the expected
 * result. Reads such files and fills in their placeholders.
 */
import { SynclineError } from "../../base/errors.ts";
import { blake3 } from "../../crypto/hash.ts";

export type Operation =
  | { readonly op: "write" | "append"; readonly path: string; readonly content: string }
  | { readonly op: "rename" | "exchange" | "link"; readonly path: string; readonly to: string }
  | { readonly op: "unlink" | "rmdir" | "rmtree" | "mkdir"; readonly path: string }
  | { readonly op: "symlink"; readonly path: string; readonly target: string }
  | { readonly op: "chmod"; readonly path: string; readonly mode: number }
  | { readonly op: "chown"; readonly path: string; readonly uid: number; readonly gid: number }
  | { readonly op: "setxattr"; readonly path: string; readonly name: string; readonly value: string }
  /** `mtime` is in seconds. */
  | { readonly op: "utimes"; readonly path: string; readonly mtime: number }
  | { readonly op: "commit" };

/** path → content, "dir", or "-> target". */
export type Listing = Readonly<Record<string, string>>;

/** `mtime` is in seconds. */
export interface ExpectedAttributes {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
}

export interface Scenario {
  readonly name: string;
  readonly base: readonly Operation[];
  readonly x: readonly Operation[];
  readonly y: readonly Operation[];
  readonly expect: {
    readonly paths: Listing;
    readonly conflicts: number;
    /** Expected attributes, as far as they matter. */
    readonly attributes?: Readonly<Record<string, ExpectedAttributes>>;
  };
}

/** Parses a file's scenarios. Throws `usage`, naming the scenario and its problem. */
export function parseScenarios(text: string): Scenario[] {
  const file = parseJson(text);
  const scenarios = isObject(file) ? file["scenarios"] : undefined;
  if (!Array.isArray(scenarios)) throw malformed('it has no list "scenarios"');
  return scenarios.map((value: unknown, index) => {
    const name = isObject(value) && typeof value["name"] === "string" ? value["name"] : undefined;
    const fault = faultOf(value);
    if (fault !== undefined)
      throw malformed(`scenario ${name === undefined ? index + 1 : JSON.stringify(name)} ${fault}`);
    return value as Scenario;
  });
}

/** The expected paths with placeholders filled in; those that depend on a directory's id are taken from `actual`. */
export function expectedPaths(scenario: Scenario, actual: Listing): Listing {
  return sortedListing(
    Object.entries(scenario.expect.paths).map(([path, content]) => {
      const filled = fillPlaceholders(path);
      const pattern = new RegExp(`^${escapeRegExp(filled).replaceAll(ANY_DIGITS, "[0-9a-f]{8}")}$`);
      const found = filled.includes(ANY_DIGITS) ? Object.keys(actual).find((name) => pattern.test(name)) : filled;
      return [found ?? filled, content];
    }),
  );
}

/** The operation with its paths' placeholders filled in. */
export function filledOperation(operation: Operation): Operation {
  if (operation.op === "commit") return operation;
  const path = fillPlaceholders(operation.path);
  return "to" in operation ? { ...operation, path, to: fillPlaceholders(operation.to) } : { ...operation, path };
}

/** One order for all listings. */
export function sortedListing(entries: Iterable<readonly [string, string]>): Listing {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Fills placeholders, innermost first, until none are left. */
export function fillPlaceholders(text: string): string {
  const placeholder = /<conflict(\d*|count):([^<>]*?):([^<>:]*):([^<>]*)>/;
  const next = text.replace(placeholder, (_, digits: string, stem: string, extension: string, content: string) => {
    const hash = Buffer.from(blake3(Buffer.from(content))).toString("hex");
    const shown = digits === "count" ? `${hash} 2` : hash.slice(0, Number(digits || 8));
    return `${stem} (conflict ${content === "dir" ? ANY_DIGITS : shown})${extension}`;
  });
  return next === text ? text : fillPlaceholders(next);
}

const ANY_DIGITS = "????????";

/** The fields of each operation besides its name, with their types. */
const FIELDS: Readonly<Record<Operation["op"], Readonly<Record<string, "string" | "number">>>> = {
  write: { path: "string", content: "string" },
  append: { path: "string", content: "string" },
  rename: { path: "string", to: "string" },
  exchange: { path: "string", to: "string" },
  link: { path: "string", to: "string" },
  unlink: { path: "string" },
  rmdir: { path: "string" },
  rmtree: { path: "string" },
  mkdir: { path: "string" },
  symlink: { path: "string", target: "string" },
  chmod: { path: "string", mode: "number" },
  chown: { path: "string", uid: "number", gid: "number" },
  setxattr: { path: "string", name: "string", value: "string" },
  utimes: { path: "string", mtime: "number" },
  commit: {},
};

function faultOf(value: unknown): string | undefined {
  if (!isObject(value) || typeof value["name"] !== "string") return "has no name";
  for (const part of ["base", "x", "y"]) {
    const operations = value[part];
    if (!Array.isArray(operations)) return `has no list "${part}"`;
    const wrong = operations.findIndex((operation) => !isOperation(operation));
    if (wrong >= 0) return `has an invalid operation at ${part}[${wrong}]: ${JSON.stringify(operations[wrong])}`;
  }
  const expected = value["expect"];
  const paths = isObject(expected) ? expected["paths"] : undefined;
  if (!isObject(expected) || !isObject(paths) || !Object.values(paths).every((content) => typeof content === "string"))
    return 'has no "expect" with "paths"';
  return typeof expected["conflicts"] === "number" ? undefined : 'has no number "conflicts" in "expect"';
}

function isOperation(value: unknown): boolean {
  if (!isObject(value) || typeof value["op"] !== "string" || !Object.hasOwn(FIELDS, value["op"])) return false;
  return Object.entries(FIELDS[value["op"] as Operation["op"]]).every(([field, type]) => typeof value[field] === type);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformed(`it is not JSON: ${String(cause)}`);
  }
}

function malformed(what: string): SynclineError {
  return new SynclineError("usage", `Invalid scenario file: ${what}.`, {
    hint: 'The end of docs/design/merge.md describes the format: {"scenarios": [{"name", "base", "x", "y", "expect"}]}.',
  });
}

function escapeRegExp(text: string): string {
  return text
    .split(ANY_DIGITS)
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    .join(ANY_DIGITS);
}
