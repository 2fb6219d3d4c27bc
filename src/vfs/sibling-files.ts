/**
 * Small files that a program reads one after the other, in the order of their directory: those that follow are fetched
 * together. Only a read that lacks its block counts, and only such a read fetches: what is in memory costs nothing.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import type { Cid, FileId, FileName } from "../base/ids.ts";
import { SIBLINGS_FIRST, SIBLINGS_MAX, SIBLINGS_MAX_BYTES } from "../base/limits.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import { type ListedEntry, peekDirectory } from "../fstree/fs-reader.ts";
import type { CleanObject } from "./clean-inodes.ts";
import type { Loader } from "./loader.ts";

interface Stream {
  /** The file that was read last. */
  at: FileName;
  /** Files read in order. */
  count: number;
  /** The last name whose file was fetched or needs no fetching. */
  fetched: FileName | undefined;
  /** How many files are fetched next. */
  window: number;
}

/** Directories that are read at once. */
const STREAMS = 64;
/** Files read in order before others are fetched. */
const IN_ORDER = 3;
/** Names that a reader in order may pass over: directories, files of other kinds, files that were read before. */
const PASSED = 32;

export class SiblingFiles {
  readonly #streams = new BoundedMap<FileId, Stream>(STREAMS);

  /** A read of this file, unchanged here, lacks its only block. */
  missed({ record, names, place }: CleanObject, tree: Cid, loader: Loader): void {
    if (place === undefined || names !== 1 || record.content.kind !== "chunk") return;
    const { parent, name } = place;
    const list = (after: FileName, limit: number) => peekDirectory(loader.nodes, tree, parent, after, limit);
    try {
      const stream = this.#follow(parent, name, list);
      if (stream === undefined || stream.count < IN_ORDER) return;
      // Under way, unless that was given up or has been evicted.
      if (stream.fetched !== undefined && name <= stream.fetched && loader.content.isLoading(record.content.cid))
        return;
      this.#fetch(stream, list(name, stream.window), loader);
    } catch (error) {
      if (!(error instanceof BlockMiss)) throw error;
      // Names are usually in the cache, and here for the next file.
      if (loader.fetchesAhead) loader.load(error.cids).catch(() => {});
    }
  }

  /** Undefined: the same file again. */
  #follow(
    parent: FileId,
    name: FileName,
    list: (after: FileName, limit: number) => readonly ListedEntry[],
  ): Stream | undefined {
    const stream = this.#streams.get(parent);
    if (stream?.at === name) return undefined;
    if (stream !== undefined && name > stream.at && this.#reaches(stream, name, list)) {
      stream.at = name;
      stream.count++;
      return stream;
    }
    const fresh = { at: name, count: 1, fetched: undefined, window: SIBLINGS_FIRST };
    this.#streams.set(parent, fresh);
    return fresh;
  }

  #reaches(
    { at, fetched }: Stream,
    name: FileName,
    list: (after: FileName, limit: number) => readonly ListedEntry[],
  ): boolean {
    const after = fetched !== undefined && fetched > at ? fetched : at;
    return name <= after || list(after, PASSED).some((entry) => entry.name === name);
  }

  #fetch(stream: Stream, entries: readonly ListedEntry[], loader: Loader): void {
    const cids: Cid[] = [];
    let bytes = 0;
    for (const { name, dentry } of entries) {
      const { content, size } = dentry.kind === "record" ? dentry.record : NO_FILE;
      if (content.kind === "chunk") {
        if (bytes + size > SIBLINGS_MAX_BYTES) break;
        bytes += size;
        cids.push(content.cid);
      }
      stream.fetched = name;
    }
    stream.window = Math.min(2 * stream.window, SIBLINGS_MAX);
    loader.readAhead(cids, cids.length);
  }
}

const NO_FILE = { content: { kind: "empty" }, size: 0 } as const;
