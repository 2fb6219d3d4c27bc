/** `syncline conflicts diff`: a patch from the version that kept the name to each that lost the conflict. */
import { createTwoFilesPatch } from "diff";
import { orElse } from "../../base/unless.ts";
import type { Displaced, OpenConflict } from "../../bucket/conflicts/open-conflicts.ts";
import type { TreeObject } from "../../fstree/fs-reader.ts";
import { readContent } from "../../content/read.ts";
import type { BucketReader } from "./bucket-reader.ts";
import { pathText } from "./conflict-report.ts";
import type { Look } from "../terminal/paint.ts";
import type { Output } from "../terminal/output.ts";
import { printBytes, printText } from "../terminal/text.ts";

export async function diffConflict(reader: BucketReader, conflict: OpenConflict, output: Output): Promise<void> {
  const kept = pathText(conflict.path);
  for (const version of conflict.versions) {
    const path = pathText(version.path);
    const { patch, reason } = await compare(reader, conflict, version);
    const text = patch?.replaceAll("\t", TAB) ?? `${printText(kept)} and ${printText(path)}: ${reason}`;
    output.result({ kept, path, patch: patch ?? null, reason: reason ?? null }, text, diffLook);
  }
}

/** Longer texts are not compared: time and memory grow with the square of the difference. */
const MAX_TEXT_BYTES = 4 * 1024 * 1024;
const MAX_EDITS = 5_000;
/** On a terminal, a tab moves the cursor. */
const TAB = " ".repeat(8);

interface Comparison {
  readonly patch?: string;
  /** Why there is no patch. */
  readonly reason?: string;
}

async function compare(reader: BucketReader, conflict: OpenConflict, version: Displaced): Promise<Comparison> {
  const { kept } = conflict;
  if (kept === undefined) return { reason: "nothing has this name now" };
  const types = [kept, version.object].map(({ record }) => record.type);
  if (types.some((type) => type !== "file"))
    return { reason: `a ${types[0]} and a ${types[1]}, which cannot be compared line by line` };
  const [before, after] = [await textOf(reader, kept), await textOf(reader, version.object)];
  if (before === undefined || after === undefined) {
    const [first, second] = [kept, version.object].map(({ record }) => printBytes(record.size));
    return { reason: `binary, or longer than ${printBytes(MAX_TEXT_BYTES)}: ${first} and ${second}` };
  }
  const options = { context: 3, maxEditLength: MAX_EDITS };
  const names = [conflict.path, version.path].map(pathText);
  const [from = "", to = ""] = names;
  const patch = createTwoFilesPatch(from, to, before, after, undefined, undefined, options);
  return patch === undefined ? { reason: `more than ${MAX_EDITS} lines differ` } : { patch };
}

const diffLook: Look = (line, paint) => {
  if (/^(\+\+\+|---)/.test(line)) return paint("bold", line);
  return line.startsWith("+") ? paint("green", line) : line.startsWith("-") ? paint("red", line) : line;
};

/** Undefined unless it is valid UTF-8 without NUL, and short enough to compare. */
async function textOf({ content }: BucketReader, { record }: TreeObject): Promise<string | undefined> {
  if (record.size > MAX_TEXT_BYTES) return undefined;
  const bytes = await readContent(content, record.content, record.size, 0, record.size);
  if (bytes.includes(0)) return undefined;
  return orElse(undefined, () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
}
