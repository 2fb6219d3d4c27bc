/** Names for conflict losers: `stem (conflict <digits>).ext`. Made from content alone, so all writers make the same. */
import type { FileId, FileName } from "../../base/ids.ts";
import { MAX_NAME_BYTES } from "../../base/limits.ts";
import { cutAtCharacter } from "../../base/names.ts";

/** How many hash digits a name gets: more while the shorter name is taken. After the last, a count is appended. */
const DIGITS = [8, 16, 32, 64];

/** An id's leading hex digits, copied from the parent: the locality (docs/reference/formats.md, Ids and keys). */
const LOCALITY_DIGITS = 12;

/** Conflict names of a file with this name and hash, best first, without end: of at most `room` bytes each. */
export function fileNames(name: FileName, hash: Uint8Array, room = MAX_NAME_BYTES): Generator<FileName> {
  return conflictNames(name, extensionOf(name), Buffer.from(hash).toString("hex"), room);
}

/** Conflict names of a directory whose whole tree has this hash. */
export function treeNames(name: FileName, hash: Uint8Array): Generator<FileName> {
  return conflictNames(name, "", Buffer.from(hash).toString("hex"));
}

/** Conflict names of a directory, best first, without end. A directory's name has no extension. */
export function directoryNames(name: FileName, id: FileId): Generator<FileName> {
  return conflictNames(name, "", idDigits(id));
}

/** As `fileNames`, for a file whose hash is not known yet. */
export function unhashedNames(name: FileName, id: FileId): Generator<FileName> {
  return conflictNames(name, extensionOf(name), idDigits(id));
}

/** The digits in the conflict names of a directory with this id. */
export function idDigits(id: FileId): string {
  return id.slice(LOCALITY_DIGITS) + id.slice(0, LOCALITY_DIGITS);
}

function* conflictNames(name: FileName, extension: string, digits: string, room = MAX_NAME_BYTES): Generator<FileName> {
  for (const count of DIGITS) if (count <= digits.length) yield nameWith(name, extension, digits.slice(0, count), room);
  for (let count = 2; ; count++) yield nameWith(name, extension, `${digits} ${count}`, room);
}

/** The last dot and what follows. A dot with only dots before it starts no extension: `.bashrc` has none. */
function extensionOf(name: string): string {
  const dot = name.lastIndexOf(".");
  return /^\.*$/.test(name.slice(0, Math.max(dot, 0))) ? "" : name.slice(dot);
}

function nameWith(name: string, extension: string, mark: string, room: number): FileName {
  const suffix = ` (conflict ${mark})`;
  // An extension that leaves no room for a stem is dropped.
  const kept = suffix.length + extension.length < room ? extension : "";
  const stem = name.slice(0, name.length - kept.length);
  return (cutAtCharacter(stem, room - suffix.length - kept.length) + suffix + kept) as FileName;
}
