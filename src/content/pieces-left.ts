/** What remains of a content with missing blocks: its pieces, and the bytes of the readable ones. */
import { hasCode } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import type { BlockReader, BlockSink } from "../blocks/block-store.ts";
import type { Content } from "../format/files/record.ts";
import { entryStart } from "./list-range.ts";
import { streamContent } from "./read.ts";
import type { ContentSegment } from "./segment.ts";
import { loadList, type ContentSource } from "./source.ts";

/** A run of a content's bytes. `cid`: the chunk that holds them, from its own start. */
export interface BasePiece {
  readonly offset: number;
  readonly length: number;
  readonly from: "chunk" | "hole" | "gone";
  readonly cid?: Cid;
}

/** All pieces of a content, in order. Puts each readable block. Throws read errors, except for missing blocks. */
export async function piecesOf(
  source: ContentSource,
  blocks: BlockReader,
  content: Content,
  size: number,
  put: BlockSink["put"],
): Promise<readonly BasePiece[]> {
  const pieces: BasePiece[] = [];
  const isLeft = async (cid: Cid): Promise<boolean> => {
    try {
      await put({ cid, bytes: await blocks.get(cid) });
      return true;
    } catch (error) {
      if (hasCode(error, "block_not_found")) return false;
      throw error;
    }
  };
  const chunk = async (cid: Cid, offset: number, length: number) => {
    const left = await isLeft(cid);
    pieces.push(left ? { offset, length, from: "chunk", cid } : { offset, length, from: "gone" });
  };
  const node = async (cid: Cid, offset: number, length: number): Promise<void> => {
    if (!(await isLeft(cid))) return void pieces.push({ offset, length, from: "gone" });
    const list = await loadList(source, cid);
    for (let index = 0; index < list.ends.length; index++) {
      const entry = list.entry(index);
      const at = offset + entryStart(list, index);
      if (entry.cid === undefined) pieces.push({ offset: at, length: entry.length, from: "hole" });
      else await (list.level === 0 ? chunk : node)(entry.cid, at, entry.length);
    }
  };
  if (content.kind === "chunk") await chunk(content.cid, 0, size);
  if (content.kind === "list") await node(content.cid, 0, size);
  return pieces;
}

/** `length` bytes at `offset`; zeros where no piece has any. Throws as the source. */
export async function readPieces(
  source: ContentSource,
  pieces: readonly BasePiece[],
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (const piece of pieces) {
    const from = Math.max(offset, piece.offset);
    const to = Math.min(offset + length, piece.offset + piece.length);
    if (from >= to || piece.cid === undefined) continue;
    const chunk: Content = { kind: "chunk", cid: piece.cid };
    let at = from - offset;
    for await (const part of streamContent(source, chunk, piece.length, from - piece.offset, to - piece.offset)) {
      bytes.set(part, at);
      at += part.length;
    }
  }
  return bytes;
}

/**
 * Segments of a changed file without a base: the base's bytes are taken from data of `epoch`, with holes where they are
 * lost. `isTorn`: bytes are lost.
 */
export function segmentsOver(
  segments: readonly ContentSegment[],
  pieces: readonly BasePiece[],
  epoch: number,
): { readonly segments: readonly ContentSegment[]; readonly isTorn: boolean } {
  let isTorn = false;
  const end = pieces.reduce((last, { offset, length }) => Math.max(last, offset + length), 0);
  const made = segments.flatMap((segment): ContentSegment[] => {
    if (segment.from !== "base") return [segment];
    const to = segment.offset + segment.length;
    const within = pieces.flatMap((piece): ContentSegment[] => {
      const from = Math.max(segment.offset, piece.offset);
      const length = Math.min(to, piece.offset + piece.length) - from;
      if (length <= 0) return [];
      isTorn ||= piece.from === "gone";
      return [piece.from === "chunk" ? { offset: from, length, from: "data", epoch } : hole(from, length)];
    });
    const beyond = Math.max(segment.offset, end);
    return to > beyond ? [...within, hole(beyond, to - beyond)] : within;
  });
  return { segments: made, isTorn };
}

function hole(offset: number, length: number): ContentSegment {
  return { offset, length, from: "hole", epoch: 0 };
}
