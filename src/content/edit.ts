/**
 * Changes a file's content at a cost that follows the edit: only bytes around the change are read and cut.
 *
 * The outcome always equals `writeContent` of the whole file. Old cuts that lie a hole's least length before a changed byte
 * depend on unchanged bytes alone (content/chunker.ts), so cutting may start at one of them. Once the old and new file are
 * cut at the same place after the change, both continue alike. The whole file is recut if its size crosses a limit of the
 * chunker's averages, or if it was no list before.
 */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import type { BlockSink } from "../blocks/block-store.ts";
import type { ListEntry } from "../format/files/chunk-list.ts";
import type { Content } from "../format/files/record.ts";
import { Chunker, type Piece } from "./chunker.ts";
import { type ContentConfig, cutRule, type CutRule } from "./config.ts";
import type { EarlyCuts } from "./early-cuts.ts";
import { ListCursor } from "./list-cursor.ts";
import { OldChunks } from "./old-chunks.ts";
import { type Splice, spliceList } from "./list-splice.ts";
import { checkLength } from "./read.ts";
import { checkSegments, ComposedFile } from "./pieces.ts";
import type { ContentSegment, ReadData } from "./segment.ts";
import type { ContentSource } from "./source.ts";
import { putPiece, stretchLength, writeContent } from "./write.ts";

/**
 * The content of a file that is now `segments`, in order and gapless up to `size`; puts new blocks into `sink`. Throws the
 * errors of the source and `readData`, `format_invalid` for a broken base, `state_corrupt` for a short data file. `early`:
 * cuts of the first segment's bytes as they are now; if they fit, those bytes need not be read.
 */
export async function editContent(
  source: ContentSource,
  sink: BlockSink,
  config: ContentConfig,
  base: Content,
  baseSize: number,
  segments: readonly ContentSegment[],
  size: number,
  readData: ReadData,
  early?: EarlyCuts,
): Promise<Content> {
  checkSegments(segments, size);
  const changes = changedRuns(segments, baseSize, size);
  if (changes.length === 0) return base;
  const file = new ComposedFile(source, base, baseSize, segments, readData);
  const rule = cutRule(config, size);
  const whole = () => writeContent(sink, config, { size, stretches: file.stretches(0) });
  const sameRule = rule.normal === cutRule(config, baseSize).normal;
  if (base.kind !== "list" || size <= config.inlineLimit || !sameRule) return whole();
  const old = await ListCursor.open(source, base.cid);
  checkLength(old.length, baseSize);
  if (old.length < baseSize) return whole();
  const chunks = new OldChunks(source, base.cid, baseSize, rule.max);
  const chunker = new Chunker(config, rule, 0, chunks);
  const recutter = new Recutter(old, chunks, sink, file, chunker, rule, changes, size);
  const splices = await recutter.run(early !== undefined && fits(early, rule, base.cid, segments) ? early : undefined);
  return spliceList(old, sink, config, splices);
}

/** Whether these cuts equal those of recutting the file. */
function fits(early: EarlyCuts, rule: CutRule, root: Cid, segments: readonly ContentSegment[]): boolean {
  const [first] = segments;
  const isThere = early.end > 0 && first?.from === "data" && first.length >= early.read;
  return isThere && early.rule.normal === rule.normal && early.root === root;
}

/** Bytes [from, to) of the file that may differ from the base. */
interface Change {
  readonly from: number;
  readonly to: number;
}

/** In order, without adjacent ones. A change of the size counts as one at the end. */
function changedRuns(segments: readonly ContentSegment[], baseSize: number, size: number): Change[] {
  const runs: { from: number; to: number }[] = [];
  const add = (from: number, to: number) => {
    const last = runs.at(-1);
    if (last !== undefined && last.to >= from) last.to = Math.max(last.to, to);
    else if (to > from) runs.push({ from, to });
  };
  for (const segment of segments) {
    const end = segment.offset + segment.length;
    if (segment.from !== "base") add(segment.offset, end);
    else add(Math.max(segment.offset, baseSize), end);
  }
  add(Math.min(size, baseSize), Math.max(size, baseSize));
  return runs;
}

/** Recuts a changed file around its changes. */
class Recutter {
  readonly #old: ListCursor;
  readonly #chunks: OldChunks;
  readonly #sink: BlockSink;
  readonly #file: ComposedFile;
  readonly #chunker: Chunker;
  readonly #rule: CutRule;
  readonly #changes: readonly Change[];
  readonly #size: number;

  constructor(
    old: ListCursor,
    chunks: OldChunks,
    sink: BlockSink,
    file: ComposedFile,
    chunker: Chunker,
    rule: CutRule,
    changes: readonly Change[],
    size: number,
  ) {
    this.#old = old;
    this.#chunks = chunks;
    this.#sink = sink;
    this.#file = file;
    this.#chunker = chunker;
    this.#rule = rule;
    this.#changes = changes;
    this.#size = size;
  }

  /** `begun` lies within the first change. */
  async run(begun: EarlyCuts | undefined): Promise<Splice[]> {
    const splices: Splice[] = [];
    let [done, fetched] = [0, 0];
    for (let index = 0; done < this.#old.length; index = this.#indexAfter(done)) {
      const change = this.#changes[index];
      if (change === undefined) break;
      if (index >= fetched) {
        fetched = index + FETCH_AT_ONCE;
        await this.#old.fetch(this.#changes.slice(index, fetched).flatMap((next) => this.#edges(next)));
      }
      const { start } = await this.#old.entry(0, this.#safeCut(change));
      const splice = await this.#recut(start, start === 0 ? begun : undefined);
      splices.push(splice);
      done = splice.to;
    }
    return splices;
  }

  /** Cuts the new file from an old cut on, until both are cut alike again. */
  async #recut(from: number, begun: EarlyCuts | undefined): Promise<Splice> {
    const early = await begun?.put(this.#sink, await this.#old.leaves(begun.oldAt), (...range) =>
      this.#file.chunk(...range),
    );
    const nodes = early?.nodes ?? [];
    const entries: ListEntry[] = [...(early?.entries ?? [])];
    let at = begun?.end ?? from;
    if (begun !== undefined && (await this.#meets(at))) return { from, to: at, nodes, entries };
    this.#chunker.reset();
    this.#chunks.begin(begun?.oldAt ?? from);
    for await (const stretch of this.#file.stretches(at)) {
      // A small change soon meets an old cut, and needs to know nothing else of the old file.
      if (at - from > 2 * this.#rule.max) await this.#chunks.prepare(stretchLength(stretch));
      for (const piece of this.#chunker.push(stretch)) {
        const entry = await this.#put(piece, at);
        entries.push(entry);
        at += entry.length;
        if (await this.#meets(at)) return { from, to: at, nodes, entries };
      }
    }
    for (const piece of this.#chunker.finish()) {
      const entry = await this.#put(piece, at);
      entries.push(entry);
      at += entry.length;
    }
    if (at !== this.#size)
      throw new SynclineError("internal", `A file of ${this.#size} bytes was chunked up to byte ${at}.`);
    return { from, to: this.#old.length, nodes, entries };
  }

  /** Whether the old file is cut at `at` too, at a place that does not depend on the next change. */
  async #meets(at: number): Promise<boolean> {
    const next = this.#changes[this.#indexAfter(at)];
    if (at >= this.#old.length || (next !== undefined && this.#safeCut(next) < at)) return false;
    return (await this.#old.entry(0, at)).start === at;
  }

  /** Old cuts up to here do not depend on the change. */
  #safeCut(change: Change): number {
    return Math.max(0, change.from - this.#rule.minHole);
  }

  /** The parts of the old file to read for a change: before it, and where the file continues after it. */
  #edges(change: Change): Change[] {
    return [
      { from: this.#safeCut(change), to: change.from },
      { from: change.to, to: change.to + 1 },
    ];
  }

  /** The first change that extends beyond `offset`. */
  #indexAfter(offset: number): number {
    let [low, high] = [0, this.#changes.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#changes[middle]?.to ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Puts a piece, unless the old file has the same one at the same offset. */
  async #put(piece: Piece, at: number): Promise<ListEntry> {
    if (piece.kind !== "chunk" || at >= this.#old.length) return putPiece(this.#sink, piece);
    const { entry, start } = await this.#old.entry(0, at);
    const known = start === at && entry.length === piece.bytes.length ? entry.cid : undefined;
    return putPiece(known === undefined ? this.#sink : unless(known, this.#sink), piece);
  }
}

/** The old file is fetched around this many changes at once, so that many small changes do not cost a request each. */
const FETCH_AT_ONCE = 16;

function unless(known: string, sink: BlockSink): BlockSink {
  return { put: (block) => (block.cid === known ? undefined : sink.put(block)) };
}
