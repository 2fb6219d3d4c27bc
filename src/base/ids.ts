/**
 * Ids as branded strings: printable, comparable with `===`, usable as map keys, and impossible to mix up.
 *
 * The order of the strings is the order of the bytes they stand for. multiformats only parses CIDs from
 * outside: if it also wrote them, that would take a tenth of a merge's time (format/blocks/cid-text.ts).
 */

declare const brand: unique symbol;
type Branded<Base, Name extends string> = Base & { readonly [brand]: Name };

/**
 * A block's address: CIDv1 in base32, blake3-256, dag-cbor or raw ("bafyr4i…", "bafkr4i…"). Made in
 * format/blocks/cid.ts.
 */
export type Cid = Branded<string, "Cid">;

/** A file's or directory's permanent identity in the tree: 16 bytes as 32 lower-case hex digits. */
export type FileId = Branded<string, "FileId">;

/** One agent's device: blake3(ed25519 public key)[0..16] as 32 lower-case hex digits. */
export type WriterId = Branded<string, "WriterId">;

/** A commit's seq: the Lamport counter of the bucket. */
export type Lamport = Branded<number, "Lamport">;

/** A wallet address: 0x and 40 lower-case hex digits. */
export type Wallet = Branded<string, "Wallet">;

/** An inode number, local to one agent's state: permanent, never used again, 1 is the root directory. */
export type Ino = Branded<number, "Ino">;

/** A file name as its bytes, one char (0–255) a byte, so that names that are not UTF-8 survive. See base/names.ts. */
export type FileName = Branded<string, "FileName">;

/** The name of an object that holds blocks: "pack/…" or "commit/…" and hex digits (format/blocks/object-name.ts). */
export type PackName = Branded<string, "PackName">;

/** The root directory's id: 16 zero bytes (docs/reference/formats.md, Ids and keys). */
export const ROOT_ID = "00".repeat(16) as FileId;

export const ROOT_INO = 1 as Ino;
