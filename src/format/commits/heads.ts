/**
 * What a commit includes: for every writer its highest epoch. Sorted rows: inline in the commit while they are short, then in a
 * block of their own, and in a tree once that block would be long (docs/reference/formats.md, Commit). Each device adds some
 * 20 bytes for ever: a silent one cannot be dropped, since a machine that comes back would publish its last epoch again.
 */
import type { Cid, WriterId } from "../../base/ids.ts";
import { MAX_INLINE_HEADS_BYTES, MAX_LISTED_HEADS_BYTES } from "../../base/limits.ts";
import { asBytes, asCount, asLink, asList, misfit } from "../blocks/cbor-shape.ts";
import { type CborValue, decodeCbor, encodeCbor, Link } from "../blocks/dag-cbor.ts";
import { isLinked, type LinkBlock } from "../blocks/linked-value.ts";
import type { Linked } from "../files/record.ts";

export type Heads = ReadonlyMap<WriterId, number>;

/** The root node of a tree: writer → a row of `headRow`. Needs the feature `heads-tree/1`. */
export interface HeadsTree {
  readonly tree: Cid;
}

/** As a commit holds them. */
export type HeadsField = Heads | Linked | HeadsTree;

/** Short heads as they are, longer ones as a link to a block, which `link` stores. Undefined: they need a tree. */
export function headsField(heads: Heads, link: LinkBlock): Heads | Linked | undefined {
  const bytes = sizeOf(heads);
  if (bytes > MAX_LISTED_HEADS_BYTES) return undefined;
  return bytes <= MAX_INLINE_HEADS_BYTES ? heads : { linked: link(encodeCbor(headsToCbor(heads))) };
}

/** Decodes a linked block. Throws `format_invalid`, also if the heads should have been inline. */
export function decodeHeadsBlock(bytes: Uint8Array): Heads {
  if (bytes.length <= MAX_INLINE_HEADS_BYTES)
    throw misfit("heads", "are in a linked block but are short enough to be inline");
  return rowsFromCbor(decodeCbor(bytes));
}

/** The value in a commit's body. */
export function headsFieldToCbor(field: HeadsField): CborValue {
  const [block] = linkedHeads(field);
  return block === undefined ? headsToCbor(field as Heads) : new Link(block);
}

/** `inTree`: whether the commit names the feature `heads-tree/1`. */
export function headsFieldFromCbor(value: CborValue | undefined, inTree: boolean): HeadsField {
  if (inTree) return { tree: asLink(value, "heads", "dag-cbor") };
  if (value instanceof Link) return { linked: asLink(value, "heads", "dag-cbor") };
  const heads = rowsFromCbor(value);
  if (sizeOf(heads) > MAX_INLINE_HEADS_BYTES) throw misfit("heads", "are too long to be inline");
  return heads;
}

/** The block that the heads are in, or the root node of their tree; none if they are inline. */
export function linkedHeads(field: HeadsField): Cid[] {
  if (isHeadsTree(field)) return [field.tree];
  return isLinked(field) ? [field.linked] : [];
}

export function isHeadsTree(field: HeadsField): field is HeadsTree {
  return "tree" in field;
}

/** A writer's row in the tree: its key, and its epoch as a dag-cbor integer. */
export function headRow(writer: WriterId, epoch: number) {
  return { key: headKey(writer), value: encodeCbor(epoch), links: [] };
}

export function headKey(writer: WriterId): Uint8Array {
  return Buffer.from(writer, "hex");
}

/** Throws `format_invalid`. */
export function decodeHeadRow({
  key,
  value,
}: {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}): [WriterId, number] {
  return [asWriter(key), asCount(decodeCbor(value), "heads")];
}

const WRITER_BYTES = 16;

/** The length of their encoding as a list. */
function sizeOf(heads: Heads): number {
  let bytes = headBytes(heads.size);
  for (const epoch of heads.values()) bytes += headBytes(2) + headBytes(WRITER_BYTES) + WRITER_BYTES + headBytes(epoch);
  return bytes;
}

/** The size of a number, or of the head of a list or byte string of that length (RFC 8949, section 3). */
function headBytes(number: number): number {
  if (number < 24) return 1;
  if (number < 2 ** 8) return 2;
  if (number < 2 ** 16) return 3;
  return number < 2 ** 32 ? 5 : 9;
}

function headsToCbor(heads: Heads): CborValue {
  return [...heads].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([writer, epoch]) => [headKey(writer), epoch]);
}

function rowsFromCbor(value: CborValue | undefined): Heads {
  const heads = new Map<WriterId, number>();
  let last = "";
  for (const row of asList(value, "heads")) {
    const [bytes, epoch] = asList(row, "heads", 2);
    const writer = asWriter(bytes);
    if (writer <= last) throw misfit("heads", "are not sorted by writer");
    heads.set(writer, asCount(epoch, "heads"));
    last = writer;
  }
  return heads;
}

function asWriter(value: CborValue | undefined): WriterId {
  return Buffer.from(asBytes(value, "heads", WRITER_BYTES)).toString("hex") as WriterId;
}
