/** Conflict names read back: `stem (conflict <digits>).ext` is what merge/conflict-names.ts makes. */
import type { FileName } from "../../base/ids.ts";

/** The name that this one lost to; undefined for any other name. Of a stem that was cut for its length, what is left of it. */
export function plainNameOf(name: FileName): FileName | undefined {
  const match = MARKED.exec(name);
  if (match === null) return undefined;
  const [, stem = "", extension = ""] = match;
  return (stem + extension) as FileName;
}

/** A name like this one that is free: `stem (2).ext`, `stem (3).ext` … */
export function* ordinaryNames(plain: FileName): Generator<FileName> {
  const [, stem = plain, extension = ""] = /^(.+?)(\.[^.]*)?$/s.exec(plain) ?? [];
  for (let count = 2; ; count++) yield `${stem} (${count})${extension}` as FileName;
}

/** The last mark counts: what stands before it may be a conflict name itself. Directories have 32 digits at most, files 64, then both a count. */
const MARKED = /^(.*) \(conflict (?:[0-9a-f]{8}|[0-9a-f]{16}|(?:[0-9a-f]{32}|[0-9a-f]{64})(?: \d+)?)\)(\.[^.]*)?$/s;
