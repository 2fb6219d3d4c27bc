/**
 * The durable local write buffer: state, journal, data files and tables together.
 *
 * All changes go through `execute`: it encodes records and reserves their space, then writes bytes, then changes the state.
 * A failure therefore changes nothing. `commit` writes out the batch before any answer leaves.
 */
import type { Clock } from "../base/clock.ts";
import { systemRandom } from "../base/random.ts";
import { hasCode, SynclineError } from "../base/errors.ts";
import type { Ino } from "../base/ids.ts";
import {
  CARRIED_WRITE_BYTES,
  CHECKPOINT_BYTES,
  CLEAN_INODES,
  FSYNC_RECENT_MS,
  MAX_OPEN_DATA_FILES,
} from "../base/limits.ts";
import type { ChangeSet, NewBase, PublishedEpoch, SentCommit } from "../fstree/change-set.ts";
import type { Units } from "../format/commits/policy.ts";
import { applyRecord } from "./apply.ts";
import { CarriedBytes } from "./data/carried-bytes.ts";
import { DataFiles } from "./data/data-files.ts";
import { countFound, findLost, type LostBytes } from "./data/lost-bytes.ts";
import { growthOf } from "./growth.ts";
import { Housekeeping } from "./housekeeping.ts";
import type { InUse } from "./in-use.ts";
import { Inodes } from "./inodes.ts";
import { Journal } from "./journal/journal.ts";
import { isSameUse } from "./journal/in-use-codec.ts";
import { writeJournalRecord } from "./journal/journal-codec.ts";
import type { JournalRecord } from "./journal/journal-record.ts";
import { Checkpointer } from "./journal/checkpointer.ts";
import { BackPressure } from "./back-pressure.ts";
import { PendingAge } from "./pending-age.ts";
import { type Pending, pendingOf } from "./pending.ts";
import { removalsOf } from "./removals.ts";
import { Room } from "./room.ts";
import { Answers } from "./journal/answers.ts";
import { LateRows } from "./journal/late-rows.ts";
import { journalOptions, type OverlayOptions } from "./overlay-options.ts";
import { loadState, replayFrame } from "./journal/recovery.ts";
import { adoptionOf, publicationOf } from "./publication.ts";
import type { Joining } from "./settle.ts";
import { QuickFlush } from "./disk/quick-flush.ts";
import { SharedRun } from "../base/shared-run.ts";
import { TableSync } from "./disk/table-sync.ts";
import type { OverlayState } from "./state.ts";
import type { InodeRow, OverlayStorage, StateTables, StorageSpace } from "./disk/storage.ts";

export class Overlay {
  readonly state: OverlayState;
  readonly data: DataFiles;
  readonly room: Room;
  readonly lost: LostBytes | undefined;
  readonly #storage: OverlayStorage;
  readonly #clock: Clock;
  readonly #tables: StateTables;
  readonly #journal: Journal;
  readonly #sync: SharedRun;
  readonly #checkpointer: Checkpointer;
  readonly #housekeeping: Housekeeping;
  readonly #pacing: BackPressure;
  readonly #age: PendingAge;
  #fsyncedMs = -Infinity;
  /** Whether the tables are known to be durable: another process may not have synced its writes. */
  #founded = false;
  /** The epoch that was in flight at the start. */
  readonly #foundEpoch: number | undefined;
  readonly #quick: QuickFlush;
  readonly #lateRows = new LateRows();
  /** Requests of the kernel that were executed. */
  readonly answers = new Answers((records) => this.execute(records, { urgent: true }));

  /** Opens the state, or creates it. Throws `state_corrupt`, `disk_full`, `store_failed`. */
  constructor({ storage, base, clock, log, limits, random = systemRandom }: OverlayOptions) {
    this.#storage = storage;
    this.#clock = clock;
    this.#tables = storage.openTables();
    this.#pacing = new BackPressure({ clock, log, objects: limits?.epochObjects, most: limits?.unpublishedObjects });
    const inodes = new Inodes(this.#tables, limits?.cleanInodes ?? CLEAN_INODES);
    const stored = this.#tables.head();
    const { state, frame } = loadState(this.#tables, inodes, base);
    this.state = state;
    const options = journalOptions(limits, random, () => state.held);
    const carried = new CarriedBytes();
    const renames: JournalRecord[] = [];
    this.#journal = new Journal(storage, options, frame, (payload) =>
      replayFrame(state, payload, (record) => {
        carried.take(record, state.epoch);
        this.answers.take(record);
        if (record.kind === "rename") renames.push(record);
      }),
    );
    this.data = new DataFiles(storage, limits?.openFiles ?? MAX_OPEN_DATA_FILES, limits?.earlyBytes);
    carried.restore(state, this.data);
    for (const record of renames) this.data.noteTakeOver(record);
    this.#foundEpoch = state.inFlight?.changes.epoch;
    countFound(state, this.data);
    this.lost = findLost(state, this.data, log);
    this.room = new Room({
      clock,
      limit: limits?.unpublishedBytes ?? Infinity,
      held: () => this.data.stored.total,
      grown: () => this.data.stored.grown,
      mayFree: () => this.state.publishable > 0 || this.data.stored.isShrinking,
    });
    this.#quick = new QuickFlush(clock);
    const tableSync = new TableSync(this.#tables);
    this.#sync = new SharedRun(async () => {
      if (!this.#founded) {
        await tableSync.run();
        this.#journal.rewriteFound();
      }
      this.#founded = true;
      this.#journal.recycleFound();
      await this.data.syncEager();
      await this.#journal.sync();
    });
    const checkpointBytes = limits?.checkpointBytes ?? CHECKPOINT_BYTES;
    const syncData = () => this.data.syncForCheckpoint();
    this.#checkpointer = new Checkpointer(
      this.#tables,
      tableSync,
      this.#journal,
      state,
      checkpointBytes,
      syncData,
      this.answers,
    );
    this.#checkpointer.begin(stored);
    this.#age = new PendingAge(state, clock);
    this.#housekeeping = new Housekeeping({
      clock,
      log,
      state,
      checkpointer: this.#checkpointer,
      journal: this.#journal,
      data: this.data,
      sync: () => this.sync(),
      freed: () => {
        this.room.progressed();
        this.room.changed();
      },
    });
    this.#housekeeping.clean();
  }

  /** Buffers the records and applies them, all or none. Throws `disk_full`, `store_failed`; then nothing changed. */
  execute(records: readonly JournalRecord[], options: { urgent?: boolean; between?: () => void } = {}): void {
    this.#pacing.admit(growthOf(this.state, records), this.state.held, options.urgent === true);
    const late = this.#lateRows.before(records, this.state.inodes);
    const answered = this.answers.recordFor(records);
    this.#journal.append(
      (writer) => {
        for (const record of late) writeJournalRecord(writer, record);
        if (answered !== undefined) writeJournalRecord(writer, answered);
        for (const record of records) writeJournalRecord(writer, record);
      },
      options.urgent ?? false,
      options.between,
    );
    this.#lateRows.journaled(late);
    for (const record of records) {
      applyRecord(this.state, record);
      this.data.noteTakeOver(record);
    }
    if (this.state.changed) this.#age.changed();
    if (this.state.discarded.length > 0 || this.data.discarded > 0) this.#housekeeping.discard();
  }

  /**
   * Gives an object of the base its inode number. On a full disk the reserve is only for changes that free space: the
   * number then stays in memory until a change refers to it. Throws `disk_full` if a later process could give it out again.
   */
  assign(row: InodeRow): void {
    try {
      this.execute([{ kind: "inode", row }]);
    } catch (error) {
      if (!hasCode(error, "disk_full") || !this.state.inodes.isReserved(row.ino)) throw error;
      this.state.inodes.put(row);
      this.#lateRows.add(row.ino);
    }
  }

  /** Removes rows of numbers that stand for nothing any more. After a kill some may be back. Throws `disk_full`, `store_failed`. */
  removeInodes(inos: readonly Ino[]): void {
    for (const ino of inos) this.state.inodes.remove(ino);
    if (inos.length > 0) this.#checkpointer.writeInodes(inos.length);
  }

  /** Writes out the batch: from here on it survives the death of the process. Throws `store_failed`. */
  persist(): void {
    this.#journal.flush();
    this.#housekeeping.tendSoon();
  }

  /**
   * Whether the journal should carry the bytes of a write. It carries small ones while programs fsync, which then takes one
   * sync instead of two. It also carries any write over bytes that it carries already: replay must not put old bytes over
   * new ones, and needs the old ones if power loss takes the new ones.
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
   * As `fsync`, but before it returns, if one flush suffices and the last flush here was quick: handing such a flush to
   * another thread takes as long. False: not done.
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
   * The changes since the base, as the next epoch; the epoch in flight if there is one. Undefined: nothing changed. `anew`:
   * adds all later changes and drops the notes of swaps. Allowed only if no swap of the epoch in flight may have been sent.
   */
  seal(anew = false): ChangeSet | undefined {
    const { inFlight: held, changed } = this.state;
    const again = held !== undefined && !(anew && (changed || held.changes.sent !== undefined));
    const epoch = changed || held === undefined ? this.state.epoch : held.changes.epoch;
    if (!again && this.state.publishable > 0) this.#seal([{ kind: "seal", epoch }]);
    const changes = this.state.inFlight?.changes;
    if (changes !== undefined) this.#pacing.left(changes.objects.length, again);
    return changes;
  }

  /**
   * The removals that do not need the other changes, as the next epoch (removals.ts), if no swap of the epoch in flight
   * may have been sent. Undefined: there are none, and nothing is sealed.
   */
  sealRemovals(units: Units): ChangeSet | undefined {
    const inos = removalsOf(this.state, units);
    if (inos.length === 0) return undefined;
    this.#seal([{ kind: "removals", epoch: this.state.epoch, inos }]);
    this.#age.leftBehind();
    this.#pacing.left(inos.length, true);
    return this.state.inFlight?.changes;
  }

  /** Notes durably that a swap may put this commit of the epoch in flight into the bucket. Rejects as `fsync`. */
  async sending(epoch: number, sent: SentCommit): Promise<void> {
    const now = this.state.inFlight?.changes.epoch;
    if (now !== epoch) throw new SynclineError("internal", `Epoch ${epoch} is sent, but ${now} is in flight.`);
    this.execute([{ kind: "sent", epoch, sent }], { urgent: true });
    this.persist();
    await this.sync();
  }

  /** Whether the live epoch is large enough to be sealed at once. */
  get isFull(): boolean {
    if (this.state.inFlight !== undefined) return false;
    return this.#pacing.isFull(this.state.live) || this.room.isLiveLarge;
  }

  /** How long a call should wait before it changes this object, or names: 0 unless changes outpace publishing. */
  pauseMs(ino: Ino | undefined): number {
    // An object that the live epoch changed already does not enlarge it.
    if (ino !== undefined && this.state.object(ino)?.epoch === this.state.epoch) return 0;
    return this.#pacing.pauseMs(this.state.live, this.state.held);
  }

  /** The epoch in flight is in the bucket; `result.base` is the overlay's new base. Call `persist` afterwards. */
  published(result: PublishedEpoch): Joining {
    const { records, stale } = publicationOf(this.state, result, result.epoch === this.#foundEpoch);
    for (const group of records) this.execute(group, { urgent: true });
    this.#age.published();
    this.#pacing.arrived();
    return stale;
  }

  /** Adopts a root that others published. An epoch in flight is sealed anew upon it. Call `persist` afterwards. */
  adopt(base: NewBase): void {
    const { inFlight, epoch } = this.state;
    const adoption = adoptionOf(this.state, base);
    if (inFlight !== undefined) this.#seal([...adoption, { kind: "seal", epoch }]);
    else this.execute(adoption, { urgent: true });
  }

  /** Notes what programs have in use. Throws `disk_full`, `store_failed`. */
  noteInUse(inUse: InUse): void {
    if (!isSameUse(this.state.inUse, inUse)) this.execute([{ kind: "inUse", inUse }], { urgent: true });
  }

  pending(): Pending {
    return pendingOf(this.state, this.#age.ms());
  }

  diskSpace(): StorageSpace {
    return this.#storage.space();
  }

  /** The disk's space, or the limit's if less is left of that. */
  space(): StorageSpace {
    const space = this.diskSpace();
    const { limit, left } = this.room;
    const blocks = Math.min(space.blocks, Math.floor(limit / space.blockSize));
    return { ...space, blocks, freeBlocks: Math.min(space.freeBlocks, Math.floor(left / space.blockSize)) };
  }

  /** Writes the state to the tables and frees the journal. */
  checkpoint(): Promise<void> {
    return this.#checkpointer.run();
  }

  /** Removes data files that are no longer referenced, once the journal that says so is durable. */
  sweep(): Promise<void> {
    return this.#housekeeping.sweep();
  }

  #seal(records: readonly JournalRecord[]): void {
    this.execute(records, { urgent: true });
    this.persist();
    this.#age.sealed();
    this.room.sealed();
    this.data.sealed();
    this.#housekeeping.sealed();
  }

  /** Makes all durable, checkpoints and closes. What was committed stays, even if this fails. */
  async close(): Promise<void> {
    this.#housekeeping[Symbol.dispose]();
    try {
      await this.sync();
      await this.#housekeeping.finish();
    } finally {
      this.data.close();
      this.#journal.close();
      this.#tables.close();
    }
  }
}
