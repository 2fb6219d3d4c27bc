/** Encodes and decodes POSIX access control lists as Linux does (include/uapi/linux/posix_acl_xattr.h). Buckets use the same encoding. */

export const ACCESS_ACL = "system.posix_acl_access";
export const DEFAULT_ACL = "system.posix_acl_default";

export interface AclEntry {
  readonly tag: number;
  /** Three bits, as in a mode. */
  readonly permissions: number;
  /** The named user or group. */
  readonly id: number;
}

export type Acl = readonly AclEntry[];

/** The kernel's tags, which are also stored: never change them. */
export const ACL_TAG = { owner: 0x01, user: 0x02, owningGroup: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;

/** Undefined if the bytes are cut off. Checks nothing else. */
export function decodeAcl(value: Uint8Array): { readonly version: number; readonly acl: Acl } | undefined {
  if (value.length < HEAD_BYTES || (value.length - HEAD_BYTES) % ENTRY_BYTES !== 0) return undefined;
  const view = Buffer.from(value.buffer, value.byteOffset, value.length);
  const acl: AclEntry[] = [];
  for (let at = HEAD_BYTES; at < value.length; at += ENTRY_BYTES) {
    acl.push({ tag: view.readUInt16LE(at), permissions: view.readUInt16LE(at + 2), id: view.readUInt32LE(at + 4) });
  }
  return { version: view.readUInt32LE(0), acl };
}

export function encodeAcl(acl: Acl): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES + acl.length * ENTRY_BYTES);
  bytes.writeUInt32LE(ACL_VERSION, 0);
  for (const [index, { tag, permissions, id }] of acl.entries()) {
    const at = HEAD_BYTES + index * ENTRY_BYTES;
    bytes.writeUInt16LE(tag, at);
    bytes.writeUInt16LE(permissions, at + 2);
    bytes.writeUInt32LE(id, at + 4);
  }
  return bytes;
}

export const ACL_VERSION = 2;
const HEAD_BYTES = 4;
const ENTRY_BYTES = 8;
