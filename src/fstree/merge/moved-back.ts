/**
 * Files moved back to their birth places: no row under their id tells these (docs/reference/formats.md, Ids and keys).
 *
 * Only the diff shows them, as added dentries whose birth id is sought. One pass finds all of them.
 */
import type { Cid, FileId } from "../../base/ids.ts";
import { birthId, birthRanges, parseKey } from "../../format/files/keys.ts";
import { decodeDentry, dentryId } from "../../format/files/rows.ts";
import type { Change } from "../../tree/diff.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { range } from "../../tree/read.ts";
import type { TreeObject } from "../fs-reader.ts";
import type { Place } from "../object-rows.ts";

/** Whether a file's known places include its birth place. If not, a file that is not found may still exist. */
export function knowsBirthPlace(object: TreeObject, places: Iterable<Place>): boolean {
  for (const { parent, name } of places) if (birthId(parent, name, object.record.type, 0) === object.id) return true;
  return false;
}

/** Which of these files are at their birth places in the tree that `diff` leads to and were not there before. */
export async function findMovedBack(
  diff: AsyncIterable<Change>,
  sought: ReadonlySet<FileId>,
): Promise<Map<FileId, Place>> {
  const found = new Map<FileId, Place>();
  if (sought.size === 0) return found;
  for await (const { key, after } of diff) {
    const parsed = parseKey(key);
    if (parsed.kind !== "dentry" || after === undefined) continue;
    const place: Place = { parent: parsed.id, name: parsed.name };
    const dentry = decodeDentry(place.parent, place.name, after);
    if (dentry.kind !== "record" || dentry.stated !== undefined) continue;
    const id = dentryId(place.parent, place.name, dentry);
    if (sought.has(id)) found.set(id, place);
  }
  return found;
}

/** All entries of the directories in which these may have been born. */
export async function* birthRows(nodes: NodeStore, tree: Cid, ids: ReadonlySet<FileId>): AsyncGenerator<Change> {
  const ranges = new Map(
    [...ids].flatMap(birthRanges).map((bounds) => [Buffer.from(bounds.from).toString("hex"), bounds]),
  );
  for (const [, bounds] of [...ranges].sort(([a], [b]) => (a < b ? -1 : 1)))
    for await (const after of range(nodes, tree, bounds)) yield { key: after.key, before: undefined, after };
}
