/**
 * The journal: every mutation of the overlay, in frames (journal-frame.ts) that are appended to preallocated segments.
 *
 * A commit writes once into preallocated space, so it never fails for lack of space. The last empty segment is a reserve
 * for changes that free space. A checkpoint makes old frames unnecessary; their segments are reused.
 */
import { SynclineError } from "../../base/errors.ts";
import { ByteWriter } from "../data/bytes.ts";
import {
  alignedFrameBytes,
  FRAME_HEADER_BYTES,
  sealFrame,
  SEGMENT_HEADER_BYTES,
  segmentHeader,
} from "./journal-frame.ts";
import { readJournal } from "./journal-reader.ts";
import { fillWithZeros, rewriteEarlier, type Segment } from "./segment.ts";
import type { OverlayStorage } from "../disk/storage.ts";

export interface JournalOptions {
  readonly segmentBytes: number;
  /** A batch is written out before it exceeds this. */
  readonly frameBytes: number;
  /** How many empty segments are kept for urgent records. */
  readonly reserved: () => number;
  /** 32 unpredictable bits, for all segments begun here. */
  readonly salt: number;
}

/** Empty segments besides the reserve: one to write to next, and one in use while the next is prepared. A start reads them. */
const SPARES = 2;
/** Further segments that are kept when a checkpoint frees them, so that no new ones must be filled with zeros. */
const REUSED = 3;

export class Journal {
  readonly #storage: OverlayStorage;
  readonly #options: JournalOptions;
  readonly #writer: ByteWriter;
  /** In the order of their frames; the last one is written to, at #position. */
  readonly #segments: Segment[] = [];
  readonly #spares: Segment[] = [];
  /** Segments of an earlier process. The checkpoint covers them, but may not be durable yet. */
  #covered: Segment[] = [];
  readonly #unsynced = new Set<Segment>();
  #position = 0;
  #nextName = 1;
  #lastFrame: number;
  #nextNumber: number;
  #synced: number;
  /** State of preparing segments. After a failure it resumes only once another segment is used. */
  #ahead: "possible" | "under way" | "failed" = "possible";
  #closed = false;
  #syncing = false;
  #nextSync: Promise<void> | undefined;
  #runningSync: Promise<void> = Promise.resolve();
  #broken: SynclineError | undefined;

  /**
   * Opens the journal and gives `replay` the payload of each frame after `checkpoint`, in order. Drops what power loss tore
   * off the end. Throws `state_corrupt` when durable frames are missing.
   */
  constructor(
    storage: OverlayStorage,
    options: JournalOptions,
    checkpoint: number,
    replay: (payload: Uint8Array) => void,
  ) {
    this.#storage = storage;
    this.#options = options;
    this.#writer = new ByteWriter(options.frameBytes);
    const found = readJournal(storage, checkpoint, replay);
    for (const { name, file, bytes, last, end } of found.segments) {
      const segment = { name, file, bytes, last, isNamed: false, earlier: end };
      (last > checkpoint ? this.#segments : this.#covered).push(segment);
    }
    for (const segment of this.#segments) this.#unsynced.add(segment);
    this.#lastFrame = found.last;
    this.#nextNumber = found.nextNumber;
    this.#nextName = found.nextName;
    // The checkpoint may not be durable yet.
    this.#synced = 0;
    // A segment may have a torn end: new frames start a new segment.
    this.#position = Infinity;
    this.#writer.raw(FRAME_HEADER_BYTES);
  }

  get lastFrame(): number {
    return this.#lastFrame;
  }

  /** Approximate bytes of the frames after the last checkpoint. */
  get liveBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /**
   * Adds records to the batch. `encode` writes them; `between` runs after space is reserved and before the records count.
   * If either throws, or space is lacking, the batch is unchanged. `urgent` may use the reserve.
   */
  append(encode: (writer: ByteWriter) => void, urgent: boolean, between?: () => void): void {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#writer.length > this.#options.frameBytes) this.flush();
    const before = this.#writer.length;
    try {
      encode(this.#writer);
      this.#reserve(urgent);
      between?.();
    } catch (error) {
      this.#writer.truncate(before);
      throw error;
    }
  }

  /** Writes the batch out as one frame. Throws `store_failed`; the next call then retries the batch. */
  flush(): void {
    const payloadBytes = this.#writer.length - FRAME_HEADER_BYTES;
    if (payloadBytes === 0) return;
    if (this.#broken !== undefined) throw this.#broken;
    const length = alignedFrameBytes(this.#writer.length);
    const segment = this.#segmentFor(length);
    this.#writer.raw(length - this.#writer.length);
    const frame = this.#writer.bytes;
    sealFrame(frame, payloadBytes, { number: this.#nextNumber, synced: this.#synced, salt: this.#options.salt });
    try {
      segment.file.write(this.#position, frame);
    } catch (error) {
      this.#writer.truncate(FRAME_HEADER_BYTES + payloadBytes);
      throw error;
    }
    this.#lastFrame = this.#nextNumber++;
    segment.last = this.#lastFrame;
    this.#position += length;
    this.#unsynced.add(segment);
    this.#writer.truncate(FRAME_HEADER_BYTES);
  }

  /** Makes everything appended survive power loss. Callers share one sync. Rejects with `store_failed`. */
  sync(): Promise<void> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    try {
      this.flush();
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#lastFrame === this.#synced) return this.#runningSync;
    // While one sync runs, all later callers wait for it and then share the next one.
    this.#nextSync ??= this.#runningSync.then(() => {
      this.#nextSync = undefined;
      this.#runningSync = this.#syncNow();
      return this.#runningSync;
    });
    return this.#nextSync;
  }

  /**
   * As `sync`, but before it returns. False, with nothing done, if that needs a sync under way or more than one flush. Throws
   * `store_failed`.
   */
  syncNow(): boolean {
    if (this.#broken !== undefined) throw this.#broken;
    this.flush();
    if (this.#syncing || this.#nextSync !== undefined) return false;
    if (this.#lastFrame === this.#synced) return true;
    const [segment] = this.#unsynced;
    if (segment === undefined || this.#unsynced.size > 1 || !segment.isNamed) return false;
    try {
      segment.file.syncNow();
    } catch (cause) {
      this.#break(cause);
    }
    this.#unsynced.clear();
    this.#synced = this.#lastFrame;
    return true;
  }

  /** Writes an earlier process's frames again: a sync of theirs may have failed. Throws `disk_full`, `store_failed`. */
  rewriteFound(): void {
    this.#segments.forEach(rewriteEarlier);
  }

  /** Frees what the checkpoint of an earlier process covers. It must be durable. */
  recycleFound(): void {
    if (this.#covered.length === 0) return;
    for (const segment of this.#covered.splice(0)) {
      if (segment.bytes === this.#options.segmentBytes) this.#spares.push(segment);
      else this.#remove(segment);
    }
    this.#dropSpares();
  }

  /** Frees segments whose frames are all at or before `frame`. */
  recycle(frame: number): void {
    while (this.#segments.length > 0) {
      const [oldest] = this.#segments;
      if (oldest === undefined || oldest.last > frame) break;
      if (this.#segments.length === 1) this.#position = Infinity;
      this.#segments.shift();
      this.#unsynced.delete(oldest);
      this.#spares.push(oldest);
    }
    this.#dropSpares();
    this.#synced = Math.max(this.#synced, Math.min(frame, this.#lastFrame));
  }

  /** Whether another segment should be prepared. */
  get wantsSpare(): boolean {
    const isPossible = this.#ahead === "possible" && this.#broken === undefined;
    return isPossible && this.#spares.length < SPARES + this.#options.reserved();
  }

  /** Prepares a segment before it is needed, so that no call waits. The call that needs it reports a failure. */
  async makeReady(): Promise<void> {
    this.#ahead = "under way";
    try {
      await this.#makeSpare();
      this.#ahead = "possible";
    } catch {
      this.#ahead = "failed";
    }
  }

  /** Closes the files. Unflushed records are lost. */
  close(): void {
    this.#closed = true;
    for (const { file } of [...this.#segments, ...this.#spares, ...this.#covered]) file.close();
  }

  /** Makes sure that the batch fits into preallocated space, with the reserve left over unless `urgent`. */
  #reserve(urgent: boolean): void {
    const length = alignedFrameBytes(this.#writer.length);
    const fits = this.#fits(length);
    const wanted = (fits ? 0 : 1) + (urgent ? 0 : this.#options.reserved());
    const large = SEGMENT_HEADER_BYTES + length;
    if (!fits && !this.#spares.some(({ bytes }) => bytes >= large)) this.#allocate(large);
    while (this.#spares.length < wanted) this.#allocate(0);
  }

  #fits(length: number): boolean {
    const current = this.#segments.at(-1);
    return current !== undefined && this.#position + length <= current.bytes;
  }

  /** The segment for the next frame; begins a new one if necessary. */
  #segmentFor(length: number): Segment {
    const current = this.#segments.at(-1);
    if (current !== undefined && this.#fits(length)) return current;
    const index = this.#spares.findIndex(({ bytes }) => bytes >= SEGMENT_HEADER_BYTES + length);
    const [spare] = index < 0 ? [this.#create(SEGMENT_HEADER_BYTES + length)] : this.#spares.splice(index, 1);
    if (spare === undefined) throw new SynclineError("internal", "The journal lost count of its segments.");
    try {
      const place = { first: this.#nextNumber, follows: this.#lastFrame, synced: this.#synced };
      spare.file.write(0, segmentHeader({ ...place, salt: this.#options.salt }));
    } catch (error) {
      this.#spares.push(spare);
      throw error;
    }
    spare.last = this.#lastFrame;
    spare.earlier = 0;
    if (this.#ahead === "failed") this.#ahead = "possible";
    this.#segments.push(spare);
    this.#position = SEGMENT_HEADER_BYTES;
    return spare;
  }

  async #makeSpare(): Promise<void> {
    const segment = this.#create(0);
    try {
      await segment.file.sync();
      await this.#syncNames(segment);
    } finally {
      if (this.#closed) segment.file.close();
      else this.#spares.push(segment);
    }
  }

  /** Makes the names of all segments survive power loss. */
  async #syncNames(...more: Segment[]): Promise<void> {
    const segments = [...this.#segments, ...this.#spares, ...more];
    await this.#storage.syncFolder("journal");
    for (const segment of segments) segment.isNamed = true;
  }

  #allocate(atLeast: number): void {
    try {
      this.#spares.push(this.#create(atLeast));
    } catch (error) {
      // On a full disk, covered segments are reused early. Only a power loss before the tables are synced would need them.
      const least = Math.max(atLeast, this.#options.segmentBytes);
      const index = this.#covered.findIndex(({ bytes }) => bytes >= least);
      if (index < 0) throw error;
      this.#spares.push(...this.#covered.splice(index, 1));
    }
  }

  /** Creates a segment full of zeros, so that later writes find their blocks allocated. Throws `disk_full`. */
  #create(atLeast: number): Segment {
    const bytes = Math.max(this.#options.segmentBytes, atLeast);
    const name = String(this.#nextName++).padStart(8, "0");
    const file = this.#storage.openFile("journal", name, true);
    if (file === undefined) throw new SynclineError("internal", "A journal segment was not created.");
    const segment: Segment = { name, file, bytes, last: 0, isNamed: false, earlier: 0 };
    try {
      fillWithZeros(segment);
    } catch (error) {
      this.#remove(segment);
      throw error;
    }
    return segment;
  }

  /** Never call this while one of them may be syncing. */
  #dropSpares(): void {
    if (this.#syncing) return;
    const most = SPARES + REUSED + this.#options.reserved();
    const kept = this.#spares.filter(({ bytes }) => bytes === this.#options.segmentBytes).slice(0, most);
    for (const spare of this.#spares.splice(0)) if (!kept.includes(spare)) this.#remove(spare);
    this.#spares.push(...kept);
  }

  #remove(segment: Segment): void {
    segment.file.close();
    this.#storage.removeFile("journal", segment.name);
  }

  async #syncNow(): Promise<void> {
    const frame = this.#lastFrame;
    const segments = [...this.#unsynced];
    this.#unsynced.clear();
    this.#syncing = true;
    try {
      await Promise.all(segments.map(({ file }) => file.sync()));
      if (segments.some(({ isNamed }) => !isNamed)) await this.#syncNames();
    } catch (cause) {
      this.#break(cause);
    } finally {
      this.#syncing = false;
    }
    this.#synced = Math.max(this.#synced, frame);
  }

  /** After a failed sync the disk's contents are unknown: only reading them again, at a new start, can tell. */
  #break(cause: unknown): never {
    this.#broken = new SynclineError("store_failed", "Could not sync the overlay's journal to disk.", {
      hint: "Check the disk under the state folder, then restart the agent.",
      cause,
    });
    throw this.#broken;
  }
}
