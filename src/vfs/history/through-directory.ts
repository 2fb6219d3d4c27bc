/** What a directory's permissions leave of an object's, for names in a `.history` that lead past the directory. */
import { isLinked } from "../../format/blocks/linked-value.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { ACCESS_ACL } from "../acl.ts";

const OWNER = 0o700;
const GROUP = 0o070;
const OTHER = 0o007;
const SEARCH = 0o111;

/** The record with a mode that lets nobody in but those who could search the directory. */
export function throughDirectory(record: FileRecord, directory: FileRecord): FileRecord {
  const sameOwner = record.uid === directory.uid;
  // Those whom a list names are not the group, but have at most the group's bits.
  const sameGroup = record.gid === directory.gid && !hasList(record);
  const searches = (bits: number) => (directory.mode & SEARCH & bits) !== 0;
  // A list may shut out anybody but the owner.
  const [owner, group, other] = [searches(OWNER), searches(GROUP), searches(OTHER)].map(
    (may, at) => may && (at === 0 || !hasList(directory)),
  );
  // The directory's owner is of another class here, unless it is the same.
  const letsOwner = owner || sameOwner;
  const kept =
    ((sameOwner ? owner : group && other) ? OWNER : 0) |
    (letsOwner && group && (other || sameGroup) ? GROUP : 0) |
    (letsOwner && other && (group || sameGroup) ? OTHER : 0);
  return { ...record, mode: record.mode & ~((OWNER | GROUP | OTHER) & ~kept) };
}

/** A long list of attributes counts as having one: it is in a block of its own. */
function hasList({ xattrs }: FileRecord): boolean {
  return isLinked(xattrs) || xattrs.has(ACCESS_ACL);
}
