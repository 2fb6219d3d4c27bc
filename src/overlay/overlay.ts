/**
 * The durable local write buffer: state, journal, data files and tables together.
 *
 * `execute` is the only way in: records are encoded and their space reserved, then bytes are written, then the state
 * changes; so what fails changes nothing. `commit` writes the batch out before any answer leaves.
 */
import type { Clock } from "../base/clock.ts";
import { systemRandom } from "../base/random.ts";
import { hasCode, SynclineError } from "../base/errors.ts";
import { ROOT_INO, type FileId, type Ino } from "../base/ids.ts";
import {
  CARRIED_WRITE_BYTES,
  CHECKPOINT_BYTES,
  CLEAN_INODES,
  FSYNC_RECENT_MS,
  JOURNAL_FRAME_BYTES,
  JOURNAL_SEGMENT_BYTES,
  MAX_OPEN_DATA_FILES,
  ROWS_PER_RECORD,
} from "../base/limits.ts";
import type { ChangeSet, NewBase, PublishedEpoch } from "../fstree/change-set.ts";
import { applyRecord } from "./apply.ts";
import { CarriedBytes } from "./data/carried-bytes.ts";
import { DataFiles } from "./data/data-files.ts";
import { followingOf } from "./follow.ts";
import { Housekeeping } from "./housekeeping.ts";
import { Inodes } from "./inodes.ts";
import { Journal } from "./journal/journal.ts";
import { writeJournalRecord } from "./journal/journal-codec.ts";
import type { BaseRoot, JournalRecord, PublishedRow } from "./journal/journal-record.ts";
import { Checkpointer } from "./journal/checkpointer.ts";
import { BackPressure } from "./back-pressure.ts";
import { LateRows } from "./journal/late-rows.ts";
import type { OverlayOptions } from "./overlay-options.ts";
import { loadState, replayFrame } from "./journal/recovery.ts";
import { changedSince, joiningOf, joinsOf } from "./settle.ts";
import type { Joining } from "./settle.ts";
import { QuickFlush } from "./disk/quick-flush.ts";
import { SharedSync } from "./disk/shared-sync.ts";
import type { OverlayState } from "./state.ts";
import type { InodeRow, OverlayStorage, StateTables, StorageSpace } from "./disk/storage.ts";

export interface Pending {
  readonly files: number;
  /** Bytes in data files. */
  readonly bytes: number;
  /** Age of the oldest change that is not published; 0 when there is none. */
  readonly oldestMs: number;
}

export class Overlay {
  readonly state: OverlayState;
  readonly data: DataFiles;
  readonly #storage: OverlayStorage;
  readonly #clock: Clock;
  readonly #tables: StateTables;
  readonly #journal: Journal;
  readonly #sync: SharedSync;
  readonly #checkpointer: Checkpointer;
  readonly #housekeeping: Housekeeping;
  readonly #pacing: BackPressure;
  /** When the live epoch and the one in flight got their first change. */
  #liveSinceMs: number | undefined;
  #sealedSinceMs: number | undefined;
  #fsyncedMs = -Infinity;
  /** Whether the tables are durable: what another process wrote may not be. */
  #founded = false;
  readonly #quick: QuickFlush;
  readonly #lateRows = new LateRows();

  /** Opens the state, or makes it. Throws `state_corrupt`, `disk_full`, `store_failed`. */
  constructor({ storage, base, clock, log, limits, random = systemRandom }: OverlayOptions) {
    this.#storage = storage;
    this.#clock = clock;
    this.#tables = storage.openTables();
    this.#pacing = new BackPressure(clock, limits?.epochObjects);
    const inodes = new Inodes(this.#tables, limits?.cleanInodes ?? CLEAN_INODES);
    const stored = this.#tables.head();
    const { state, frame } = loadState(this.#tables, inodes, base);
    this.state = state;
    const options = {
      segmentBytes: limits?.segmentBytes ?? JOURNAL_SEGMENT_BYTES,
      frameBytes: limits?.frameBytes ?? JOURNAL_FRAME_BYTES,
      salt: Buffer.from(random.bytes(4)).readUInt32LE(),
    };
    const carried = new CarriedBytes();
    this.#journal = new Journal(storage, options, frame, (payload) => replayFrame(state, payload, carried));
    this.data = new DataFiles(storage, limits?.openFiles ?? MAX_OPEN_DATA_FILES, limits?.earlyBytes);
    carried.restore(state, this.data);
    this.#quick = new QuickFlush(clock);
    this.#sync = new SharedSync(async () => {
      if (!this.#founded) await this.#tables.sync();
      this.#founded = true;
      await this.data.syncEager();
      await this.#journal.sync();
    });
    const checkpointBytes = limits?.checkpointBytes ?? CHECKPOINT_BYTES;
    const syncCarried = () => this.data.syncCarried();
    this.#checkpointer = new Checkpointer(this.#tables, this.#journal, state, checkpointBytes, syncCarried);
    if (stored === undefined) this.#checkpointer.begin();
    if (state.publishable > 0) this.#liveSinceMs = clock.monotonicMs();
    this.#housekeeping = new Housekeeping({
      clock,
      log,
      state,
      checkpointer: this.#checkpointer,
      journal: this.#journal,
      data: this.data,
      sync: () => this.sync(),
    });
    this.#housekeeping.clean();
  }

  /** Buffers the records and applies them, all or none. Throws `disk_full`, `store_failed`; then nothing changed. */
  execute(records: readonly JournalRecord[], options: { urgent?: boolean; between?: () => void } = {}): void {
    const late = this.#lateRows.before(records, this.state.inodes);
    this.#journal.append(
      (writer) => {
        for (const record of late) writeJournalRecord(writer, record);
        for (const record of records) writeJournalRecord(writer, record);
      },
      options.urgent ?? false,
      options.between,
    );
    this.#lateRows.journaled(late);
    for (const record of records) applyRecord(this.state, record);
    if (this.state.changed) this.#liveSinceMs ??= this.#clock.monotonicMs();
    if (this.state.discarded.length > 0) this.#housekeeping.discard();
  }

  /**
   * Gives an object of the base its inode number. On a full disk, whose reserve is for what makes room, only this run knows the number, until a
   * change refers to it.
   */
  assign(row: InodeRow): void {
    try {
      this.execute([{ kind: "inode", row }]);
    } catch (error) {
      if (!hasCode(error, "disk_full")) throw error;
      this.state.inodes.put(row);
      this.#lateRows.add(row.ino);
    }
  }

  /** Writes the batch out: nothing in it is lost when the process dies from here on. Throws `store_failed`. */
  commit(): void {
    this.#journal.flush();
    this.#housekeeping.tendSoon();
  }

  /**
   * Whether the journal is to carry the bytes of a write. Small ones while programs fsync, which is one sync then instead of
   * two. And any over bytes that it carries: those must neither be put back over new ones nor be left out when power loss
   * takes the new ones.
   */
  carries(ino: Ino, offset: number, length: number): boolean {
    if (this.data.isCarried(ino, offset, length)) return true;
    return length <= CARRIED_WRITE_BYTES && this.#clock.monotonicMs() - this.#fsyncedMs < FSYNC_RECENT_MS;
  }

  /** Makes the inode's data, then everything in the journal, survive power loss. Rejects with `store_failed`. */
  async fsync(ino: Ino): Promise<void> {
    this.#fsyncedMs = this.#clock.monotonicMs();
    this.#journal.flush();
    await this.data.sync(ino);
    await this.#sync.run();
  }

  /**
   * The same before it returns, if one flush does it and the last one here was quick: handing such a flush to another thread
   * takes as long again. False: not done.
   */
  fsyncNow(ino: Ino): boolean {
    if (!this.#founded || !this.#quick.isAllowed || this.#sync.active || !this.data.isSynced(ino)) return false;
    this.#fsyncedMs = this.#clock.monotonicMs();
    return this.#quick.run(() => this.#journal.syncNow());
  }

  /** Makes everything in the journal survive power loss: needed before a sealed epoch leaves this machine. */
  async sync(): Promise<void> {
    this.#journal.flush();
    await this.#sync.run();
  }

  /**
   * What changed since the base, as the next epoch; the one in flight if there is one. Undefined: nothing changed. `anew`: the one in
   * flight and what changed since become the next epoch together: only where no swap of the one in flight may have been sent.
   */
  seal(anew = false): ChangeSet | undefined {
    const again = this.state.inFlight !== undefined && !(anew && this.state.changed);
    if (!again && this.state.publishable > 0) {
      this.execute([{ kind: "seal", epoch: this.state.epoch }], { urgent: true });
      this.commit();
      this.#sealedSinceMs ??= this.#liveSinceMs;
      this.#liveSinceMs = undefined;
    }
    this.#pacing.left(again);
    return this.state.inFlight?.changes;
  }

  /** Whether so much changed that an epoch should be sealed at once. */
  get isFull(): boolean {
    return this.state.inFlight === undefined && this.#pacing.isFull(this.state.live);
  }

  /** How long a call that changes another object should wait before it begins: 0 unless more changes than is published. */
  get pauseMs(): number {
    return this.#pacing.pauseMs(this.state.live);
  }

  /** The epoch in flight is in the bucket, and `result.base` is what the overlay stands on now. */
  published(result: PublishedEpoch): Joining {
    const { epoch } = result;
    const ids = new Map(Array.from(result.objects, ([ino, { id }]) => [ino, id]));
    this.#checkComplete(epoch, ids);
    const joins = joinsOf(this.state, ids);
    const joining = joiningOf(this.state, joins);
    const following = followingOf(this.state, result, ids);
    const rows = Array.from(result.objects, ([ino, { id, record, names }]): PublishedRow => {
      const kept = changedSince(this.state, ino, epoch) ? { record, names } : undefined;
      return { ino, id, kept, joined: joins.get(ino) };
    });
    for (let at = 0; at === 0 || at < rows.length; at += ROWS_PER_RECORD)
      this.execute([{ kind: "rows", first: at === 0, rows: rows.slice(at, at + ROWS_PER_RECORD) }], { urgent: true });
    for (let at = 0; at < following.objects.length; at += ROWS_PER_RECORD) {
      const objects = following.objects.slice(at, at + ROWS_PER_RECORD);
      this.execute([{ kind: "follow", objects }], { urgent: true });
    }
    this.execute([{ kind: "published", epoch, base: rootOf(result.base) }], { urgent: true });
    this.#sealedSinceMs = undefined;
    this.#pacing.arrived();
    this.commit();
    return {
      inodes: [...joining.inodes, ...following.inodes],
      names: [...joining.names, ...following.names],
    };
  }

  /** Stands on a root that others published. */
  adopt(base: NewBase): void {
    this.execute([{ kind: "adopt", base: rootOf(base) }], { urgent: true });
    this.commit();
  }

  pending(): Pending {
    let [bytes, directories] = [0, 0];
    for (const { ino, type, base, links, extents } of this.state.objects()) {
      bytes += extents?.dataBytes ?? 0;
      // One whose entries changed is no change of its own.
      if (type === "directory" && base !== undefined && (links.length > 0 || ino === ROOT_INO)) directories++;
    }
    const since = this.#sealedSinceMs ?? this.#liveSinceMs;
    const { publishable } = this.state;
    const files = Math.max(publishable - directories, Math.min(publishable, 1));
    return { files, bytes, oldestMs: files === 0 || since === undefined ? 0 : this.#clock.monotonicMs() - since };
  }

  space(): StorageSpace {
    return this.#storage.space();
  }

  /** Writes the state to the tables and frees the journal. */
  checkpoint(): Promise<void> {
    return this.#checkpointer.run();
  }

  /** Removes data files that nobody refers to any more, once the journal that says so is durable. */
  sweep(): Promise<void> {
    return this.#housekeeping.sweep();
  }

  /** Checkpoints and closes. What was committed stays, also when this fails. */
  async close(): Promise<void> {
    this.#housekeeping[Symbol.dispose]();
    try {
      await this.sync();
      await this.checkpoint();
      await this.sweep();
    } finally {
      this.data.close();
      this.#journal.close();
      this.#tables.close();
    }
  }

  /** Nothing is journaled of a result that does not fit the epoch in flight. */
  #checkComplete(epoch: number, published: ReadonlyMap<Ino, FileId>): void {
    const changes = this.state.inFlight?.changes;
    const lacking = changes?.objects.find(({ ino, record }) => record !== undefined && !published.has(ino));
    if (changes?.epoch === epoch && lacking === undefined) return;
    throw new SynclineError("internal", `What was published does not fit the epoch ${changes?.epoch} that was sealed.`);
  }
}

const rootOf = ({ commit, tree, seq }: NewBase): BaseRoot => ({ commit, tree, seq });
