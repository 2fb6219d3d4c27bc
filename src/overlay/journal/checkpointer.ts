/** Writes checkpoints, and frees the journal once they are durable. */
import { type CheckpointHead, decodeHead, encodeHead, encodeSealed } from "./checkpoint.ts";
import type { ChangedObject } from "../../fstree/change-set.ts";
import type { Answers } from "./answers.ts";
import { nextTurn } from "../../base/concurrency.ts";
import { EncodedObjects } from "./encoded-objects.ts";
import type { Journal } from "./journal.ts";
import { writeJournalRecord } from "./journal-codec.ts";
import { changedSince } from "../settle.ts";
import { SharedRun } from "../../base/shared-run.ts";
import type { TableSync } from "../disk/table-sync.ts";
import type { OverlayState } from "../state.ts";
import type { Ino } from "../../base/ids.ts";
import { RESERVED_INODES } from "../../base/limits.ts";
import { NO_CHANGE, type StateTables, type TableChange } from "../disk/storage.ts";

/** The size of a portion of rows, as a part of the journal size at which a checkpoint is due. Programs wait for one portion. */
const PORTION = 1 / 16;
/** A checkpoint is due only once the journal has reached this part of what the last checkpoint wrote. */
const LAST_SHARE = 1 / 2;

/** The epoch in flight, 0 for none, and which of its objects have rows. */
interface SavedFlight {
  readonly epoch: number;
  readonly rows: ReadonlySet<Ino>;
}

/** The state as of a frame, encoded. */
interface Checkpoint {
  readonly frame: number;
  /** Objects that the tables lacked, or had in an older state. */
  readonly saved: readonly Ino[];
  readonly flight: SavedFlight;
  readonly objects: EncodedObjects;
  readonly change: Pick<TableChange, "otherFlight" | "sealed" | "head">;
  readonly nextIno: number;
}

export class Checkpointer {
  readonly #tables: StateTables;
  readonly #tableSync: TableSync;
  readonly #journal: Journal;
  readonly #state: OverlayState;
  readonly #bytes: number;
  readonly #syncData: () => Promise<void>;
  readonly #answers: Answers;
  readonly #runs: SharedRun;
  /** Whether a checkpoint is being written: the tables take nothing else meanwhile. */
  isWriting = false;
  /** Bytes that the last checkpoint wrote. */
  #lastBytes = 0;
  /** What the tables hold. Undefined: not known. */
  #savedFlight: SavedFlight | undefined;

  /** `bytes`: a checkpoint is due at this journal size. `syncData`: makes the data that it relies on durable. */
  constructor(
    tables: StateTables,
    tableSync: TableSync,
    journal: Journal,
    state: OverlayState,
    bytes: number,
    syncData: () => Promise<void>,
    answers: Answers,
  ) {
    this.#answers = answers;
    this.#tables = tables;
    this.#tableSync = tableSync;
    this.#journal = journal;
    this.#state = state;
    this.#bytes = bytes;
    this.#syncData = syncData;
    this.#runs = new SharedRun(() => this.#run());
  }

  /** Whether the journal has grown enough for a checkpoint. */
  get isDue(): boolean {
    return !this.#runs.active && this.#journal.liveBytes > Math.max(this.#bytes, LAST_SHARE * this.#lastBytes);
  }

  /** Resolves when a checkpoint of the state as of now, or later, is durable. Rejects with `disk_full`, `store_failed`. */
  run(): Promise<void> {
    return this.#runs.run();
  }

  /** Writes some inode rows ahead of a checkpoint, to shorten it, unless one is being written. Throws `disk_full`, `store_failed`. */
  writeInodes(limit: number): void {
    if (this.isWriting) return;
    const rows = this.#state.inodes.take(limit);
    this.#tables.apply({ ...NO_CHANGE, ...rows });
    this.#state.inodes.written(rows);
  }

  /**
   * Writes the first head, which records the base of the journaled changes. At a later start it only reserves inode numbers
   * in the head that is `stored`. Throws `disk_full`, `store_failed` for the first head.
   */
  begin(stored: Uint8Array | undefined): void {
    const first = this.#head(0);
    const head = stored === undefined ? first : { ...decodeHead(stored), nextIno: first.nextIno };
    try {
      this.#tables.apply({ ...NO_CHANGE, head: encodeHead(head) });
      this.#state.inodes.reserve(head.nextIno);
    } catch (error) {
      // The next checkpoint reserves inode numbers. SQLite reports an exceeded quota as a failed write.
      if (stored === undefined) throw error;
    }
  }

  async #run(): Promise<void> {
    this.#journal.flush();
    const checkpoint = this.#encode(this.#journal.lastFrame);
    try {
      this.#keepAnswers();
      // A start replays only later frames.
      await this.#syncData();
      await this.#write(checkpoint);
    } catch (error) {
      for (const ino of checkpoint.saved) {
        this.#state.unsaved.add(ino);
        this.#state.stored.add(ino);
      }
      throw error;
    }
    await this.#tableSync.run();
    this.#journal.recycleFound();
    this.#journal.recycle(checkpoint.frame);
  }

  /** Answers are in no table, so the journal after this checkpoint must hold them again. */
  #keepAnswers(): void {
    const { records } = this.#answers;
    if (records.length === 0) return;
    this.#journal.append((writer) => records.forEach((record) => writeJournalRecord(writer, record)), true);
    this.#journal.flush();
  }

  /** The state as of now, which changes while the data files are synced. */
  #encode(frame: number): Checkpoint {
    const { unsaved, stored } = this.#state;
    // In the order of their rows, so that each page of the table is written once.
    const saved = [...unsaved].sort((a, b) => a - b);
    const objects = new EncodedObjects(this.#bytes * PORTION);
    for (const ino of saved) {
      const object = this.#state.object(ino);
      objects.add(ino, object);
      if (object === undefined) stored.delete(ino);
      else stored.add(ino);
    }
    unsaved.clear();
    const { flight, otherFlight, sealed } = this.#changedInFlight(saved);
    const head = this.#head(frame);
    const change = { otherFlight, sealed: encodeEach(sealed), head: encodeHead(head) };
    return { frame, saved, flight, change, nextIno: head.nextIno, objects };
  }

  /** Objects in flight that changed since the seal and have no row yet. `saved`: all that changed since the last checkpoint. */
  #changedInFlight(saved: readonly Ino[]) {
    const { inFlight } = this.#state;
    const epoch = inFlight?.changes.epoch ?? 0;
    const otherFlight = epoch !== this.#savedFlight?.epoch;
    const rows = new Set(otherFlight ? [] : this.#savedFlight?.rows);
    const sealed: ChangedObject[] = [];
    for (const ino of otherFlight ? (inFlight?.objects.keys() ?? []) : saved) {
      const changed = changedSince(this.#state, ino, epoch) ? inFlight?.objects.get(ino) : undefined;
      if (changed === undefined || rows.has(ino)) continue;
      rows.add(ino);
      sealed.push(changed);
    }
    return { flight: { epoch, rows }, otherFlight, sealed };
  }

  /** Inode rows may be newer than the rest. */
  async #write({ flight, change, nextIno, objects }: Checkpoint): Promise<void> {
    const { inodes } = this.#state;
    let rows = NO_ROWS;
    const rest = () => ({ ...NO_CHANGE, ...(rows = inodes.take(Infinity)), ...change });
    this.isWriting = true;
    try {
      await this.#tables.applyInPortions(objects.portions, rest, nextTurn);
    } finally {
      this.isWriting = false;
    }
    inodes.reserve(nextIno);
    inodes.written(rows);
    this.#savedFlight = flight;
    this.#lastBytes = objects.bytes;
  }

  /** The head records numbers that are not given out yet as used, so that a full disk cannot make a later start reuse them. */
  #head(frame: number): CheckpointHead {
    const { epoch, base, inodes, inFlight, inUse, olderBases } = this.#state;
    return {
      frame,
      epoch,
      base,
      nextIno: inodes.next + RESERVED_INODES,
      isWhole: inFlight === undefined,
      flight: inFlight?.changes,
      inUse,
      olderBases,
    };
  }
}

const NO_ROWS: ReturnType<OverlayState["inodes"]["take"]> = { inodes: [], removedInodes: [] };

/** Encodes each object only when it is written: all encodings together may be large. The objects no longer change. */
function* encodeEach(sealed: readonly ChangedObject[]): Generator<readonly [Ino, Uint8Array]> {
  for (const each of sealed) yield [each.ino, encodeSealed(each)];
}
