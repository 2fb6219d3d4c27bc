/**
 * POSIX access control lists, with the rules of Linux (fs/posix_acl.c). They are stored as the extended attributes that
 * programs set, in the kernel's encoding.
 *
 * The mode is the truth. Of a stored access list, only the entries that a mode lacks count: named users and groups, and the
 * owning group beside a mask. `underMode` puts the mode's bits into the others. So another door or an older version may change
 * the mode without knowing of lists: the list need not change, and cannot contradict the mode. A damaged list gives EIO, not
 * access.
 */
import { ERRNO } from "../base/errno.ts";
import { ACCESS_ACL, type Acl, ACL_TAG, ACL_VERSION, decodeAcl, DEFAULT_ACL, encodeAcl } from "../format/files/acl.ts";
import { FsError } from "./filesystem.ts";
import { refuse } from "./refusal.ts";

export function isAcl(name: string): boolean {
  return name === ACCESS_ACL || name === DEFAULT_ACL;
}

/** Refuses what the kernel refuses. Undefined: no entries, which means no list. */
export function parseAcl(value: Uint8Array): Acl | undefined {
  const { version, acl } = decodeAcl(value) ?? {};
  if (acl === undefined) throw refuse("EINVAL");
  if (version !== ACL_VERSION) throw refuse("EOPNOTSUPP");
  if (acl.length === 0) return undefined;
  if (!isValid(acl)) throw refuse("EINVAL");
  return acl;
}

/** As `parseAcl`, for a stored list: an invalid one is damage. */
export function readAcl(value: Uint8Array): Acl | undefined {
  try {
    return parseAcl(value);
  } catch {
    throw new FsError(ERRNO.EIO, "the stored access control list is damaged");
  }
}

/** The mode that an access list implies, and whether that mode says all that the list says. */
export function impliedMode(acl: Acl, mode: number): { readonly mode: number; readonly isWhole: boolean } {
  const named = groupEntry(acl);
  let bits = 0;
  for (const { tag, permissions } of acl) {
    if (tag === ACL_TAG.owner) bits |= permissions << 6;
    else if (tag === ACL_TAG.other) bits |= permissions;
    else if (tag === named) bits |= permissions << 3;
  }
  return { mode: (mode & ~PERMISSIONS) | bits, isWhole: acl.every(({ tag }) => PLAIN.has(tag)) };
}

/** The list with the mode's bits in it. */
function underMode(acl: Acl, mode: number): Acl {
  return withBits(acl, (tag) => modeBits(acl, tag, mode));
}

/** A stored access list as programs see it. Undefined if it is invalid. */
export function shownUnder(stored: Uint8Array, mode: number): Buffer | undefined {
  const acl = readAcl(stored);
  return acl && encodeAcl(underMode(acl, mode));
}

/** An access list, as programs see it, without the right to write. */
export function withoutWriting(shown: Uint8Array): Buffer {
  const acl = readAcl(shown) ?? [];
  return encodeAcl(acl.map(({ tag, permissions, id }) => ({ tag, permissions: permissions & ~WRITE, id })));
}

/** The mode and access list of a new object in a directory with this default list. The umask does not apply. */
export function inheritAcl(acl: Acl, mode: number): { readonly mode: number; readonly access: Acl | undefined } {
  const access = withBits(acl, (tag, permissions) => {
    const asked = modeBits(acl, tag, mode);
    return asked === undefined ? undefined : asked & permissions;
  });
  const implied = impliedMode(access, mode);
  return { mode: implied.mode, access: implied.isWhole ? undefined : access };
}

const PERMISSIONS = 0o777;
const WRITE = 0o2;
const NO_ID = 0xffff_ffff;

/** The entries that a mode can express. */
const PLAIN: ReadonlySet<number> = new Set([ACL_TAG.owner, ACL_TAG.owningGroup, ACL_TAG.other]);

/** The entry that the mode's group bits stand for. */
function groupEntry(acl: Acl): number {
  return acl.some(({ tag }) => tag === ACL_TAG.mask) ? ACL_TAG.mask : ACL_TAG.owningGroup;
}

/** The mode's bits for an entry, if it has any. */
function modeBits(acl: Acl, tag: number, mode: number): number | undefined {
  if (tag === ACL_TAG.owner) return (mode >> 6) & 7;
  if (tag === ACL_TAG.other) return mode & 7;
  return tag === groupEntry(acl) ? (mode >> 3) & 7 : undefined;
}

function withBits(acl: Acl, bits: (tag: number, permissions: number) => number | undefined): Acl {
  return acl.map((entry) => {
    const permissions = bits(entry.tag, entry.permissions);
    return permissions === undefined ? entry : { ...entry, permissions };
  });
}

/** As posix_acl_valid: tags in order; one owner, one owning group, one other; and a mask if there are named entries. */
function isValid(acl: Acl): boolean {
  const order = acl.map(({ tag }) => TAGS.indexOf(tag));
  const count = (tag: number) => acl.filter((entry) => entry.tag === tag).length;
  const isNamed = (tag: number) => tag === ACL_TAG.user || tag === ACL_TAG.group;
  return (
    order.every((place, index) => place >= (order[index - 1] ?? 0)) &&
    acl.every(({ tag, permissions, id }) => permissions <= 7 && (!isNamed(tag) || id !== NO_ID)) &&
    [...PLAIN].every((tag) => count(tag) === 1) &&
    count(ACL_TAG.mask) <= 1 &&
    (count(ACL_TAG.mask) === 1 || !acl.some(({ tag }) => isNamed(tag)))
  );
}

const TAGS: readonly number[] = Object.values(ACL_TAG);
