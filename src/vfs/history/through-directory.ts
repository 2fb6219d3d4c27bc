/** Limits an object's permissions to those who could search its directory, for names in a `.history` that bypass it. */
import { isLinked } from "../../format/blocks/linked-value.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { ACCESS_ACL } from "../../format/files/acl.ts";

const OWNER = 0o700;
const GROUP = 0o070;
const OTHER = 0o007;
const SEARCH = 0o111;

/**
 * The record, with a mode that grants nothing to those who could not search the directory. `oneOwner`: the mount shows one
 * owner for everything.
 */
export function throughDirectory(record: FileRecord, directory: FileRecord, oneOwner: boolean): FileRecord {
  const sameOwner = oneOwner || record.uid === directory.uid;
  // The group's bits also bound users and groups that an access list names.
  const sameGroup = (oneOwner || record.gid === directory.gid) && !hasList(record);
  const searches = (bits: number) => (directory.mode & SEARCH & bits) !== 0;
  // A list may shut out anybody but the owner.
  const [owner, group, other] = [searches(OWNER), searches(GROUP), searches(OTHER)].map(
    (may, at) => may && (at === 0 || !hasList(directory)),
  );
  // If the owners differ, the directory's owner counts as group or other here.
  const letsOwner = owner || sameOwner;
  const kept =
    ((sameOwner ? owner : group && other) ? OWNER : 0) |
    (letsOwner && group && (other || sameGroup) ? GROUP : 0) |
    (letsOwner && other && (group || sameGroup) ? OTHER : 0);
  return { ...record, mode: record.mode & ~((OWNER | GROUP | OTHER) & ~kept) };
}

/** Whether it has an access list. Long attributes are in a block of their own, and count as having one. */
function hasList({ xattrs }: FileRecord): boolean {
  return isLinked(xattrs) || xattrs.has(ACCESS_ACL);
}
