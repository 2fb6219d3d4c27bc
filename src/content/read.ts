/** Reads a range of a file's content; bytes between the content and the file's size are zeros. */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { MAX_LIST_LEVEL, READ_AHEAD_FIRST_BYTES } from "../base/limits.ts";
import { BlockMiss, type SizedBlock } from "../blocks/block-store.ts";
import { codecOf } from "../format/blocks/cid.ts";
import type { Content } from "../format/files/record.ts";
import { visitRange } from "./list-range.ts";
import { type ContentSource, loading } from "./source.ts";

/**
 * Copies up to `length` bytes at `offset` to the start of `target`; returns how many: fewer only at the end of the file.
 * Throws `BlockMiss` with the missing blocks of this range first, then those of the next `ahead` bytes. Throws
 * `format_invalid`.
 */
export function peekContent(
  source: ContentSource,
  content: Content,
  size: number,
  offset: number,
  length: number,
  target: Uint8Array,
  ahead = 0,
): number {
  const count = Math.max(0, Math.min(length, size - offset, target.length));
  const missing: Cid[] = [];
  const room = new Room(target, offset, count);
  const take = (start: number, bytes: Uint8Array | undefined, each: number) => {
    const part = room.part(start, each);
    if (part === undefined) return;
    if (bytes === undefined) part.target.fill(0);
    else part.target.set(bytes.subarray(part.from, part.from + part.target.length));
  };
  visitContent(source, content, size, offset, offset + count, {
    part: take,
    copied(start, chunk) {
      const part = room.part(start, chunk.length);
      return part === undefined || source.readPart(chunk, part.from, part.target);
    },
    missing: (cid) => missing.push(cid),
  });
  requireNone(missing, source, content, size, offset + count, ahead);
  room.end();
  return count;
}

/** As `peekContent`, without copies of what is in memory: the bytes in parts, which must not be changed. */
function peekParts(
  source: ContentSource,
  content: Content,
  size: number,
  offset: number,
  length: number,
  ahead: number,
): Uint8Array[] {
  const missing: Cid[] = [];
  const parts: Uint8Array[] = [];
  const end = offset + length;
  let at = offset;
  const take = (start: number, bytes: Uint8Array | undefined, each: number) => {
    const [from, to] = [Math.max(start, offset), Math.min(start + each, end)];
    if (to <= from) return;
    if (from > at) parts.push(new Uint8Array(from - at));
    parts.push(bytes?.subarray(from - start, to - start) ?? new Uint8Array(to - from));
    at = to;
  };
  visitContent(source, content, size, offset, end, {
    part: take,
    copied(start, chunk) {
      const bytes = new Uint8Array(chunk.length);
      if (!source.readPart(chunk, 0, bytes)) return false;
      take(start, bytes, chunk.length);
      return true;
    },
    missing: (cid) => missing.push(cid),
  });
  requireNone(missing, source, content, size, end, ahead);
  if (end > at) parts.push(new Uint8Array(end - at));
  return parts;
}

/** Throws `BlockMiss` if blocks are missing, with those of `ahead` more bytes from `end` on. */
function requireNone(
  missing: readonly Cid[],
  source: ContentSource,
  content: Content,
  size: number,
  end: number,
  ahead: number,
): void {
  if (missing.length === 0) return;
  const more = missingBlocks(source, content, size, end, ahead);
  throw new BlockMiss([...new Set([...missing, ...more])], new Set(missing).size);
}

/** The memory that a read fills in order; what is between its parts becomes zeros. */
class Room {
  readonly #target: Uint8Array;
  readonly #offset: number;
  readonly #count: number;
  #filled = 0;

  constructor(target: Uint8Array, offset: number, count: number) {
    this.#target = target;
    this.#offset = offset;
    this.#count = count;
  }

  /** Where a chunk of `length` bytes at `start` of the file goes, and from which of its bytes on. */
  part(start: number, length: number): { readonly from: number; readonly target: Uint8Array } | undefined {
    const from = Math.max(start, this.#offset);
    const to = Math.min(start + length, this.#offset + this.#count);
    if (to <= from) return undefined;
    this.#zeroTo(from - this.#offset);
    this.#filled = to - this.#offset;
    return { from: from - start, target: this.#target.subarray(from - this.#offset, this.#filled) };
  }

  end(): void {
    this.#zeroTo(this.#count);
  }

  #zeroTo(end: number): void {
    if (end > this.#filled) this.#target.fill(0, this.#filled, end);
  }
}

/** The chunks and list nodes of this range that are not in memory, in file order: for read-ahead. */
export function missingBlocks(
  source: ContentSource,
  content: Content,
  size: number,
  offset: number,
  length: number,
): Cid[] {
  const missing: Cid[] = [];
  const add = (cid: Cid | undefined) => {
    if (cid !== undefined && !source.isAtHand(cid)) missing.push(cid);
    return true;
  };
  const to = Math.min(size, offset + length);
  if (to <= offset) return missing;
  if (content.kind === "chunk") add(content.cid);
  if (content.kind === "list")
    visitRange(source, content.cid, offset, to, { entry: (_, { cid }) => add(cid), missing: add });
  return missing;
}

/** Up to `length` bytes at `offset`: fewer only at the end of the file. Throws as the source's `load`, `format_invalid`. */
export async function readContent(
  source: ContentSource,
  content: Content,
  size: number,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
  for (let at = 0; at < bytes.length; at += STEP_BYTES) {
    const target = bytes.subarray(at, at + STEP_BYTES);
    const ahead = bytes.length - at - target.length;
    await loading(source, () => {
      return peekContent(source, content, size, offset + at, target.length, target, Math.min(ahead, AHEAD_BYTES));
    });
  }
  return bytes;
}

/**
 * The bytes from `offset` to `end`, in pieces of 1 MiB, with growing read-ahead: while a piece is used, the next ones are
 * loaded. Throws as `readContent`.
 */
export function streamContent(
  source: ContentSource,
  content: Content,
  size: number,
  offset = 0,
  end = size,
): AsyncGenerator<Uint8Array> {
  const range = { offset, end: Math.min(end, size), first: READ_AHEAD_FIRST_BYTES, most: AHEAD_BYTES };
  return stream(source, content, size, range, (at, length, window) => {
    const bytes = new Uint8Array(length);
    peekContent(source, content, size, at, length, bytes, window);
    return bytes;
  });
}

/**
 * As `streamContent`, for a reader that wants all of it: reads `ahead` bytes ahead from the start, at most half of what the
 * source can hold. Yields each piece as parts of chunks. They must not be changed, and are valid until the next piece.
 */
export async function* streamParts(
  source: ContentSource,
  content: Content,
  size: number,
  offset = 0,
  end = size,
  ahead = AHEAD_BYTES,
): AsyncGenerator<readonly Uint8Array[]> {
  let lent: Disposable | undefined;
  const range = { offset, end: Math.min(end, size), first: ahead, most: ahead };
  const pieces = stream(source, content, size, range, (at, length, window) => {
    const parts = peekParts(source, content, size, at, length, window);
    lent = source.lend?.(parts);
    return parts;
  });
  try {
    for await (const parts of pieces) {
      yield parts;
      lent?.[Symbol.dispose]();
    }
  } finally {
    lent?.[Symbol.dispose]();
  }
}

interface StreamedRange {
  readonly offset: number;
  readonly end: number;
  /** How far to read ahead, at the beginning and later. */
  readonly first: number;
  readonly most: number;
}

/** `peek` is called for each step with its place and length, and how many bytes behind it to load with what is missing. */
async function* stream<Piece>(
  source: ContentSource,
  content: Content,
  size: number,
  { offset, end, first, most }: StreamedRange,
  peek: (at: number, length: number, window: number) => Piece,
): AsyncGenerator<Piece> {
  let ahead = first;
  let asked = offset;
  for (let at = offset; at < end; at += STEP_BYTES) {
    const next = Math.min(at + STEP_BYTES, end);
    const piece = await loading(source, () => peek(at, next - at, Math.min(ahead, end - next)));
    ahead = Math.min(ahead * 2, most);
    const until = Math.min(next + ahead, end);
    const from = Math.max(asked, next);
    // Half a window at a time: each load may be a request.
    if (until - from >= most / 2 || (until === end && from < end)) {
      // The step that needs them reports what goes wrong.
      loadAhead(source, content, size, from, until).catch(() => {});
      asked = until;
    }
    yield piece;
  }
}

/** Loads what a range lacks, level by level of the chunk list, so that the chunks come in as few requests as possible. */
async function loadAhead(
  source: ContentSource,
  content: Content,
  size: number,
  from: number,
  until: number,
): Promise<void> {
  for (let level = 0; level <= MAX_LIST_LEVEL; level++) {
    const missing = missingBlocks(source, content, size, from, until - from);
    const nodes = missing.filter((cid) => codecOf(cid) !== "raw");
    if (nodes.length === 0) return source.load(missing, 0);
    await source.load(nodes);
  }
}

/** Bytes read in one step; a source must be able to hold their blocks. */
const STEP_BYTES = 1024 * 1024;
const AHEAD_BYTES = 8 * STEP_BYTES;

interface ContentVisitor {
  /** A part of `length` bytes at `start` that overlaps the range; `bytes` is undefined for a hole. */
  part(start: number, bytes: Uint8Array | undefined, length: number): void;
  /** A chunk that is not in memory. False: its bytes could not be copied either, so it is missing. */
  copied(start: number, chunk: SizedBlock): boolean;
  missing(cid: Cid): void;
}

function visitContent(
  source: ContentSource,
  content: Content,
  size: number,
  from: number,
  to: number,
  visitor: ContentVisitor,
): void {
  if (to <= from || content.kind === "empty") return;
  if (content.kind === "list") return visitList(source, content.cid, size, from, to, visitor);
  const bytes = content.kind === "inline" ? content.bytes : source.peekChunk(content.cid);
  if (bytes === undefined) {
    if (content.kind === "chunk") visitor.missing(content.cid);
    return;
  }
  checkLength(bytes.length, size);
  visitor.part(0, bytes, bytes.length);
}

function visitList(
  source: ContentSource,
  root: Cid,
  size: number,
  from: number,
  to: number,
  visitor: ContentVisitor,
): void {
  const list = source.peekList(root);
  if (list !== undefined) checkLength(list.length, size);
  visitRange(source, root, from, to, {
    entry: (start, { cid, length }) => {
      const bytes = cid === undefined ? undefined : source.peekChunk(cid);
      if (cid === undefined || bytes !== undefined) visitor.part(start, checkChunk(cid, bytes, length), length);
      else if (!visitor.copied(start, { cid, length })) visitor.missing(cid);
      return true;
    },
    missing: (cid) => visitor.missing(cid),
  });
}

/** Throws `format_invalid` unless a chunk has the length in its list. */
export function checkChunk(
  cid: Cid | undefined,
  bytes: Uint8Array | undefined,
  length: number,
): Uint8Array | undefined {
  checkChunkLength(cid, bytes?.length, length);
  return bytes;
}

/** As `checkChunk`, by the chunk's length; undefined: it is not known. */
export function checkChunkLength(cid: Cid | undefined, found: number | undefined, length: number): void {
  if (found !== undefined && found !== length)
    throw new SynclineError("format_invalid", `The length of chunk ${cid} does not match its list.`);
}

/** Throws `format_invalid` if the content is longer than its file. */
export function checkLength(length: number, size: number): void {
  if (length > size) {
    throw new SynclineError("format_invalid", `The content has ${length} bytes, but the file has only ${size}.`);
  }
}
