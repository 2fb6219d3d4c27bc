/**
 * All blocks and parts of a content, each list node checked against its parent. A hostile list of a few nodes, each many
 * times in the one above, has more parts than anyone can visit: whoever does not need the bytes visits each node once.
 */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { blake3 } from "../crypto/hash.ts";
import type { ChunkList, ListEntry } from "../format/files/chunk-list.ts";
import { digestOf } from "../format/blocks/cid.ts";
import type { Content } from "../format/files/record.ts";
import { checkChild, entryStart, type NodeSummary } from "./list-range.ts";
import { checkChunkLength, checkLength } from "./read.ts";
import { type ContentSource, loadList } from "./source.ts";

/** A block or hole that covers `length` bytes of the file from `offset` on. */
export interface ContentPart {
  readonly kind: "list" | "chunk" | "hole";
  readonly cid: Cid | undefined;
  readonly offset: number;
  readonly length: number;
  /** Of a list node; -1 for chunks and holes. */
  readonly level: number;
}

/** The bytes of a chunk, if they are known. */
export type LengthOf = (chunk: Cid) => number | undefined;

/** After a list node, `next(true)` skips what is below it. */
export type Parts = AsyncGenerator<ContentPart, void, boolean | undefined>;

/** The parts in order, list nodes before their entries; chunks are not read. Throws `format_invalid` and as the source. */
export async function* walkContent(source: ContentSource, content: Content, size: number): Parts {
  if (content.kind === "chunk") yield { kind: "chunk", cid: content.cid, offset: 0, length: size, level: -1 };
  if (content.kind !== "list") return;
  const root = await loadList(source, content.cid);
  checkLength(root.length, size);
  const { length, level } = root;
  const isSkipped = yield { kind: "list", cid: content.cid, offset: 0, length, level };
  if (isSkipped !== true) yield* walkNode(source, root, 0);
}

/**
 * Checks every node of a chunk list, each once, and returns how many bytes of the file are not in holes. Chunks are not read:
 * those whose length `lengthOf` knows are compared with their entries. Throws `format_invalid` and as the source.
 */
export async function checkList(
  source: ContentSource,
  cid: Cid,
  size: number,
  lengthOf: LengthOf = () => undefined,
): Promise<number> {
  const root = await loadList(source, cid);
  checkLength(root.length, size);
  const checked = new Map<Cid, NodeSummary>();
  const checkBelow = async (list: ChunkList): Promise<void> => {
    for (let index = 0; index < list.ends.length; index++) {
      const entry = list.entry(index);
      if (list.level === 0) {
        checkChunkLength(entry.cid, entry.cid && lengthOf(entry.cid), entry.length);
        continue;
      }
      const known = checked.get(nodeOf(entry));
      if (known !== undefined) {
        checkChild(list, entry, known);
        continue;
      }
      const child = await childAt(source, list, index);
      const { level, length, dataLength } = child;
      checked.set(nodeOf(entry), { level, length, dataLength });
      await checkBelow(child);
    }
  };
  await checkBelow(root);
  return root.dataLength;
}

/**
 * Identifies a content: blake3 of the bytes up to one chunk, else of the list's root: 32 bytes. For contents made in one
 * bucket by `writeContent` or `editContent`, equal hashes mean equal bytes, and the other way round.
 */
export function contentHash(content: Content): Uint8Array {
  if (content.kind === "empty") return blake3(new Uint8Array(0));
  return content.kind === "inline" ? blake3(content.bytes) : digestOf(content.cid);
}

async function* walkNode(source: ContentSource, list: ChunkList, start: number): Parts {
  for (let index = 0; index < list.ends.length; index++) {
    const { cid, length } = list.entry(index);
    const offset = start + entryStart(list, index);
    const level = list.level - 1;
    if (list.level === 0) yield { kind: cid === undefined ? "hole" : "chunk", cid, offset, length, level };
    else if ((yield { kind: "list", cid, offset, length, level }) !== true)
      yield* walkNode(source, await childAt(source, list, index), offset);
  }
}

/** The node of an entry, loaded with some of those after it. */
async function childAt(source: ContentSource, list: ChunkList, index: number): Promise<ChunkList> {
  const entry = list.entry(index);
  const cid = nodeOf(entry);
  if (source.peekList(cid) === undefined) await source.load(linksFrom(list, index));
  return checkChild(list, entry, await loadList(source, cid));
}

function nodeOf({ cid }: ListEntry): Cid {
  if (cid === undefined) throw new SynclineError("internal", "A list node above the leaves has a hole.");
  return cid;
}

const PREFETCH = 16;

function linksFrom(list: ChunkList, index: number): Cid[] {
  const count = Math.min(PREFETCH, list.ends.length - index);
  return Array.from({ length: count }, (_, next) => list.entry(index + next).cid).filter((cid) => cid !== undefined);
}
