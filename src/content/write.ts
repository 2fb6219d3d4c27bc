/** Makes content from a file's bytes: inline if short, else chunks, with a list if there are several. */
import { SynclineError } from "../base/errors.ts";
import { addressOf } from "../blocks/block-codec.ts";
import type { BlockSink } from "../blocks/block-store.ts";
import type { ListEntry } from "../format/files/chunk-list.ts";
import type { Content } from "../format/files/record.ts";
import { bufferBytes, Chunker, type KnownChunks, type Piece, type Stretch } from "./chunker.ts";
import { type ContentConfig, cutRule } from "./config.ts";
import { contentOf, ListBuilder } from "./list-builder.ts";

/** A file's size and all of its bytes in order. The size must be known first, since it decides how to cut. */
export interface ContentInput {
  readonly size: number;
  readonly stretches: Iterable<Stretch> | AsyncIterable<Stretch>;
}

/** The content of these bytes; puts its blocks into `sink`. Throws `internal` if there are not `size` bytes. */
export async function writeContent(sink: BlockSink, config: ContentConfig, input: ContentInput): Promise<Content> {
  const { size, stretches } = input;
  if (size <= config.inlineLimit) return inlineContent(await gather(stretches, size), size);
  if (isOneChunk(config, size)) {
    return contentOf(
      "chunk",
      await putPiece(sink, { kind: "chunk", bytes: await gather(stretches, size), cid: undefined }),
    );
  }
  const writer = new ContentWriter(sink, config, size);
  for await (const stretch of stretches) await writer.push(stretch);
  return writer.finish();
}

/** Builds the content of bytes too long for inline storage, as they arrive. */
export class ContentWriter {
  readonly #sink: BlockSink;
  readonly #size: number;
  readonly #chunker: Chunker;
  readonly #builder: ListBuilder;
  #taken = 0;

  /** `size`: the number of bytes to come. `known`: chunks that need not be put. */
  constructor(sink: BlockSink, config: ContentConfig, size: number, known?: KnownChunks) {
    this.#sink = sink;
    this.#size = size;
    this.#chunker = new Chunker(config, cutRule(config, size), size, known);
    this.#builder = new ListBuilder(sink, config);
  }

  /** Throws `internal` if there are more than `size` bytes. */
  async push(stretch: Stretch): Promise<void> {
    this.#taken += stretchLength(stretch);
    if (this.#taken > this.#size) checkSize(this.#taken, this.#size);
    for (const piece of this.#chunker.push(stretch)) await this.#builder.add(await putPiece(this.#sink, piece));
  }

  /** Throws `internal` if there were not `size` bytes. */
  async finish(): Promise<Content> {
    for (const piece of this.#chunker.finish()) await this.#builder.add(await putPiece(this.#sink, piece));
    checkSize(this.#taken, this.#size);
    return this.#builder.finish();
  }
}

/** Determines the content of bytes without storing or copying any chunk. */
export function namingWriter(config: ContentConfig, size: number): ContentWriter {
  return new ContentWriter({ put: () => {} }, config, size, NAMED_ONLY);
}

/** Bytes of memory that `namingWriter` takes. */
export function namingBytes(config: ContentConfig, size: number): number {
  return bufferBytes(cutRule(config, size), size);
}

const NAMED_ONLY: KnownChunks = {
  length: undefined,
  recognise: () => undefined,
  found(bytes) {
    const cid = addressOf("raw", bytes);
    return { cid, old: { cid, length: bytes.length, dataLength: bytes.length } };
  },
  passed: () => {},
};

/** Whether this many bytes, if not inline, certainly make one chunk: too few to be cut, or to contain a hole. */
export function isOneChunk(config: ContentConfig, size: number): boolean {
  const { min, minHole } = cutRule(config, size);
  return size <= min && size < minHole;
}

export function writeBytes(sink: BlockSink, config: ContentConfig, bytes: Uint8Array): Promise<Content> {
  return writeContent(sink, config, { size: bytes.length, stretches: [bytes] });
}

/** Puts a chunk's block, unless the old file has it, and returns its list entry. Its bytes may be freed by then. */
export async function putPiece(sink: BlockSink, piece: Piece): Promise<ListEntry> {
  if (piece.kind === "old") return piece.entry;
  if (piece.kind === "hole") return { cid: undefined, length: piece.length, dataLength: 0 };
  const { bytes } = piece;
  const { length } = bytes;
  const cid = piece.cid ?? addressOf("raw", bytes);
  await sink.put({ cid, bytes, isHandedOver: true });
  return { cid, length, dataLength: length };
}

export function stretchLength(stretch: Stretch): number {
  return typeof stretch === "number" ? stretch : stretch.length;
}

async function gather(stretches: ContentInput["stretches"], size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  let at = 0;
  for await (const stretch of stretches) {
    const length = stretchLength(stretch);
    if (length > size - at) checkSize(at + length, size);
    if (typeof stretch !== "number") bytes.set(stretch, at);
    at += length;
  }
  checkSize(at, size);
  return bytes;
}

function inlineContent(bytes: Uint8Array, size: number): Content {
  return size === 0 ? { kind: "empty" } : { kind: "inline", bytes };
}

function checkSize(taken: number, size: number): void {
  if (taken !== size) throw new SynclineError("internal", `A file of ${size} bytes was written with ${taken} bytes.`);
}
