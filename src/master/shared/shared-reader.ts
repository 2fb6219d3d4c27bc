/**
 * Reads blocks from the packs of one owner. Nodes are small and lie side by side: they are read in windows that stay in
 * memory for a while, since walks read most of them one after another.
 */
import { unless } from "../../base/unless.ts";
import { BoundedMap } from "../../base/bounded-map.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import type { Cid } from "../../base/ids.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { partOf, planReads } from "../../packs/ranged-reads.ts";
import { groupBy } from "../../base/collections.ts";
import { ANSWER_BATCH_BYTES, PACK_READS, READ_GAP_BYTES } from "../limits.ts";
import type { CachedBlock } from "./pack-cache.ts";
import { objectOf } from "./pack-objects.ts";

const WINDOW_BYTES = 128 * 1024;
/** 32 MiB at most. */
const WINDOWS = 256;

/** Windows of all owners, by owner, pack and position. */
export class Windows {
  readonly #kept = new BoundedMap<string, Promise<Uint8Array>>(WINDOWS);

  /** Calls `read` if the window is not kept. Failures are not kept. */
  get(key: string, read: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept;
    const reading = read();
    this.#kept.set(key, reading);
    reading.catch(() => this.#kept.delete(key));
    return reading;
  }
}

export interface ReaderOptions {
  readonly objects: ObjectStore;
  readonly windows: Windows;
  readonly sizeOf: (pack: string) => number;
}

export class SharedReader {
  readonly #options: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** The bytes at one place, unchecked. Throws as ObjectStore.getRanges. */
  async node({ pack, offset, length }: Omit<CachedBlock, "isLive">): Promise<Uint8Array> {
    const { objects, windows, sizeOf } = this.#options;
    const first = Math.floor(offset / WINDOW_BYTES);
    const last = Math.floor((offset + Math.max(1, length) - 1) / WINDOW_BYTES);
    // A node longer than two windows would push out many others.
    if (last - first > 1) return this.#range(pack, { offset, length });
    const size = sizeOf(pack);
    const parts = [];
    for (let at = first; at <= last; at++) {
      const start = at * WINDOW_BYTES;
      const range = { offset: start, length: Math.min(WINDOW_BYTES, size - start) };
      const read = async () => (await objects.getRanges(objectOf(pack), [range]))[0] ?? new Uint8Array();
      parts.push(await windows.get(`${objects.address}/${pack}/${at}`, read));
    }
    const bytes = parts.length === 1 ? (parts[0] ?? new Uint8Array()) : Buffer.concat(parts);
    // A copy: a view would keep the window in memory.
    return new Uint8Array(bytes.subarray(offset - first * WINDOW_BYTES, offset - first * WINDOW_BYTES + length));
  }

  /** The bytes at these places, unchecked. Throws as ObjectStore.getRanges. */
  async blocks(places: ReadonlyMap<Cid, CachedBlock>): Promise<Map<Cid, Uint8Array>> {
    const reads = [...groupBy(places, ([, { pack }]) => pack)].flatMap(([pack, blocks]) =>
      planReads(blocks, { gap: READ_GAP_BYTES, most: ANSWER_BATCH_BYTES }).map((read) => ({ pack, read })),
    );
    const found = new Map<Cid, Uint8Array>();
    await mapConcurrent(reads, PACK_READS, async ({ pack, read }) => {
      const bytes = await this.#range(pack, read);
      const isOne = read.blocks.length === 1;
      for (const [cid, place] of read.blocks) {
        const part = partOf(read, bytes, place);
        found.set(cid, isOne ? part : new Uint8Array(part));
      }
    });
    return found;
  }

  async #range(pack: string, range: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    const { objects } = this.#options;
    return (await objects.getRanges(objectOf(pack), [range]))[0] ?? new Uint8Array();
  }
}

/** Undefined: a pack is gone or too short. */
export function unlessGone<Result>(read: () => Promise<Result>): Promise<Result | undefined> {
  return unless(["object_not_found", "block_corrupt"], read);
}
