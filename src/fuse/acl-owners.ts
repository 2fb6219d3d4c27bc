/** The named users and groups of access control lists, as a mount shows them. */
import { ACL_TAG, type AclEntry, encodeAcl, parseAcl } from "../vfs/acl.ts";
import type { Owners } from "./owners.ts";

/** Two entries that are shown as one have the permissions that both have. */
export function shownAcl(owners: Owners, value: Uint8Array): Uint8Array {
  return mapped(
    owners,
    value,
    (id) => owners.shownUid(id),
    (id) => owners.shownGid(id),
  );
}

export function storedAcl(owners: Owners, value: Uint8Array): Uint8Array {
  return mapped(
    owners,
    value,
    (id) => owners.storedUid(id),
    (id) => owners.storedGid(id),
  );
}

function mapped(
  owners: Owners,
  value: Uint8Array,
  uid: (id: number) => number,
  gid: (id: number) => number,
): Uint8Array {
  if (!owners.hasMap) return value;
  const acl = parseAcl(value);
  if (acl === undefined) return value;
  const entries = new Map<string, AclEntry>();
  for (const entry of acl) {
    const { tag } = entry;
    const id = tag === ACL_TAG.user ? uid(entry.id) : tag === ACL_TAG.group ? gid(entry.id) : entry.id;
    const key = `${tag} ${id}`;
    const permissions = entry.permissions & (entries.get(key)?.permissions ?? entry.permissions);
    entries.set(key, { tag, permissions, id });
  }
  return encodeAcl([...entries.values()]);
}
