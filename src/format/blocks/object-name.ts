/**
 * Names of a bucket's objects (docs/reference/formats.md, A bucket in an object store): a folder and lower-case hex digits,
 * which any file system can hold. A pack is named by 16 random bytes, a commit object by its commit's multihash.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, PackName, WriterId } from "../../base/ids.ts";
import { MAX_GENESIS_BYTES, MAX_OBJECT_BYTES, MAX_ROOT_BYTES, MAX_SMALL_OBJECT_BYTES } from "../../base/limits.ts";
import { HASH_BYTES } from "../../crypto/hash.ts";
import { digestOf } from "./cid.ts";

export const GENESIS_OBJECT = "genesis";
export const ROOT_OBJECT = "root";
export const PACK_FOLDER = "pack/";
export const COMMIT_FOLDER = "commit/";
export const RUN_FOLDER = "run/";
export const LEASE_FOLDER = "lease/";
export const BASES_FOLDER = "bases/";

/** Random bytes that name a pack or a run. */
export const OBJECT_ID_BYTES = 16;

/** `kind u8 ‖ name 32`: 0 and 16 random bytes followed by zeros for a pack, 1 and the digest for a commit object. */
export const PACK_REFERENCE_BYTES = 1 + HASH_BYTES;

export function packName(id: Uint8Array): PackName {
  return `${PACK_FOLDER}${hex(id)}` as PackName;
}

export function commitObjectName(commit: Cid): PackName {
  return `${COMMIT_FOLDER}${MULTIHASH_HEAD}${hex(digestOf(commit))}` as PackName;
}

export function runName(id: string): string {
  return `${RUN_FOLDER}${id}`;
}

export function leaseName(writer: WriterId): string {
  return `${LEASE_FOLDER}${writer}`;
}

/** A longer note of bases is not one. */
export const MAX_BASES_BYTES = 4 * MAX_ROOT_BYTES;

export function basesName(writer: WriterId): string {
  return `${BASES_FOLDER}${writer}`;
}

/** The name if it is that of a pack or a commit object, else undefined. */
export function parsePackName(name: string): PackName | undefined {
  return PACK_NAME.test(name) ? (name as PackName) : undefined;
}

/** The most bytes that an object of this name may have where it is read whole. */
export function mostBytesOf(name: string): number {
  if (/^(root$|roots\/)/.test(name)) return MAX_ROOT_BYTES;
  if (name.startsWith(BASES_FOLDER)) return MAX_BASES_BYTES;
  if (name === GENESIS_OBJECT) return MAX_GENESIS_BYTES;
  // Masters keep packs below a folder of their own.
  return /(^|\/)(pack|commit|run)\//.test(name) ? MAX_OBJECT_BYTES : MAX_SMALL_OBJECT_BYTES;
}

export function isRunName(name: string): boolean {
  return RUN_NAME.test(name);
}

/** Whether it is the name of a writer's lease or bases. */
export function isClaimName(name: string): boolean {
  return CLAIM_NAME.test(name);
}

/** The binary form: PACK_REFERENCE_BYTES. */
export function packReference(name: PackName): Uint8Array {
  const reference = new Uint8Array(PACK_REFERENCE_BYTES);
  const commit = name.startsWith(COMMIT_FOLDER);
  reference[0] = commit ? 1 : 0;
  const digits = name.slice(commit ? COMMIT_FOLDER.length + MULTIHASH_HEAD.length : PACK_FOLDER.length);
  reference.set(Buffer.from(digits, "hex"), 1);
  return reference;
}

/** From the binary form. Throws `format_invalid`. */
export function packFromReference(reference: Uint8Array): PackName {
  const name = reference.subarray(1);
  if (reference.length === PACK_REFERENCE_BYTES && reference[0] === 1) {
    return `${COMMIT_FOLDER}${MULTIHASH_HEAD}${hex(name)}` as PackName;
  }
  const padded = name.subarray(OBJECT_ID_BYTES).every((byte) => byte === 0);
  if (reference.length !== PACK_REFERENCE_BYTES || reference[0] !== 0 || !padded) {
    throw new SynclineError("format_invalid", `${hex(reference).slice(0, 80)} is not a pack reference.`);
  }
  return packName(name.subarray(0, OBJECT_ID_BYTES));
}

/** The multihash head for blake3, 32 bytes. */
const MULTIHASH_HEAD = "1e20";
const CLAIM_NAME = /^(lease|bases)\/[0-9a-f]{32}$/;
const RUN_NAME = /^run\/[0-9a-f]{32}$/;
const PACK_NAME = /^(pack\/[0-9a-f]{32}|commit\/1e20[0-9a-f]{64})$/;

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}
