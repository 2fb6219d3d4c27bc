/**
 * What a batch did to the folder, in a file in the folder until the database has it. If the process is killed in between,
 * the next one reads the log. Without it, a file that someone then deletes or replaces would count as never placed, and
 * come back.
 *
 * The log is not flushed to the disk, so it is trusted only until the system restarts; until then each marked action was
 * done. An action is announced, done, marked, then reported to the database. Lines are JSON; marks are lines of dots.
 */
import { failedWith } from "../../base/system-errors.ts";
import type { Place } from "../../fstree/object-rows.ts";
import type { AppendFile, SyncDisk } from "../disk/disk.ts";
import type { SyncDatabase } from "../known/database.ts";
import { nameBytes, rowOf, type Entry, type EntryChange } from "../known/entry.ts";
import { DONE, headerOf, REDO_PATH, TAKEN_BACK, textsOf, type Places } from "./redo-lines.ts";

export class RedoLog {
  readonly #db: SyncDatabase;
  readonly #disk: SyncDisk;
  readonly #header: string;
  #file: AppendFile | undefined;
  #isMarking = false;
  #isQuiet = false;

  private constructor({ db, disk }: Places, header: string, file: AppendFile | undefined) {
    this.#db = db;
    this.#disk = disk;
    this.#header = header;
    this.#file = file;
  }

  /** Opens a log. It writes nothing if the disk has no such files or does not tell when the system started. */
  static async open(places: Places): Promise<RedoLog> {
    const header = await headerOf(places);
    return new RedoLog(places, header ?? "", header === undefined ? undefined : openedIn(places));
  }

  /** As the database's, and logs what is done until the database has it. */
  async transaction(work: () => Promise<void>): Promise<void> {
    this.#line(this.#header);
    await this.#db.transaction(work, (change) => this.#tell(change));
    this.#isMarking = false;
    this.#try((file) => file.clear());
  }

  /** Announces renames to free places, in order. Mark each when done: marks are what the next run relies on. */
  placing(entries: readonly Entry[]): AppendFile | undefined {
    this.#line(JSON.stringify(["placing", ...entries.map((entry) => textsOf(rowOf(entry)))]));
    this.#isMarking = this.#file !== undefined;
    return this.#file;
  }

  /** Announces an exchange with the file at its place. */
  exchanging(entry: Entry): void {
    this.#line(JSON.stringify(["exchanging", textsOf(rowOf(entry))]));
    this.#isMarking = this.#file !== undefined;
  }

  /** Announces that a known object gets another place. */
  moving(from: Place, to: Entry): void {
    const rows = [{ parent: from.parent, name: nameBytes(from.name) }, rowOf(to)];
    this.#line(JSON.stringify(["moving", ...rows.map(textsOf)]));
  }

  mark(): void {
    this.#try((file) => file.append(DONE));
  }

  /** Call before undoing the action. */
  takeBack(): void {
    this.#try((file) => file.append(TAKEN_BACK));
  }

  /** Runs `work` without logging: the marks tell it already. */
  quietly(work: () => void): void {
    this.#isQuiet = true;
    try {
      work();
    } finally {
      this.#isQuiet = false;
    }
  }

  /** `isDone`: the database has everything. */
  async close(isDone: boolean): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    file?.close();
    if (file === undefined || !isDone) return;
    try {
      await this.#disk.unlink(REDO_PATH);
    } catch (error) {
      // Someone removed it, or it cannot be removed: it is empty by now, and the pass is done.
      if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP", "EISDIR", "EACCES", "EPERM", "EROFS")) throw error;
    }
  }

  #tell(change: EntryChange): void {
    if (this.#file === undefined || this.#isQuiet) return;
    const rows = change.kind === "move" ? [change.from, change.row] : [change.row];
    this.#line(JSON.stringify([change.kind, ...rows.map(textsOf)]));
  }

  #line(text: string): void {
    const end = this.#isMarking ? "\n" : "";
    this.#isMarking = false;
    this.#try((file) => file.append(`${end}${text}\n`));
  }

  /** A full disk does not stop the pass: the whole log is dropped, since it would lack what follows. */
  #try(work: (file: AppendFile) => void): void {
    const file = this.#file;
    if (file === undefined) return;
    try {
      work(file);
    } catch {
      this.#file = undefined;
      try {
        file.clear();
      } finally {
        file.close();
      }
    }
  }
}

function openedIn({ disk }: Places): AppendFile | undefined {
  try {
    return disk.openAppend?.(REDO_PATH);
  } catch {
    return undefined;
  }
}
