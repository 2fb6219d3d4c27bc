/**
 * The chunks that a file had, to recognize them when a program rewrites them, in place or moved.
 *
 * A chunk's end before another chunk depends on its own bytes alone (content/chunker.ts). So at a cut, bytes that equal an
 * old chunk end at a cut too: comparing one hash replaces the byte-by-byte search, in a tenth of the time.
 */
import type { Cid } from "../base/ids.ts";
import { addressOf } from "../blocks/block-codec.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import type { ListEntry } from "../format/files/chunk-list.ts";
import type { KnownChunks } from "./chunker.ts";
import { visitRange } from "./list-range.ts";
import { type ContentSource, loading } from "./source.ts";

interface OldChunk {
  readonly start: number;
  readonly entry: ListEntry;
  /** Whether another chunk follows, so that its own bytes determine its end. */
  readonly isWhole: boolean;
}

export class OldChunks implements KnownChunks {
  readonly #source: ContentSource;
  readonly #root: Cid;
  readonly #size: number;
  /** How far around the expected place old chunks are searched. */
  readonly #reach: number;
  readonly #byStart = new Map<number, OldChunk>();
  readonly #byCid = new Map<Cid, OldChunk>();
  /** The maps cover the old file in [#from, #to). */
  #from = 0;
  #to = 0;
  #at = 0;

  /** `root`: the chunk list of the old file, which has `size` bytes; `longest`: the longest chunk's length. */
  constructor(source: ContentSource, root: Cid, size: number, longest: number) {
    this.#source = source;
    this.#root = root;
    this.#size = size;
    this.#reach = longest * REACH_CHUNKS;
  }

  /** Where the old file likely continues as the new one does from the last cut on. */
  get at(): number {
    return this.#at;
  }

  /** Cutting begins at this offset of the old file. */
  begin(at: number): void {
    this.#at = at;
  }

  /** Prepares for cutting about `bytes` more. Rejects as the source does. */
  async prepare(bytes: number): Promise<void> {
    const end = Math.min(this.#at + bytes + this.#reach, this.#size);
    if (this.#at >= this.#from && end <= this.#to) return;
    const from = Math.max(0, this.#at - this.#reach);
    const to = Math.min(end + this.#reach, this.#size);
    const found = await loading(this.#source, () => this.#entries(from, to));
    this.#byStart.clear();
    this.#byCid.clear();
    for (const [index, { start, entry }] of found.entries()) {
      if (entry.cid === undefined) continue;
      const chunk = { start, entry, isWhole: found[index + 1]?.entry.cid !== undefined };
      this.#byStart.set(start, chunk);
      this.#byCid.set(entry.cid, chunk);
    }
    [this.#from, this.#to] = [from, to];
  }

  get length(): number | undefined {
    const chunk = this.#byStart.get(this.#at);
    return chunk?.isWhole === true ? chunk.entry.length : undefined;
  }

  recognise(bytes: Uint8Array): ListEntry | undefined {
    const chunk = this.#byStart.get(this.#at);
    if (chunk === undefined || chunk.entry.cid !== addressOf("raw", bytes)) return undefined;
    this.#at += chunk.entry.length;
    return chunk.entry;
  }

  found(bytes: Uint8Array): { readonly cid: Cid; readonly old: ListEntry | undefined } {
    const cid = addressOf("raw", bytes);
    const old = this.#byCid.get(cid);
    this.#at = (old?.start ?? this.#at) + bytes.length;
    return { cid, old: old?.entry };
  }

  passed(length: number): void {
    this.#at += length;
  }

  #entries(from: number, to: number): { start: number; entry: ListEntry }[] {
    const entries: { start: number; entry: ListEntry }[] = [];
    visitRange(this.#source, this.#root, from, to, {
      entry: (start, entry) => entries.push({ start, entry }) > 0,
      missing: (cid) => {
        throw new BlockMiss([cid]);
      },
    });
    return entries;
  }
}

/** Moves by up to this many longest chunks are recognized; rewrites in place always are. */
const REACH_CHUNKS = 8;
