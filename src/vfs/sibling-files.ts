/**
 * When a program reads small files one after another, in the order of their directory, the next ones are fetched together.
 * Only reads whose block is not in memory are looked at, so all other reads cost nothing more.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import type { Cid, FileId, FileName } from "../base/ids.ts";
import { SIBLINGS_FIRST, SIBLINGS_MAX, SIBLINGS_MAX_BYTES } from "../base/limits.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import { type ListedEntry, peekDirectory } from "../fstree/fs-reader.ts";
import type { CleanObject } from "./clean-object.ts";
import type { Loader } from "./loader.ts";

interface Stream {
  /** The name of the last file read. */
  at: FileName;
  /** How many files were read in order. */
  count: number;
  /** The last name that was looked at for fetching. */
  fetched: FileName | undefined;
  /** How many names the next fetch looks at. */
  window: number;
}

/** How many directories are followed at a time. */
const STREAMS = 64;
/** How many files must be read in order before others are fetched. */
const IN_ORDER = 3;
/** How far the next name may be. Between them may be directories, larger files, and files whose blocks are in memory. */
const PASSED = 32;

export class SiblingFiles {
  readonly #streams = new BoundedMap<FileId, Stream>(STREAMS);

  /** Call this when a read needs the only block of this file, which is unchanged here, and the block is not in memory. */
  missed({ record, names, place }: CleanObject, tree: Cid, loader: Loader): void {
    if (place === undefined || names !== 1 || record.content.kind !== "chunk") return;
    const { parent, name } = place;
    const list = (after: FileName, limit: number) => peekDirectory(loader.nodes, tree, parent, after, limit);
    try {
      const stream = this.#follow(parent, name, list);
      if (stream === undefined || stream.count < IN_ORDER) return;
      // It is being fetched.
      if (stream.fetched !== undefined && name <= stream.fetched && loader.content.isLoading(record.content.cid))
        return;
      this.#fetch(stream, list(name, stream.window), loader);
    } catch (error) {
      if (!(error instanceof BlockMiss)) throw error;
      // The directory's names are not in memory: they are loaded for the next file.
      if (loader.fetchesAhead) loader.load(error.cids).catch(() => {});
    }
  }

  /** Undefined if it is the same file again. */
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
