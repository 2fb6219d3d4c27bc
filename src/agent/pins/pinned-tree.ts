/** The blocks of a tree that make pinned paths readable offline: the nodes on the way, and the contents. */
import type { Cid, FileId } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { linkedValues } from "../../format/blocks/linked-value.ts";
import { decodeChunkList } from "../../format/files/chunk-list.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { listDirectory, objectOf, resolvePath } from "../../fstree/fs-reader.ts";
import { NodeStore } from "../../tree/node-store.ts";
import type { PinPath } from "./pin-list.ts";

export interface PinnedTree {
  /** Every needed block, with the bytes of a chunk, and 0 for other blocks. */
  readonly blocks: ReadonlyMap<Cid, number>;
  readonly files: number;
  /** Bytes of the files, without holes. */
  readonly bytes: number;
  /** Pinned paths that do not exist. */
  readonly absent: readonly PinPath[];
}

const CACHE_BYTES = 8 * 1024 * 1024;

/** Reads nodes and chunk lists, but no chunks. Rejects as `blocks` does, with `format_invalid`, or the signal's reason. */
export async function readPinned(
  blocks: BlockReader,
  tree: Cid,
  pins: readonly PinPath[],
  signal: AbortSignal,
): Promise<PinnedTree> {
  const walk = new PinWalk(blocks, tree, signal);
  for (const pin of pins) await walk.pin(pin);
  return walk;
}

class PinWalk implements PinnedTree {
  readonly blocks = new Map<Cid, number>();
  readonly absent: PinPath[] = [];
  files = 0;
  bytes = 0;
  readonly #reader: BlockReader;
  readonly #nodes: NodeStore;
  readonly #tree: Cid;
  readonly #signal: AbortSignal;
  readonly #met = new Set<FileId>();

  constructor(reader: BlockReader, tree: Cid, signal: AbortSignal) {
    const getMany = async (cids: readonly Cid[]) => {
      signal.throwIfAborted();
      for (const cid of cids) this.blocks.set(cid, 0);
      return reader.getMany(cids);
    };
    const get = async (cid: Cid) => {
      this.blocks.set(cid, 0);
      return reader.get(cid);
    };
    this.#reader = { get, getMany };
    this.#nodes = new NodeStore(this.#reader, { capacityBytes: CACHE_BYTES });
    this.#tree = tree;
    this.#signal = signal;
  }

  async pin(path: PinPath): Promise<void> {
    const object = await resolvePath(this.#nodes, this.#tree, path);
    if (object === undefined) return void this.absent.push(path);
    await this.#object(object.id, object.record);
    const left = object.record.type === "directory" ? [object.id] : [];
    for (let directory = left.pop(); directory !== undefined; directory = left.pop()) {
      for await (const { name, dentry } of listDirectory(this.#nodes, this.#tree, directory)) {
        const { id, record } = await objectOf(this.#nodes, this.#tree, { parent: directory, name }, dentry);
        if (await this.#object(id, record)) if (record.type === "directory") left.push(id);
      }
    }
  }

  /** Returns false if the object was seen before, under another pin or name. */
  async #object(id: FileId, record: FileRecord): Promise<boolean> {
    if (this.#met.has(id)) return false;
    this.#met.add(id);
    for (const cid of linkedValues(record)) this.blocks.set(cid, 0);
    if (record.type !== "file") return true;
    this.files++;
    this.bytes += record.content.kind === "list" ? (record.content.dataBytes ?? record.size) : record.size;
    await addContent(this.blocks, record, this.#reader, this.#signal);
    return true;
  }
}

/** Adds the blocks of a content that `blocks` and `others` lack: chunks with their bytes, lists with 0. Reads lists only. */
export async function addContent(
  blocks: Map<Cid, number>,
  { content, size }: Pick<FileRecord, "content" | "size">,
  reader: Pick<BlockReader, "getMany">,
  signal: AbortSignal,
  others: ReadonlyMap<Cid, number> = NONE,
): Promise<void> {
  if (content.kind !== "chunk" && content.kind !== "list") return;
  if (blocks.has(content.cid) || others.has(content.cid)) return;
  blocks.set(content.cid, content.kind === "chunk" ? size : 0);
  for (let level: Cid[] = content.kind === "list" ? [content.cid] : []; level.length > 0;) {
    signal.throwIfAborted();
    const below = new Set<Cid>();
    for (const bytes of (await reader.getMany(level)).values()) {
      const list = decodeChunkList(bytes);
      for (let index = 0; index < list.ends.length; index++) {
        const { cid, dataLength } = list.entry(index);
        if (cid === undefined || blocks.has(cid) || others.has(cid)) continue;
        blocks.set(cid, list.level === 0 ? dataLength : 0);
        if (list.level > 0) below.add(cid);
      }
    }
    level = [...below];
  }
}

const NONE: ReadonlyMap<Cid, number> = new Map();
