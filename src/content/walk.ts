/** All blocks and parts of a content, each list node checked against its parent: for verify, pins and copies. */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { blake3 } from "../crypto/hash.ts";
import type { ChunkList } from "../format/files/chunk-list.ts";
import { digestOf } from "../format/blocks/cid.ts";
import type { Content } from "../format/files/record.ts";
import { checkChild, entryStart } from "./list-range.ts";
import { checkLength } from "./read.ts";
import { loadList } from "./source.ts";
import type { ContentSource } from "./source.ts";

/** A block or hole that covers `length` bytes of the file from `offset` on. */
export interface ContentPart {
  readonly kind: "list" | "chunk" | "hole";
  readonly cid: Cid | undefined;
  readonly offset: number;
  readonly length: number;
}

/** The parts in order, list nodes before their entries; chunks are not read. Throws `format_invalid` and as the source. */
export async function* walkContent(source: ContentSource, content: Content, size: number): AsyncGenerator<ContentPart> {
  if (content.kind === "chunk") yield { kind: "chunk", cid: content.cid, offset: 0, length: size };
  if (content.kind !== "list") return;
  const root = await loadList(source, content.cid);
  checkLength(root.length, size);
  yield { kind: "list", cid: content.cid, offset: 0, length: root.length };
  yield* walkNode(source, root, 0);
}

/** The CIDs of all blocks of a content. */
export async function* contentBlocks(source: ContentSource, content: Content, size: number): AsyncGenerator<Cid> {
  for await (const { cid } of walkContent(source, content, size)) {
    if (cid !== undefined) yield cid;
  }
}

/**
 * Identifies a content: blake3 of the bytes up to one chunk, else of the list's root: 32 bytes. For contents made in one
 * bucket by `writeContent` or `editContent`, equal hashes mean equal bytes, and the other way round.
 */
export function contentHash(content: Content): Uint8Array {
  if (content.kind === "empty") return blake3(new Uint8Array(0));
  return content.kind === "inline" ? blake3(content.bytes) : digestOf(content.cid);
}

async function* walkNode(source: ContentSource, list: ChunkList, start: number): AsyncGenerator<ContentPart> {
  for (let index = 0; index < list.ends.length; index++) {
    const entry = list.entry(index);
    const [offset, { cid, length }] = [start + entryStart(list, index), entry];
    if (list.level === 0) {
      yield { kind: cid === undefined ? "hole" : "chunk", cid, offset, length };
      continue;
    }
    if (cid === undefined) throw new SynclineError("internal", "A list node above the leaves has a hole.");
    if (index % PREFETCH === 0) await source.load(linksFrom(list, index));
    yield { kind: "list", cid, offset, length };
    yield* walkNode(source, checkChild(list, entry, await loadList(source, cid)), offset);
  }
}

const PREFETCH = 16;

function linksFrom(list: ChunkList, index: number): Cid[] {
  const count = Math.min(PREFETCH, list.ends.length - index);
  return Array.from({ length: count }, (_, next) => list.entry(index + next).cid).filter((cid) => cid !== undefined);
}
