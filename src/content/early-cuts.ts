/**
 * The first chunks and holes of a file that is being written again: which they will be, whatever comes after the bytes that they
 * were found in. Addresses and lengths only, close together, since the bytes lie in a data file anyway.
 */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import type { BlockSink } from "../blocks/block-store.ts";
import { HASH_BYTES } from "../crypto/hash.ts";
import { cidFromDigest, cidOf, digestOf } from "../format/cid.ts";
import type { ListEntry } from "../format/chunk-list.ts";
import type { CutRule } from "./config.ts";

export interface EarlyPiece {
  /** A chunk, or a hole. */
  readonly entry: ListEntry;
  /** Whether the old file has the chunk. */
  readonly isOld: boolean;
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
  #count = 0;
  #records = Buffer.alloc(FIRST_RECORDS * RECORD_BYTES);

  constructor(rule: CutRule, root: Cid) {
    this.rule = rule;
    this.root = root;
  }

  get count(): number {
    return this.#count;
  }

  add({ cid, length }: ListEntry, isOld: boolean): void {
    const at = this.#count++ * RECORD_BYTES;
    if (at === this.#records.length) this.#records = Buffer.concat([this.#records, Buffer.alloc(at)]);
    this.#records.writeDoubleLE(length, at);
    this.#records[at + KIND_AT] = cid === undefined ? HOLE : isOld ? OLD : NEW;
    if (cid !== undefined) this.#records.set(digestOf(cid), at + DIGEST_AT);
    this.end += length;
    if (isOld) this.oldBytes += length;
  }

  *[Symbol.iterator](): Generator<EarlyPiece> {
    for (let index = 0; index < this.#count; index++) {
      const at = index * RECORD_BYTES;
      const length = this.#records.readDoubleLE(at);
      const kind = this.#records[at + KIND_AT];
      const digest = this.#records.subarray(at + DIGEST_AT, at + DIGEST_AT + HASH_BYTES);
      const entry =
        kind === HOLE
          ? { cid: undefined, length, dataLength: 0 }
          : { cid: cidFromDigest("raw", digest), length, dataLength: length };
      yield { entry, isOld: kind === OLD };
    }
  }

  /**
   * The entries in order, the new chunks' blocks put into `sink`. `read` has the file's bytes. Throws `internal` where those are
   * others than were cut: whoever tries again finds these cuts refuted.
   */
  async *put(sink: BlockSink, read: ReadBytes): AsyncGenerator<ListEntry> {
    let [at, index] = [0, 0];
    let probe: Uint8Array | undefined;
    for (const { entry, isOld } of this) {
      if (entry.cid !== undefined && (!isOld || index++ % PROBED === 0)) {
        if (isOld) probe ??= new Uint8Array(this.rule.max);
        const bytes = await read(at, entry.length, isOld ? probe : undefined);
        if (cidOf("raw", bytes) !== entry.cid) throw this.#refuted(at);
        if (!isOld) await sink.put({ cid: entry.cid, bytes });
      }
      yield entry;
      at += entry.length;
    }
  }

  #refuted(at: number): SynclineError {
    this.isRefuted = true;
    return new SynclineError("internal", `A file is not what it was at byte ${at} when it was cut early.`, {
      hint: "Nothing was published. It is tried again by itself, with the file as it is.",
    });
  }
}

/** Of the chunks that the old file has one in so many is read and hashed once more. */
const PROBED = 256;

/** length f64 | kind u8 | digest. */
const KIND_AT = 8;
const DIGEST_AT = 9;
const RECORD_BYTES = DIGEST_AT + HASH_BYTES;
const FIRST_RECORDS = 256;
const [HOLE, OLD, NEW] = [0, 1, 2];
