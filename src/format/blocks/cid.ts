/** CIDs of blocks: CIDv1, blake3-256, dag-cbor for structure and raw for content; all others are rejected. */
import { base32 } from "multiformats/bases/base32";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { blake3, HASH_BYTES } from "../../crypto/hash.ts";
import { CID_BYTES, cidText, cidTextBytes } from "./cid-text.ts";

export type Codec = "dag-cbor" | "raw";

export { CID_BYTES };

const CODES: Record<Codec, number> = { "dag-cbor": 0x71, raw: 0x55 };
const BLAKE3_CODE = 0x1e;

export function cidOf(codec: Codec, bytes: Uint8Array): Cid {
  return cidFromDigest(codec, blake3(bytes));
}

export function cidFromDigest(codec: Codec, digest: Uint8Array): Cid {
  const bytes = new Uint8Array(CID_BYTES);
  bytes[0] = 1;
  bytes[1] = CODES[codec];
  bytes[2] = BLAKE3_CODE;
  bytes[3] = HASH_BYTES;
  bytes.set(digest, 4);
  return cidText(bytes);
}

/** From the binary form (36 bytes). Throws `format_invalid` for any other kind of CID. */
export function cidFromBytes(bytes: Uint8Array): Cid {
  if (bytes.length !== CID_BYTES) throw invalidLink();
  return cidAt(bytes, 0);
}

/** From the 36 bytes that begin at `from`. Throws `format_invalid` for any other kind of CID. */
export function cidAt(bytes: Uint8Array, from: number): Cid {
  if (from + CID_BYTES > bytes.length || !isBlockCid(bytes, from)) throw invalidLink();
  return cidText(bytes, from);
}

/** Whether the 36 bytes from `at` on are a block's CID. */
export function isBlockCid(bytes: Uint8Array, at: number): boolean {
  const codec = bytes[at + 1];
  const framed = bytes[at] === 1 && bytes[at + 2] === BLAKE3_CODE && bytes[at + 3] === HASH_BYTES;
  return framed && (codec === CODES["dag-cbor"] || codec === CODES.raw);
}

/** From text. Throws `format_invalid`; the text must be the canonical base32 form. */
export function parseCid(text: string): Cid {
  let bytes: Uint8Array;
  try {
    bytes = base32.decode(text);
  } catch (cause) {
    throw new SynclineError("format_invalid", `${JSON.stringify(text.slice(0, 80))} is not a CID.`, { cause });
  }
  const cid = cidFromBytes(bytes);
  if (cid !== text)
    throw new SynclineError("format_invalid", `${JSON.stringify(text.slice(0, 80))} is not a canonical CID.`);
  return cid;
}

/** The binary form: 36 bytes. */
export function cidToBytes(cid: Cid): Uint8Array {
  return cidTextBytes(cid);
}

/** Its 32-byte blake3 digest, by which stores key blocks. */
export function digestOf(cid: Cid): Uint8Array {
  return cidToBytes(cid).subarray(4);
}

/** A digest as a map key, for callers without a CID. */
export function digestText(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString("latin1");
}

/** Equal for two CIDs exactly if their digests are: raw and dag-cbor blocks of the same bytes share it. */
export function digestKey(cid: Cid): string {
  return cid.slice(7);
}

export function codecOf(cid: Cid): Codec {
  // The first seven characters spell version, codec, hash and length: "bafyr4i" and "bafkr4i".
  return cid.startsWith("bafyr4i") ? "dag-cbor" : "raw";
}

/** Whether `cid` is the CID of `bytes`. */
export function matchesCid(cid: Cid, bytes: Uint8Array): boolean {
  return Buffer.from(blake3(bytes)).equals(digestOf(cid));
}

function invalidLink(): SynclineError {
  return new SynclineError("format_invalid", "A link is not a CIDv1 with blake3-256 over dag-cbor or raw.");
}
