/** Writes checkpoints, and frees the journal when they are durable. */
import { encodeHead, encodeObject, encodeSealed } from "./checkpoint.ts";
import type { Journal } from "./journal.ts";
import { SharedSync } from "./shared-sync.ts";
import type { OverlayState } from "./state.ts";
import type { Ino } from "../base/ids.ts";
import type { StateTables, TableChange } from "./storage.ts";

export class Checkpointer {
  readonly #tables: StateTables;
  readonly #journal: Journal;
  readonly #state: OverlayState;
  readonly #bytes: number;
  readonly #runs: SharedSync;
  /** Bytes that the last checkpoint wrote. */
  #lastBytes = 0;
  /** The sealed epoch that the tables hold; 0 for none, undefined when that is not known. */
  #savedFlight: number | undefined;

  /** `bytes`: how much the journal may take before a checkpoint is due. */
  constructor(tables: StateTables, journal: Journal, state: OverlayState, bytes: number) {
    this.#tables = tables;
    this.#journal = journal;
    this.#state = state;
    this.#bytes = bytes;
    this.#runs = new SharedSync(() => this.#run());
  }

  /** Whether the journal has grown enough to be worth one. */
  get isDue(): boolean {
    return !this.#runs.active && this.#journal.liveBytes > Math.max(this.#bytes, 2 * this.#lastBytes);
  }

  /** Resolves when a checkpoint of the state as of now, or later, is durable. Rejects with `disk_full`, `store_failed`. */
  run(): Promise<void> {
    return this.#runs.run();
  }

  /** Writes some inode rows ahead of a checkpoint, so that it has less to do. Throws `disk_full`, `store_failed`. */
  writeInodes(limit: number): void {
    const rows = this.#state.inodes.take(limit);
    this.#tables.apply({ ...NOTHING, ...rows });
    this.#state.inodes.written(rows);
  }

  /** Writes the first head, so that what is journaled is known to stand on this base. Throws `disk_full`, `store_failed`. */
  begin(): void {
    this.#tables.apply({ ...NOTHING, head: this.#head(0) });
  }

  async #run(): Promise<void> {
    this.#journal.flush();
    const frame = this.#journal.lastFrame;
    this.#write(frame);
    await this.#tables.sync();
    this.#journal.recycle(frame);
  }

  #write(frame: number): void {
    const { inodes, inFlight, unsaved } = this.#state;
    const rows = inodes.take(Infinity);
    const objects: (readonly [Ino, Uint8Array])[] = [];
    const removedObjects: Ino[] = [];
    for (const ino of unsaved) {
      const object = this.#state.object(ino);
      if (object === undefined) removedObjects.push(ino);
      else objects.push([ino, encodeObject(object)]);
    }
    const flight = inFlight?.changes.epoch ?? 0;
    const sealed = flight === this.#savedFlight ? undefined : (inFlight?.changes.objects ?? []);
    const head = this.#head(frame);
    this.#tables.apply({
      ...rows,
      objects,
      removedObjects,
      sealed: sealed?.map((changed) => [changed.ino, encodeSealed(changed)] as const),
      head,
    });
    inodes.written(rows);
    unsaved.clear();
    this.#savedFlight = flight;
    this.#lastBytes = objects.reduce((sum, [, bytes]) => sum + bytes.length, 0);
  }

  #head(frame: number): Uint8Array {
    const { epoch, base, inodes, inFlight } = this.#state;
    return encodeHead({ frame, epoch, base, nextIno: inodes.next, flight: inFlight?.changes });
  }
}

const NOTHING: TableChange = {
  inodes: [],
  removedInodes: [],
  objects: [],
  removedObjects: [],
  sealed: undefined,
  head: undefined,
};
