/** Checks what a merge lets users do (docs/design/merge.md, Versions and fields, and law 9): each check returns what is wrong, as texts. */
import { isLinked } from "../../src/format/blocks/linked-value.ts";
import { ACCESS_ACL, type Acl, ACL_TAG, decodeAcl } from "../../src/format/files/acl.ts";
import type { FileRecord } from "../../src/format/files/record.ts";
import type { Surveyed } from "./merge-laws.ts";

/** Nobody may do what both versions refuse: the owner, the group, a named user or group, all others. */
export function gainedRights(sides: readonly Surveyed[], merged: Surveyed): string[] {
  return [...merged.objects.values()].flatMap(({ id, record, names }) => {
    const versions = sides.flatMap(({ objects }) => objects.get(id)?.record ?? []);
    if (versions.length === 0) return [];
    return [record, ...versions].flatMap(classesOf).flatMap((who) => {
      const allowed = versions.reduce((bits, version) => bits | rightsOf(version, who), 0);
      const gained = rightsOf(record, who) & ~allowed;
      return gained === 0 ? [] : [`gained right ${gained} of ${who.tag}:${who.id}: ${id} ${names}`];
    });
  });
}

/** A set-id bit or a capability is on a version that a side had with it and with the owner. */
export function gainedPrivileges(sides: readonly Surveyed[], merged: Surveyed): string[] {
  const known = new Set(
    sides.flatMap((side) =>
      [...side.objects.values()].flatMap(({ id, record }) =>
        privilegesOf(record).map((privilege) => `${side.texts.get(id)} ${privilege}`),
      ),
    ),
  );
  return [...merged.objects.values()].flatMap(({ id, record, names }) => {
    if (record.type === "directory") return [];
    const text = merged.texts.get(id) ?? "";
    const isOfBoth = !sides.some(({ versions }) => versions.has(text));
    const gained = privilegesOf(record).filter((privilege) => {
      if (!isOfBoth) return !known.has(`${text} ${privilege}`);
      const has = ({ objects }: Surveyed) => privilegesOf(objects.get(id)?.record).includes(privilege);
      return !sides.every(has);
    });
    return gained.map((privilege) => `gained ${privilege}: ${id} ${names}`);
  });
}

interface Class {
  readonly tag: number;
  readonly id: number;
}

function classesOf(record: FileRecord): Class[] {
  const plain = [ACL_TAG.owner, ACL_TAG.owningGroup, ACL_TAG.other].map((tag) => ({ tag, id: 0 }));
  return [...plain, ...listOf(record).filter(({ tag }) => tag === ACL_TAG.user || tag === ACL_TAG.group)];
}

/** Who is not named is one of all others. */
function rightsOf(record: FileRecord, { tag, id }: Class): number {
  const [owner, group, other] = [record.mode >> 6, record.mode >> 3, record.mode].map((bits) => bits & 7);
  if (tag === ACL_TAG.owner) return owner ?? 0;
  const list = listOf(record);
  const entry = list.find((each) => each.tag === tag && (tag === ACL_TAG.owningGroup || each.id === id));
  if (tag === ACL_TAG.owningGroup) return (entry?.permissions ?? 7) & (group ?? 0);
  return entry === undefined ? (other ?? 0) : entry.permissions & (group ?? 0);
}

function listOf({ xattrs }: FileRecord): Acl {
  const value = isLinked(xattrs) ? undefined : xattrs.get(ACCESS_ACL);
  return (value && decodeAcl(value)?.acl) ?? [];
}

/** With the owner. */
function privilegesOf(record: FileRecord | undefined): string[] {
  if (record === undefined || record.type === "directory" || isLinked(record.xattrs)) return [];
  const { mode, uid, gid, xattrs } = record;
  const capability = xattrs.get("security.capability");
  const found = [
    ...(mode & 0o4000 ? ["set-user-id"] : []),
    ...(mode & 0o2000 && mode & 0o010 ? ["set-group-id"] : []),
    ...(capability === undefined ? [] : [`capability ${Buffer.from(capability).toString("hex")}`]),
  ];
  return found.map((privilege) => `${privilege} of ${uid}:${gid}`);
}
