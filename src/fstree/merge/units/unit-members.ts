/** A unit's members in one of the trees, and a hash of its bytes as a whole. */
import type { FileId, FileName } from "../../../base/ids.ts";
import { blake3 } from "../../../crypto/hash.ts";
import type { TreeObject } from "../../fs-reader.ts";
import type { Place } from "../../object-rows.ts";
import type { MergeContext } from "../context.ts";
import { versionHash } from "../contents/content.ts";
import { isDirectory, samePlaces, sameVersion, sortPlaces } from "../objects.ts";
import type { Child } from "../snapshot.ts";
import type { UnitRules } from "./unit-rules.ts";

/** A directory by its id, with everything below it; or files of these names in one directory. */
export type Unit =
  | { readonly kind: "tree"; readonly root: FileId }
  | { readonly kind: "family"; readonly parent: FileId; readonly main: FileName };

export interface Member {
  readonly object: TreeObject;
  /** Its paths in the unit: names below the root, joined by "/"; in a family, the suffix after the main name. */
  readonly paths: string[];
  /** The same paths as places; for hard links, only those within the unit. */
  readonly places: Place[];
}

export type UnitMembers = ReadonlyMap<FileId, Member>;

/** One of the three trees, or the tree in the making when it has one object for each name. */
export interface UnitSource {
  at(place: Place): Promise<TreeObject | undefined>;
  children(directory: FileId): AsyncIterable<Child>;
}

/** The root directory of a tree unit is not a member: it is where the members are. */
export async function membersOf(source: UnitSource, unit: Unit, rules: UnitRules): Promise<UnitMembers> {
  const members = new Map<FileId, Member>();
  if (unit.kind === "tree") await collectTree(source, unit.root, members);
  else {
    for (const suffix of ["", ...rules.suffixesOf(unit.main)]) {
      const place: Place = { parent: unit.parent, name: (unit.main + suffix) as FileName };
      const object = await source.at(place);
      if (object !== undefined && !isDirectory(object)) add(members, object, place, suffix);
    }
  }
  return members;
}

/** Whether one side changed the unit: other objects, names in it, or bytes. Modes and times do not count. */
export function differ(before: UnitMembers, after: UnitMembers): boolean {
  if (before.size !== after.size) return true;
  for (const [id, { object, places }] of before) {
    const other = after.get(id);
    if (other === undefined || !sameVersion(object.record, other.object.record)) return true;
    if (!samePlaces(sortPlaces(places), sortPlaces(other.places))) return true;
  }
  return false;
}

/**
 * The hash that names a unit's copy: of its paths and the bytes at them, sorted. Ids, modes, owners and times are left out:
 * equal bytes are one version, whichever writer they came from. 32 bytes.
 */
export async function unitHash(context: MergeContext, members: UnitMembers): Promise<Uint8Array> {
  const lines: [string, Uint8Array][] = [];
  for (const { object, paths } of members.values()) {
    const hash = isDirectory(object) ? new Uint8Array() : await versionHash(context, object.record);
    for (const path of paths) lines.push([`${path}\0${object.record.type}\0`, hash]);
  }
  lines.sort(([a], [b]) => (a < b ? -1 : 1));
  return blake3(Buffer.concat(lines.flatMap(([text, hash]) => [Buffer.from(text, "latin1"), hash])));
}

async function collectTree(source: UnitSource, root: FileId, members: Map<FileId, Member>): Promise<void> {
  // In a damaged bucket, directories may contain one another.
  const seen = new Set([root]);
  const open = [{ directory: root, prefix: "" }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for await (const { place, object: listed } of source.children(next.directory)) {
      const object = listed ?? (await source.at(place));
      if (object === undefined) continue;
      const path = next.prefix + place.name;
      add(members, object, place, path);
      if (!isDirectory(object) || seen.has(object.id)) continue;
      seen.add(object.id);
      open.push({ directory: object.id, prefix: `${path}/` });
    }
  }
}

function add(members: Map<FileId, Member>, object: TreeObject, place: Place, path: string): void {
  const member = members.get(object.id) ?? { object, paths: [], places: [] };
  member.paths.push(path);
  member.places.push(place);
  members.set(object.id, member);
}
