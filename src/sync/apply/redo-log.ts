/**
 * What a batch did to the folder, in a file of the folder's own until the database knows it: a process that is killed between the two leaves
 * it to the next one. Without it what somebody deleted or replaced in between would look as if it had never been put there, and come back.
 *
 * Nothing waits until it is on the disk, so it is believed only while the system runs that it was written on: then each action that
 * has its mark was done. An action is announced, done and marked, and what the database is told follows; lines are JSON, marks are lines of dots.
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

  /** One that writes nothing where the disk has no such files, or cannot tell when the system started. */
  static async open(places: Places): Promise<RedoLog> {
    const header = await headerOf(places);
    return new RedoLog(places, header ?? "", header === undefined ? undefined : openedIn(places));
  }

  /** As the database's: what is done and not noted when the process dies is here. */
  async transaction(work: () => Promise<void>): Promise<void> {
    this.#line(this.#header);
    await this.#db.transaction(work, (change) => this.#tell(change));
    this.#isMarking = false;
    this.#try((file) => file.clear());
  }

  /** Announces renames to free places, in turn. Each is to be marked when it is done: what the next run is to know is this. */
  placing(entries: readonly Entry[]): AppendFile | undefined {
    this.#line(JSON.stringify(["placing", ...entries.map((entry) => textsOf(rowOf(entry)))]));
    this.#isMarking = this.#file !== undefined;
    return this.#file;
  }

  /** Announces that it is to be exchanged with what has its place. */
  exchanging(entry: Entry): void {
    this.#line(JSON.stringify(["exchanging", textsOf(rowOf(entry))]));
    this.#isMarking = this.#file !== undefined;
  }

  /** Announces that something known gets another place. */
  moving(from: Place, to: Entry): void {
    const rows = [{ parent: from.parent, name: nameBytes(from.name) }, rowOf(to)];
    this.#line(JSON.stringify(["moving", ...rows.map(textsOf)]));
  }

  mark(): void {
    this.#try((file) => file.append(DONE));
  }

  /** To be said before it is undone. */
  takeBack(): void {
    this.#try((file) => file.append(TAKEN_BACK));
  }

  /** What the marks say need not be told again. */
  quietly(work: () => void): void {
    this.#isQuiet = true;
    try {
      work();
    } finally {
      this.#isQuiet = false;
    }
  }

  /** `isDone`: the database knows it all. */
  async close(isDone: boolean): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    file?.close();
    if (file === undefined || !isDone) return;
    try {
      await this.#disk.unlink(REDO_PATH);
    } catch (error) {
      // Somebody cleared it away, or it has to stay: it is empty by now, and the pass is done.
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

  /** A full disk is no reason to stop: then there is no log, and nothing of one, for it would not tell what comes behind. */
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
