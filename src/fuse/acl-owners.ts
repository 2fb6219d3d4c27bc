/** The named users and groups of access control lists, as a mount shows them. */
import { ACL_TAG, encodeAcl } from "../format/files/acl.ts";
import { parseAcl } from "../vfs/acl.ts";
import type { Owners } from "./owners.ts";

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
  const entries = acl.map(({ tag, permissions, id }) => {
    return { tag, permissions, id: tag === ACL_TAG.user ? uid(id) : tag === ACL_TAG.group ? gid(id) : id };
  });
  return encodeAcl(entries);
}
