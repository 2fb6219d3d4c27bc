/**
 * Frees the disk space that published files take in this machine's cache. Names and attributes stay, and programs that read
 * the contents fetch them again. Pinned files and unpublished changes stay.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, FileId, FileName } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import type { DiskBlockCache } from "../../blocks/disk-block-cache.ts";
import { codecOf } from "../../format/blocks/cid.ts";
import { linksOf } from "../../format/blocks/links.ts";
import type { Content } from "../../format/files/record.ts";
import { listDirectory, objectOf, resolvePath, type TreeObject } from "../../fstree/fs-reader.ts";
import { MetDirectories } from "../../fstree/met-directories.ts";
import { NodeStore } from "../../tree/node-store.ts";
import type { Unpublished } from "../../vfs/unpublished.ts";
import type { FreeReport } from "../reports.ts";
import { covers, type PinPath, pinText, samePin } from "./pin-list.ts";

/** What was removed from the cache. The thread that serves the filesystem then drops it from memory. */
export interface Released {
  readonly files: readonly FileId[];
  readonly blocks: readonly Cid[];
}

/** The thread that serves the filesystem. */
export interface Serving {
  /** What is unpublished below these paths. Before it answers, the thread writes the blocks that it caches to the cache's files. */
  readonly unpublished: (paths: readonly PinPath[]) => Promise<Unpublished>;
  readonly forget: (released: Released) => Promise<void>;
}

export interface FreeSpaceOptions extends Serving {
  readonly cache: Pick<DiskBlockCache, "held" | "release">;
  /** A reader that does not write to the cache. */
  readonly blocks: BlockReader;
  /** The tree that the mount shows. */
  readonly tree: Cid;
  readonly pins: readonly PinPath[];
}

/** Blocks that are released together. Other calls to the cache and to the serving thread run between two batches. */
const BATCH_BLOCKS = 1_024;
const CACHE_BYTES = 8 * 1024 * 1024;

/** Throws `precondition_failed` for a pinned path, `no_such_path`, and as reading the tree does. */
export async function freeSpace(options: FreeSpaceOptions, paths: readonly PinPath[]): Promise<FreeReport> {
  for (const path of paths) requireUnpinned(path, options.pins);
  const unpublished = await options.unpublished(paths);
  const walk = new Freeing(options, unpublished);
  for (const path of paths) await walk.free(path);
  await walk.release();
  const { files, freedBytes, pinned } = walk;
  return {
    files,
    freedBytes,
    unpublished: { files: unpublished.files, bytes: unpublished.bytes },
    pinned: [...pinned].map(pinText),
  };
}

function requireUnpinned(path: PinPath, pins: readonly PinPath[]): void {
  const above = pins.find((pin) => covers(pin, path));
  if (above === undefined) return;
  const where = samePin(above, path) ? "" : ` with ${pinText(above)}`;
  throw new SynclineError("precondition_failed", `${pinText(path)} is pinned${where}.`, {
    hint: `Unpin ${pinText(above)} first: \`syncline unpin\`.`,
  });
}

interface Directory {
  readonly id: FileId;
  readonly path: PinPath;
}

class Freeing {
  files = 0;
  freedBytes = 0;
  /** Pinned paths that the walk has met. */
  readonly pinned = new Set<PinPath>();
  readonly #options: FreeSpaceOptions;
  readonly #nodes: NodeStore;
  readonly #absent: readonly PinPath[];
  /** Files that stay, and files that were already freed. */
  readonly #passed: Set<FileId>;
  #batch: { readonly files: FileId[]; readonly blocks: Cid[] } = { files: [], blocks: [] };

  constructor(options: FreeSpaceOptions, { changed, absent }: Unpublished) {
    this.#options = options;
    this.#nodes = new NodeStore(options.blocks, { capacityBytes: CACHE_BYTES });
    this.#absent = absent;
    this.#passed = new Set(changed);
  }

  async free(path: PinPath): Promise<void> {
    const { tree } = this.#options;
    const object = await resolvePath(this.#nodes, tree, path);
    if (object === undefined) {
      if (this.#absent.some((each) => samePin(each, path)))
        throw new SynclineError("no_such_path", `${pinText(path)} does not exist.`);
      return;
    }
    const met = new MetDirectories(object.id);
    const left: Directory[] = [];
    await this.#object(object, path, left);
    for (let directory = left.pop(); directory !== undefined; directory = left.pop()) {
      const { id, path: above } = directory;
      for await (const { name, dentry } of listDirectory(this.#nodes, tree, id)) {
        const inside = await objectOf(this.#nodes, tree, { parent: id, name }, dentry);
        if (inside.record.type === "directory" && !met.meet(inside.id, id)) continue;
        await this.#object(inside, [...above, name], left);
      }
    }
  }

  async release(): Promise<void> {
    const batch = this.#batch;
    this.#batch = { files: [], blocks: [] };
    if (batch.files.length === 0 && batch.blocks.length === 0) return;
    // Memory comes first: otherwise a block could go back from memory to the freed cache.
    await this.#options.forget(batch);
    this.freedBytes += await this.#options.cache.release(batch.blocks);
  }

  async #object({ id, record }: TreeObject, path: readonly FileName[], left: Directory[]): Promise<void> {
    const pin = this.#options.pins.find((each) => samePin(each, path));
    if (pin !== undefined) return void this.pinned.add(pin);
    // A directory that changed here may hold files that did not.
    if (record.type === "directory") return void left.push({ id, path });
    if (record.type !== "file" || this.#passed.has(id)) return;
    this.#passed.add(id);
    this.files++;
    this.#batch.files.push(id);
    await this.#content(record.content);
  }

  /** Skips lists of chunks that are not on this machine: none are fetched only to free them. */
  async #content(content: Content): Promise<void> {
    if (content.kind === "chunk") await this.#block(content.cid);
    if (content.kind !== "list") return;
    for (let level: Cid[] = [content.cid]; level.length > 0;) {
      const below: Cid[] = [];
      for (const [cid, bytes] of await this.#options.cache.held(level)) {
        for (const link of linksOf(cid, bytes))
          if (codecOf(link) === "raw") await this.#block(link);
          else below.push(link);
        await this.#block(cid);
      }
      level = below;
    }
  }

  async #block(cid: Cid): Promise<void> {
    this.#batch.blocks.push(cid);
    if (this.#batch.blocks.length >= BATCH_BLOCKS) await this.release();
  }
}
