/**
 * The places of directories in the database, of which recent ones stay in memory: making a path asks for the place of each
 * directory in it, and in a deep tree each path has hundreds.
 */
import type Database from "better-sqlite3";
import type { FileId } from "../../base/ids.ts";
import { placeText, type Place } from "../../fstree/object-rows.ts";
import { nameOf } from "./entry.ts";

export class DirectoryPlaces {
  readonly #read: Database.Statement<[string], [string, Buffer]>;
  readonly #places = new Map<FileId, Place>();
  readonly #at = new Map<string, FileId>();

  constructor(db: Database.Database) {
    this.#read = db
      .prepare<[string], [string, Buffer]>(
        "SELECT parent, name FROM entries WHERE id = ? ORDER BY parent, name LIMIT 1",
      )
      .raw();
  }

  of(directory: FileId): Place | undefined {
    return this.#places.get(directory) ?? this.#note(directory);
  }

  /** Call for every entry that is put or removed. `id`: what is at the place now. */
  changed(place: Place, id: FileId | undefined): void {
    if (this.#places.size === 0) return;
    const before = this.#at.get(placeText(place));
    if (before !== undefined) this.#forget(before);
    if (id !== undefined) this.#forget(id);
  }

  clear(): void {
    this.#places.clear();
    this.#at.clear();
  }

  #note(directory: FileId): Place | undefined {
    const [parent, bytes] = this.#read.get(directory) ?? [];
    if (parent === undefined || bytes === undefined) return undefined;
    if (this.#places.size === MOST) this.clear();
    const place = { parent: parent as FileId, name: nameOf(bytes) };
    this.#places.set(directory, place);
    this.#at.set(placeText(place), directory);
    return place;
  }

  #forget(directory: FileId): void {
    const place = this.#places.get(directory);
    if (place === undefined) return;
    this.#places.delete(directory);
    this.#at.delete(placeText(place));
  }
}

/** Some 20 MB, and more than a path has. */
const MOST = 65_536;
