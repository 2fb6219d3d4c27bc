/**
 * The first chunks and holes of a file that is being written again: which they will be, whatever comes after the bytes that they
 * were found in. As the nodes of its chunk list, which depend on nothing behind them either; chunks by address and length only,
 * since their bytes lie in a data file anyway.
 */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import type { Block, BlockSink } from "../blocks/block-store.ts";
import { HASH_BYTES } from "../crypto/hash.ts";
import { cidFromDigest, cidOf, digestOf } from "../format/blocks/cid.ts";
import type { ListEntry } from "../format/files/chunk-list.ts";
import type { ContentConfig, CutRule } from "./config.ts";
import { NodeBuilder } from "./list-builder.ts";

/** A list's beginning: its whole nodes, and the entries that follow. */
export interface ListBeginning {
  readonly nodes: readonly ListEntry[];
  readonly entries: readonly ListEntry[];
}

/** The file's bytes, in memory of their own or in `target`. */
type ReadBytes = (offset: number, length: number, target: Uint8Array | undefined) => Promise<Uint8Array>;

export class EarlyCuts {
  readonly rule: CutRule;
  /** The old file's chunk list. */
  readonly root: Cid;
  /** The pieces cover [0, end) and rest on the bytes [0, read). */
  end = 0;
  read = 0;
  /** Bytes of chunks that the old file has. */
  oldBytes = 0;
  /** Where the old file probably goes on as this one does from `end` on. */
  oldAt = 0;
  /** A piece was not what the file's bytes say: none of them counts. */
  isRefuted = false;
  readonly #open: NodeBuilder;
  readonly #nodes: ListEntry[] = [];
  readonly #blocks: Block[] = [];
  /** Chunks that are to be read once more. */
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
   * The list's beginning, the blocks of new chunks and of nodes put into `sink`, but those of `oldNodes`. `read` has the file's bytes.
   * Throws `internal` where those are others than were cut: whoever tries again finds these cuts refuted.
   */
  async put(sink: BlockSink, oldNodes: ReadonlySet<Cid>, read: ReadBytes): Promise<ListBeginning> {
    let probe: Uint8Array | undefined;
    for (const { cid, at, length, isOld } of this.#unread) {
      if (isOld && (probe === undefined || probe.length < length)) {
        probe = new Uint8Array(Math.min(2 * length, this.rule.max));
      }
      const bytes = await read(at, length, isOld ? probe : undefined);
      if (cidOf("raw", bytes) !== cid) throw this.#refuted(at);
      if (!isOld) await sink.put({ cid, bytes });
    }
    for (const block of this.#blocks) if (!oldNodes.has(block.cid)) await sink.put(block);
    return { nodes: this.#nodes, entries: this.#open.entries };
  }

  #refuted(at: number): SynclineError {
    this.isRefuted = true;
    return new SynclineError("internal", `A file is not what it was at byte ${at} when it was cut early.`, {
      hint: "Nothing was published. It is tried again by itself, with the file as it is.",
    });
  }
}

interface ChunkRecord {
  readonly cid: Cid;
  readonly at: number;
  readonly length: number;
  readonly isOld: boolean;
}

/** Chunks and where they begin, close together: at f64 | length f64 | old u8 | digest. */
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

/** Of the chunks that the old file has one in so many is read and hashed once more. */
const PROBED = 256;

const OLD_AT = 16;
const DIGEST_AT = 17;
const RECORD_BYTES = DIGEST_AT + HASH_BYTES;
const FIRST_RECORDS = 64;
