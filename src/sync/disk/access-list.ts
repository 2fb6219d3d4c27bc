/** POSIX access control lists of files on Linux. They are not synced. */
import { failedWith } from "../../base/system-errors.ts";
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

const ACL = "system.posix_acl_access";
const REFUSED = ["EPERM", "EINVAL", "ENOSPC", "EDQUOT", "ENOTSUP", "EOPNOTSUPP"];
