/** Parses conflict names: `stem (conflict <digits>).ext`, as merge/conflict-names.ts makes them. */
import type { FileName } from "../../base/ids.ts";

/** The name that this one lost to; undefined for any other name. A stem cut for length stays cut. */
export function plainNameOf(name: FileName): FileName | undefined {
  const match = MARKED.exec(name);
  if (match === null) return undefined;
  const [, stem = "", , extension = ""] = match;
  return (stem + extension) as FileName;
}

/** The hash digits of a conflict name; undefined for any other name. */
export function digitsIn(name: FileName): string | undefined {
  return MARKED.exec(name)?.[2]?.replace(/ .*/, "");
}

/** Candidates for a free name like this one: `stem (2).ext`, `stem (3).ext` … */
export function* ordinaryNames(plain: FileName): Generator<FileName> {
  const [, stem = plain, extension = ""] = /^(.+?)(\.[^.]*)?$/s.exec(plain) ?? [];
  for (let count = 2; ; count++) yield `${stem} (${count})${extension}` as FileName;
}

/** The last mark counts: a conflict name may precede it. Directories have up to 32 digits, files 64, then a count. */
const MARKED = /^(.*) \(conflict ([0-9a-f]{8}|[0-9a-f]{16}|(?:[0-9a-f]{32}|[0-9a-f]{64})(?: \d+)?)\)(\.[^.]*)?$/s;
