/**
 * The first chunks and holes of a file being rewritten, valid whatever bytes follow. Held as nodes of its chunk list, which
 * do not depend on later bytes either. Chunks are kept as CID and length only: their bytes are in a data file anyway.
 */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { addressOf } from "../blocks/block-codec.ts";
import type { Block, BlockSink } from "../blocks/block-store.ts";
import { HASH_BYTES } from "../crypto/hash.ts";
import { cidFromDigest, digestOf } from "../format/blocks/cid.ts";
import type { ListEntry } from "../format/files/chunk-list.ts";
import type { ContentConfig, CutRule } from "./config.ts";
import { NodeBuilder } from "./list-builder.ts";

/** The beginning of a list: its complete nodes, and the entries after them. */
export interface ListBeginning {
  readonly nodes: readonly ListEntry[];
  readonly entries: readonly ListEntry[];
}

/** Reads the file's bytes into new memory, or into `target`. */
type ReadBytes = (offset: number, length: number, target: Uint8Array | undefined) => Promise<Uint8Array>;

export class EarlyCuts {
  readonly rule: CutRule;
  /** The old file's chunk list. */
  readonly root: Cid;
  /** The pieces cover [0, end), and depend on the bytes [0, read). */
  end = 0;
  read = 0;
  /** Bytes of chunks that the old file has too. */
  oldBytes = 0;
  /** Where the old file likely continues as this one does from `end` on. */
  oldAt = 0;
  /** A piece did not match the file's bytes: none of the cuts counts. */
  isRefuted = false;
  readonly #open: NodeBuilder;
  readonly #nodes: ListEntry[] = [];
  readonly #blocks: Block[] = [];
  /** Chunks to be read once more. */
  readonly #unread = new ChunkRecords();
  #count = 0;
  #oldCount = 0;

  constructor(config: ContentConfig, rule: CutRule, root: Cid) {
    this.rule = rule;
    this.root = root;
    this.#open = new NodeBuilder(config, 0);
  }

  get count(): number {
    return this.#count;
  }

  /** Takes the next piece; `isOld`: a chunk that the old file has. */
  add(entry: ListEntry, isOld: boolean): void {
    const { cid, length } = entry;
    if (cid !== undefined && !isOld) this.#unread.add(cid, this.end, length, false);
    if (cid !== undefined && isOld && this.#oldCount++ % PROBED === 0) this.#unread.add(cid, this.end, length, true);
    const node = this.#open.add({ cid, length, dataLength: entry.dataLength });
    if (node !== undefined) {
      this.#nodes.push(node.entry);
      this.#blocks.push(node.block);
    }
    this.#count++;
    this.end += length;
    if (isOld) this.oldBytes += length;
  }

  /**
   * Returns the list's beginning, and puts blocks of new chunks and nodes into `sink`, except those of `oldNodes`. `read`
   * reads the file. Throws `internal` if its bytes differ from those that were cut: a retry then finds these cuts refuted.
   */
  async put(sink: BlockSink, oldNodes: ReadonlySet<Cid>, read: ReadBytes): Promise<ListBeginning> {
    let probe: Uint8Array | undefined;
    for (const { cid, at, length, isOld } of this.#unread) {
      if (isOld && (probe === undefined || probe.length < length)) {
        probe = new Uint8Array(Math.min(2 * length, this.rule.max));
      }
      const bytes = await read(at, length, isOld ? probe : undefined);
      if (addressOf("raw", bytes) !== cid) throw this.#refuted(at);
      if (!isOld) await sink.put({ cid, bytes });
    }
    for (const block of this.#blocks) if (!oldNodes.has(block.cid)) await sink.put(block);
    return { nodes: this.#nodes, entries: this.#open.entries };
  }

  #refuted(at: number): SynclineError {
    this.isRefuted = true;
    return new SynclineError("internal", `A file that was chunked early has changed at byte ${at}.`, {
      hint: "Nothing was published. The file is retried automatically, as it is now.",
    });
  }
}

interface ChunkRecord {
  readonly cid: Cid;
  readonly at: number;
  readonly length: number;
  readonly isOld: boolean;
}

/** Chunks with their offsets, stored compactly: at f64 | length f64 | old u8 | digest. */
class ChunkRecords {
  #count = 0;
  #bytes = Buffer.alloc(FIRST_RECORDS * RECORD_BYTES);

  add(cid: Cid, at: number, length: number, isOld: boolean): void {
    const from = this.#count++ * RECORD_BYTES;
    if (from === this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(from)]);
    this.#bytes.writeDoubleLE(at, from);
    this.#bytes.writeDoubleLE(length, from + 8);
    this.#bytes[from + OLD_AT] = isOld ? 1 : 0;
    this.#bytes.set(digestOf(cid), from + DIGEST_AT);
  }

  *[Symbol.iterator](): Generator<ChunkRecord> {
    for (let from = 0; from < this.#count * RECORD_BYTES; from += RECORD_BYTES) {
      yield {
        cid: cidFromDigest("raw", this.#bytes.subarray(from + DIGEST_AT, from + DIGEST_AT + HASH_BYTES)),
        at: this.#bytes.readDoubleLE(from),
        length: this.#bytes.readDoubleLE(from + 8),
        isOld: this.#bytes[from + OLD_AT] === 1,
      };
    }
  }
}

/** One in this many of the old file's chunks is read and hashed once more. */
const PROBED = 256;

const OLD_AT = 16;
const DIGEST_AT = 17;
const RECORD_BYTES = DIGEST_AT + HASH_BYTES;
const FIRST_RECORDS = 64;
