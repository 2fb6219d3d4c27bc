/**
 * What a commit includes: for every writer its highest epoch. Sorted rows; inline in the commit while they are short, else a
 * block of their own (docs/reference/formats.md, Commit).
 */
import type { Cid, WriterId } from "../../base/ids.ts";
import { MAX_INLINE_HEADS_BYTES } from "../../base/limits.ts";
import { asBytes, asCount, asLink, asList, misfit } from "../blocks/cbor-shape.ts";
import type { CborValue } from "../blocks/dag-cbor.ts";
import { decodeCbor, encodeCbor, Link } from "../blocks/dag-cbor.ts";
import { isLinked } from "../blocks/linked-value.ts";
import type { LinkBlock } from "../blocks/linked-value.ts";
import type { Linked } from "../files/record.ts";

export type Heads = ReadonlyMap<WriterId, number>;

/** As a commit holds them: long heads as a link to a block, which `link` stores. */
export function headsField(heads: Heads, link: LinkBlock): Heads | Linked {
  return areShort(heads) ? heads : { linked: link(encodeCbor(headsToCbor(heads))) };
}

/** Decodes a linked block. Throws `format_invalid`, also if the heads should have been inline. */
export function decodeHeadsBlock(bytes: Uint8Array): Heads {
  if (bytes.length <= MAX_INLINE_HEADS_BYTES)
    throw misfit("heads", "are in a linked block but are short enough to be inline");
  return rowsFromCbor(decodeCbor(bytes));
}

/** The value in a commit's body. */
export function headsFieldToCbor(field: Heads | Linked): CborValue {
  return isLinked(field) ? new Link(field.linked) : headsToCbor(field);
}

export function headsFieldFromCbor(value: CborValue | undefined): Heads | Linked {
  if (value instanceof Link) return { linked: asLink(value, "heads", "dag-cbor") };
  const heads = rowsFromCbor(value);
  if (!areShort(heads)) throw misfit("heads", "are too long to be inline");
  return heads;
}

/** The blocks that `headsOf` requires: none or one. */
export function linkedHeads(field: Heads | Linked): Cid[] {
  return isLinked(field) ? [field.linked] : [];
}

/** Throws what `peek` throws, and `format_invalid`. */
export function headsOf(field: Heads | Linked, peek: (cid: Cid) => Uint8Array): Heads {
  return isLinked(field) ? decodeHeadsBlock(peek(field.linked)) : field;
}

const WRITER_BYTES = 16;

/** Whether their encoding is short enough to be inline. */
function areShort(heads: Heads): boolean {
  let bytes = headBytes(heads.size);
  for (const epoch of heads.values()) bytes += headBytes(2) + headBytes(WRITER_BYTES) + WRITER_BYTES + headBytes(epoch);
  return bytes <= MAX_INLINE_HEADS_BYTES;
}

/** The size of a number, or of the head of a list or byte string of that length (RFC 8949, section 3). */
function headBytes(number: number): number {
  if (number < 24) return 1;
  if (number < 2 ** 8) return 2;
  if (number < 2 ** 16) return 3;
  return number < 2 ** 32 ? 5 : 9;
}

function headsToCbor(heads: Heads): CborValue {
  return [...heads]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([writer, epoch]) => [Buffer.from(writer, "hex"), epoch]);
}

function rowsFromCbor(value: CborValue | undefined): Heads {
  const heads = new Map<WriterId, number>();
  let last = "";
  for (const row of asList(value, "heads")) {
    const [bytes, epoch] = asList(row, "heads", 2);
    const writer = Buffer.from(asBytes(bytes, "heads", WRITER_BYTES)).toString("hex") as WriterId;
    if (writer <= last) throw misfit("heads", "are not sorted by writer");
    heads.set(writer, asCount(epoch, "heads"));
    last = writer;
  }
  return heads;
}
