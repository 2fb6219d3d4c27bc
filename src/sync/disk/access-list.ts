/**
 * POSIX access control lists of files on Linux. They are not synced. Where a file has one, its mode shows the list's mask
 * instead of the group's rights.
 */
import { failedWith } from "../../base/system-errors.ts";
import { ACCESS_ACL, ACL_TAG, decodeAcl } from "../../format/files/acl.ts";
import type { Xattrs } from "../../format/files/record.ts";
import { unlessSync } from "../../base/unless.ts";
import type { BeneathAddon } from "./addon.ts";

/** Gives the file of one descriptor the list of another's, or none; "none": neither has one. Throws as the system does. */
export function copyAcl(addon: BeneathAddon, from: number, to: number): "none" | "copied" | "refused" {
  const [wanted, own] = [addon.getXattr(from, ACCESS_ACL), addon.getXattr(to, ACCESS_ACL)];
  if (wanted === undefined && own === undefined) return "none";
  try {
    if (wanted === undefined) addon.removeXattr(to, ACCESS_ACL);
    else addon.setXattr(to, ACCESS_ACL, wanted);
    return "copied";
  } catch (error) {
    if (failedWith(error, ...REFUSED)) return "refused";
    throw error;
  }
}

/** The rights that a list gives the file's group, limited by the mask (rwx bits). Undefined: there is no list. */
export function groupRights(addon: BeneathAddon, descriptor: number): number | undefined {
  const { group, mask } = groupIn(addon, descriptor) ?? {};
  return group === undefined || mask === undefined ? undefined : group & mask;
}

/** Sets a mode. If the file's list gives the group these rights already, the list's mask stays as it is. */
export function setModeBesideList(addon: BeneathAddon, descriptor: number, mode: number): void {
  const { group = 0, mask } = groupIn(addon, descriptor) ?? {};
  const hasRights = mask !== undefined && (group & mask) === ((mode >> 3) & 7);
  addon.setModeOf(descriptor, hasRights ? (mode & ~0o070) | (mask << 3) : mode);
}

/** The mode of a file that is written without its list: the group gets its own rights, not the mask's. */
export function modeWithoutList(mode: number, xattrs: Xattrs): number {
  const list = xattrs.get(ACCESS_ACL);
  const { group, mask }: Partial<ListRights> = list === undefined ? {} : rightsIn(list);
  return group === undefined || mask === undefined ? mode : mode & (~0o070 | (group << 3));
}

function groupIn(addon: BeneathAddon, descriptor: number): ListRights | undefined {
  const list = unlessSync(["ENOTSUP", "EOPNOTSUPP"], () => addon.getXattr(descriptor, ACCESS_ACL));
  return list && rightsIn(list);
}

interface ListRights {
  readonly group: number | undefined;
  readonly mask: number | undefined;
}

function rightsIn(list: Uint8Array): ListRights {
  const { acl = [] } = decodeAcl(list) ?? {};
  const rightsOf = (tag: number) => acl.find((entry) => entry.tag === tag)?.permissions;
  return { group: rightsOf(ACL_TAG.owningGroup), mask: rightsOf(ACL_TAG.mask) };
}

const REFUSED = ["EPERM", "EINVAL", "ENOSPC", "EDQUOT", "ENOTSUP", "EOPNOTSUPP"];
