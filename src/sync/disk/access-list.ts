/**
 * POSIX access control lists of files on Linux. They are not synced. Where a file has one, its mode shows the list's mask
 * instead of the group's rights.
 */
import { failedWith } from "../../base/system-errors.ts";
import type { Xattrs } from "../../format/files/record.ts";
import { unlessSync } from "../../base/unless.ts";
import type { BeneathAddon } from "./addon.ts";

/** Gives the file of one descriptor the list of another's, or none; "none": neither has one. Throws as the system does. */
export function copyAcl(addon: BeneathAddon, from: number, to: number): "none" | "copied" | "refused" {
  const [wanted, own] = [addon.getXattr(from, ACL), addon.getXattr(to, ACL)];
  if (wanted === undefined && own === undefined) return "none";
  try {
    if (wanted === undefined) addon.removeXattr(to, ACL);
    else addon.setXattr(to, ACL, wanted);
    return "copied";
  } catch (error) {
    if (failedWith(error, ...REFUSED)) return "refused";
    throw error;
  }
}

/** What a list gives the file's group: its own entry within the mask (rwx bits). Undefined: there is no list. */
export function groupRights(addon: BeneathAddon, descriptor: number): number | undefined {
  const { group, mask } = groupIn(addon, descriptor) ?? {};
  return group === undefined || mask === undefined ? undefined : group & mask;
}

/** Sets a mode. If a list gives the group its rights already, the list's mask stays. */
export function setModeBesideList(addon: BeneathAddon, descriptor: number, mode: number): void {
  const { group = 0, mask } = groupIn(addon, descriptor) ?? {};
  const hasRights = mask !== undefined && (group & mask) === ((mode >> 3) & 7);
  addon.setModeOf(descriptor, hasRights ? (mode & ~0o070) | (mask << 3) : mode);
}

/** A mode from the bucket for a file that gets no list: the group has its rights, not those of the mask. */
export function modeWithoutList(mode: number, xattrs: Xattrs): number {
  const list = xattrs.get(ACL);
  const { group, mask } = list === undefined ? {} : rightsIn(list);
  return group === undefined || mask === undefined ? mode : mode & (~0o070 | (group << 3));
}

function groupIn(addon: BeneathAddon, descriptor: number): ListRights | undefined {
  const list = unlessSync(["ENOTSUP", "EOPNOTSUPP"], () => addon.getXattr(descriptor, ACL));
  return list && rightsIn(list);
}

interface ListRights {
  group?: number;
  mask?: number;
}

/** Linux: include/uapi/linux/posix_acl_xattr.h. A version, then entries of a tag, rights and an id. */
function rightsIn(list: Uint8Array): ListRights {
  const view = new DataView(list.buffer, list.byteOffset, list.length);
  const rights: ListRights = {};
  for (let at = HEADER_BYTES; at + ENTRY_BYTES <= list.length; at += ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    if (tag === GROUP) rights.group = view.getUint16(at + 2, true);
    if (tag === MASK) rights.mask = view.getUint16(at + 2, true);
  }
  return rights;
}

const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const GROUP = 0x04;
const MASK = 0x10;

const ACL = "system.posix_acl_access";
const REFUSED = ["EPERM", "EINVAL", "ENOSPC", "EDQUOT", "ENOTSUP", "EOPNOTSUPP"];
