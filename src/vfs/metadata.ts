/** Attributes and extended attributes: setting the fields of an object's record. */
import type { Ino } from "../base/ids.ts";
import { MAX_FILE_BYTES, MAX_NAME_BYTES, MAX_XATTR_BYTES } from "../base/limits.ts";
import { xattrBytes } from "../format/blocks/linked-value.ts";
import type { FileRecord } from "../format/files/record.ts";
import type { JournalRecord } from "../overlay/journal/journal-record.ts";
import { ACCESS_ACL, type Acl, DEFAULT_ACL, encodeAcl } from "../format/files/acl.ts";
import { impliedMode, isAcl, parseAcl, shownUnder } from "./acl.ts";
import type { AttributeChange, Attributes } from "./filesystem.ts";
import type { Objects } from "./objects.ts";
import { ownXattrs } from "./own-record.ts";
import { checkXattrName, STATE_XATTR } from "./publish-state.ts";
import { refuse } from "./refusal.ts";

const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const GROUP_EXECUTE = 0o010;
const PERMISSIONS = 0o7777;

export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

export class Metadata {
  readonly #objects: Objects;

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  setAttributes(ino: Ino, change: AttributeChange): Attributes {
    const record = this.#objects.record(ino);
    if (change.size !== undefined) {
      checkSize(record, change.size);
      this.#objects.checkWritable(ino);
    }
    // The answer's data must be in memory before anything changes.
    const { nlink } = this.#objects.attributes(ino);
    const now = this.#objects.clock.nowNs();
    const records: JournalRecord[] = [];
    this.#objects.keep(ino, records);
    if (change.size !== undefined) records.push({ kind: "resize", ino, size: change.size, timeNs: now });
    records.push({
      kind: "attributes",
      ino,
      mode: modeAfter(record, change),
      uid: change.uid ?? record.uid,
      gid: change.gid ?? record.gid,
      mtimeNs: timeOf(change.mtimeNs, now) ?? (change.size === undefined ? record.mtimeNs : now),
      ctimeNs: change.ctimeNs ?? now,
    });
    // Truncating a file frees space: it may use the reserve.
    this.#objects.execute(records, {
      urgent: change.size !== undefined && change.size < record.size,
      reason: () => (change.size === undefined ? "change" : "write"),
    });
    const object = this.#objects.changed(ino);
    object.atimeNs = timeOf(change.atimeNs, now) ?? object.atimeNs;
    return this.#objects.dirtyAttributes(object, nlink);
  }

  getXattr(ino: Ino, name: string): Uint8Array | undefined {
    const xattrs = this.#objects.xattrs(ino);
    if (name === STATE_XATTR) return this.#objects.publishState.of(ino);
    const value = xattrs.get(name);
    if (value === undefined || name !== ACCESS_ACL) return value;
    return shownUnder(value, this.#objects.record(ino).mode);
  }

  listXattrs(ino: Ino): string[] {
    return [...this.#objects.xattrs(ino).keys()].filter((name) => name !== STATE_XATTR);
  }

  setXattr(ino: Ino, name: string, value: Uint8Array, flags: number): void {
    if (name.length === 0 || name.length > MAX_NAME_BYTES || name.includes("\0")) throw refuse("ERANGE");
    if (value.length > MAX_XATTR_BYTES) throw refuse("E2BIG");
    checkXattrName(name);
    if (isAcl(name)) return this.#setAcl(ino, name, parseAcl(value));
    const before = this.#objects.xattrs(ino);
    if ((flags & XATTR_CREATE) !== 0 && before.has(name)) throw refuse("EEXIST");
    if ((flags & XATTR_REPLACE) !== 0 && !before.has(name)) throw refuse("ENODATA");
    const after = new Map(before).set(name, new Uint8Array(value));
    // A value's length is stored in two bytes.
    if (value.length === MAX_XATTR_BYTES || xattrBytes(after) > MAX_XATTR_BYTES) throw refuse("ENOSPC");
    this.#putXattrs(ino, after);
  }

  removeXattr(ino: Ino, name: string): void {
    checkXattrName(name);
    const after = new Map(this.#objects.xattrs(ino));
    const isThere = after.delete(name);
    // As on a disk, removing a list that does not exist succeeds.
    if (!isThere && isAcl(name)) return;
    if (!isThere) throw refuse("ENODATA");
    this.#putXattrs(ino, after);
  }

  /** An access list that a mode can express becomes the mode. */
  #setAcl(ino: Ino, name: string, acl: Acl | undefined): void {
    const record = this.#objects.record(ino);
    if (record.type === "symlink") throw refuse("EOPNOTSUPP");
    if (name === DEFAULT_ACL && record.type !== "directory" && acl !== undefined) throw refuse("EACCES");
    const implied = name === ACCESS_ACL && acl !== undefined ? impliedMode(acl, record.mode) : undefined;
    const before = this.#objects.xattrs(ino);
    const after = new Map(before);
    if (acl === undefined || implied?.isWhole) after.delete(name);
    else after.set(name, encodeAcl(acl));
    if (xattrBytes(after) > MAX_XATTR_BYTES) throw refuse("ENOSPC");
    if (after.size === 0 && before.size === 0) {
      if (implied !== undefined) this.setAttributes(ino, { mode: implied.mode });
    } else this.#putXattrs(ino, after, implied?.mode);
  }

  #putXattrs(ino: Ino, xattrs: ReadonlyMap<string, Uint8Array>, mode?: number): void {
    const records: JournalRecord[] = [];
    this.#objects.keep(ino, records);
    const timeNs = this.#objects.clock.nowNs();
    if (mode !== undefined) {
      const { uid, gid, mtimeNs } = this.#objects.record(ino);
      records.push({ kind: "attributes", ino, mode, uid, gid, mtimeNs, ctimeNs: timeNs });
    }
    records.push({ kind: "xattrs", ino, xattrs: ownXattrs(xattrs), timeNs });
    this.#objects.execute(records);
  }
}

function checkSize({ type }: FileRecord, size: number): void {
  if (type === "directory") throw refuse("EISDIR");
  if (type !== "file" || size < 0 || !Number.isInteger(size)) throw refuse("EINVAL");
  if (size > MAX_FILE_BYTES) throw refuse("EFBIG");
}

/** A new owner does not inherit set-id rights: setuid is cleared, and setgid where it means one (chown(2)). */
function modeAfter({ type, mode }: FileRecord, { mode: wanted, uid, gid }: AttributeChange): number {
  if (wanted !== undefined) return wanted & PERMISSIONS;
  if ((uid === undefined && gid === undefined) || type === "directory") return mode;
  return mode & ~S_ISUID & ((mode & GROUP_EXECUTE) !== 0 ? ~S_ISGID : ~0);
}

function timeOf(time: bigint | "now" | undefined, now: bigint): bigint | undefined {
  return time === "now" ? now : time;
}
