/**
 * Keys of the tree's rows, `id 16 ‖ kind 1 ‖ rest`, and the ids in them (docs/reference/formats.md, Ids and keys).
 *
 * One ordered space: all rows of an id lie together, a directory's entries are one range sorted by name bytes.
 */
import { SynclineError } from "../../base/errors.ts";
import { checkName } from "../../base/names.ts";
import { type FileId, type FileName, ROOT_ID, type WriterId } from "../../base/ids.ts";
import { deriveHash } from "../../crypto/hash.ts";
import type { FileType } from "./record.ts";

export const ID_BYTES = 16;

export const KIND_SELF = 0x00;
export const KIND_DENTRY = 0x01;
export const KIND_BACKREF = 0x02;

export type Key =
  | { readonly kind: "self"; readonly id: FileId }
  | { readonly kind: "dentry"; readonly id: FileId; readonly name: FileName }
  | { readonly kind: "backref"; readonly id: FileId; readonly parent: FileId; readonly name: FileName };

/** The row of a directory, or of a file that has several names. */
export function selfKey(id: FileId): Uint8Array {
  return keyBytes(id, KIND_SELF, "");
}

/** The row of a name in a directory. */
export function dentryKey(parent: FileId, name: FileName): Uint8Array {
  return keyBytes(parent, KIND_DENTRY, name);
}

/** The row with the location of a moved or hard-linked file. */
export function backrefKey(id: FileId, parent: FileId, name: FileName): Uint8Array {
  return keyBytes(id, KIND_BACKREF, Buffer.from(parent, "hex").toString("latin1") + name);
}

/** The range [from, to) of all rows of one kind of one id. */
export function kindRange(id: FileId, kind: number): { readonly from: Uint8Array; readonly to: Uint8Array } {
  return { from: keyBytes(id, kind, ""), to: keyBytes(id, kind + 1, "") };
}

/** Parses a key. Throws `format_invalid` for keys unknown to this version. */
export function parseKey(key: Uint8Array): Key {
  const buffer = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
  if (buffer.length <= ID_BYTES)
    throw new SynclineError("format_invalid", "A tree key is shorter than an id and a kind.");
  const id = buffer.toString("hex", 0, ID_BYTES) as FileId;
  const rest = ID_BYTES + 1;
  switch (buffer[ID_BYTES]) {
    case KIND_SELF:
      if (buffer.length !== rest) break;
      return { kind: "self", id };
    case KIND_DENTRY:
      return { kind: "dentry", id, name: storedName(buffer.toString("latin1", rest)) };
    case KIND_BACKREF: {
      if (buffer.length <= rest + ID_BYTES) break;
      const parent = buffer.toString("hex", rest, rest + ID_BYTES) as FileId;
      return { kind: "backref", id, parent, name: storedName(buffer.toString("latin1", rest + ID_BYTES)) };
    }
  }
  throw new SynclineError("format_invalid", `A tree key has an unknown kind: ${buffer.toString("hex").slice(0, 80)}.`);
}

/** The name in a dentry's key: the fast path for listing whole directories. Throws `format_invalid`. */
export function dentryName(key: Uint8Array): FileName {
  return storedName(Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1", ID_BYTES + 1));
}

/** The id of an object created at this place (docs/reference/formats.md, Ids and keys; docs/design/merge.md, Identity). */
export function birthId(parent: FileId, name: FileName, type: FileType, generation: number): FileId {
  const place = Buffer.allocUnsafe(ID_BYTES + 5 + name.length);
  place.write(parent, 0, "hex");
  place.writeUInt32BE(generation, ID_BYTES);
  place[ID_BYTES + 4] = TYPE_CODES[type];
  place.write(name, ID_BYTES + 5, "latin1");
  return idFromHash(parent, deriveHash("syncline/birth/1", place));
}

/**
 * Key ranges [from, to), ascending, one of which contains the rows of the directory where an object with this id was
 * created: ids of one part of the tree share a prefix.
 */
export function birthRanges(id: FileId): { readonly from: Uint8Array; readonly to: Uint8Array }[] {
  const end = LOCALITY_SLOTS * SLOT_DIGITS;
  const locality = id.slice(0, end);
  let filled = 0;
  while (filled < end && !locality.startsWith(FREE_SLOT, filled)) filled += SLOT_DIGITS;
  // The last filled slot is the object's own, or, if all are filled, perhaps that of a directory above.
  const above = locality.slice(0, Math.max(filled - SLOT_DIGITS, 0)).padEnd(end, "0");
  return [...new Set(filled === end ? [above, locality] : [above])].map((digits) => ({
    from: Buffer.from(digits, "hex"),
    to: Buffer.from(digits + "ff".repeat(ID_BYTES + 1), "hex"),
  }));
}

/** The loser's new id if both sides created one id at different places (docs/design/merge.md, the table). */
export function splitId(parent: FileId, id: FileId, writer: WriterId, epoch: number): FileId {
  const tail = Buffer.alloc(8);
  tail.writeBigUInt64BE(BigInt(epoch));
  return idFromHash(parent, deriveHash("syncline/split/1", Buffer.from(id + writer, "hex"), tail));
}

/** The id of a conflict copy: derived from its original and its content, so that every writer gets the same. */
export function copyId(
  parent: FileId,
  of: FileId,
  name: FileName,
  contentHash: Uint8Array,
  generation: number,
): FileId {
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(generation);
  const hash = deriveHash("syncline/copy/1", Buffer.from(of, "hex"), contentHash, tail, Buffer.from(name, "latin1"));
  return idFromHash(parent, hash);
}

/** Codes of file types in ids and records: never change them. */
export const TYPE_CODES: Readonly<Record<FileType, number>> = {
  file: 1,
  directory: 2,
  symlink: 3,
  fifo: 4,
  socket: 5,
  char: 6,
  block: 7,
};

const LOCALITY_SLOTS = 4;
/** Hex digits of a slot, and of the hash in an id. */
const SLOT_DIGITS = 3;
const FREE_SLOT = "000";
const HASH_BYTES_IN_ID = 10;

/** 6 bytes of locality (four 12-bit slots from the parent, the first free one filled) ‖ 10 bytes of hash. */
function idFromHash(parent: FileId, hash: Uint8Array): FileId {
  const bytes = Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength);
  const end = LOCALITY_SLOTS * SLOT_DIGITS;
  let locality = parent.slice(0, end);
  for (let at = 0; at < end; at += SLOT_DIGITS) {
    if (!parent.startsWith(FREE_SLOT, at)) continue;
    const slot = (1 + (bytes.readUInt32BE(12) % 4095)).toString(16).padStart(SLOT_DIGITS, "0");
    locality = parent.slice(0, at) + slot + parent.slice(at + SLOT_DIGITS, end);
    break;
  }
  const id = (locality + bytes.toString("hex", 0, HASH_BYTES_IN_ID)) as FileId;
  return id === ROOT_ID ? (`${id.slice(0, -1)}1` as FileId) : id;
}

function keyBytes(id: FileId, kind: number, rest: string): Uint8Array {
  const key = Buffer.allocUnsafe(ID_BYTES + 1 + rest.length);
  key.write(id, 0, "hex");
  key[ID_BYTES] = kind;
  key.write(rest, ID_BYTES + 1, "latin1");
  return key;
}

function storedName(name: string): FileName {
  try {
    return checkName(name);
  } catch (cause) {
    throw new SynclineError("format_invalid", "A tree key has an invalid file name.", { cause });
  }
}
