/** Names of a scan's objects, in an epoch's form: a directory is its inode in this scan, whether it was found or is only known. */
import type { FileId, Ino } from "../../base/ids.ts";
import type { ChangedObject } from "../../fstree/change-set.ts";
import type { Place } from "../../fstree/object-rows.ts";
import { PARKED_ID } from "../disk/paths.ts";
import type { Entry } from "../known/entry.ts";
import { entryFor, type LocalObject, type Matching } from "./matching.ts";
import type { Found } from "./walk.ts";

type Name = ChangedObject["names"][number];

export class LocalNames {
  /** The known directories that names are in. */
  readonly directories = new Map<Ino, FileId>();
  readonly #matching: Matching;
  readonly #inos = new Map<FileId, Ino>();
  #lastIno: number;

  constructor(matching: Matching) {
    this.#matching = matching;
    this.#lastIno = matching.objects.length + 1;
    this.#refer(matching.root.id, matching.root.ino);
  }

  of({ found, kept }: LocalObject): Name[] {
    const there = found.flatMap((at) => this.#nameOf(at) ?? []);
    return [...there, ...this.ofKept(kept)];
  }

  ofKept(kept: LocalObject["kept"]): Name[] {
    return this.inBucket(kept).map(({ parent, name }) => ({ parent: this.#inoOf(parent), name }));
  }

  /** The names that the bucket has, too. Epochs do not mention parked objects, so their old names stay there. */
  inBucket(places: readonly Place[]): Place[] {
    return places.filter(({ parent }) => parent !== PARKED_ID).map(({ parent, name }) => ({ parent, name }));
  }

  /** Whether an object's names are unchanged. */
  areKnown({ entries, found, kept }: LocalObject): boolean {
    const there = found.filter(({ parent }) => parent !== undefined);
    if (there.length + kept.length !== entries.length) return false;
    return there.every((at) => entries.some((entry) => this.isAt(at, entry)));
  }

  /** Whether something was found under an entry's name. */
  isAt({ parent, name }: Found, entry: Entry): boolean {
    return entry.name === name && entry.parent === (parent && this.#matching.objectOf.get(parent)?.id);
  }

  /** The entry to compare with. */
  entryFor(object: LocalObject, found: Found): Entry | undefined {
    return entryFor(object, found, found.parent && this.#matching.objectOf.get(found.parent)?.id);
  }

  #nameOf({ parent, name }: Found): Name | undefined {
    const directory = parent === undefined ? undefined : this.#matching.objectOf.get(parent);
    if (directory === undefined) return undefined;
    this.#refer(directory.id, directory.ino);
    return { parent: directory.ino, name };
  }

  #inoOf(id: FileId): Ino {
    const known = this.#matching.ofId(id)?.ino ?? this.#inos.get(id) ?? (++this.#lastIno as Ino);
    this.#refer(id, known);
    return known;
  }

  #refer(id: FileId | undefined, ino: Ino): void {
    if (id === undefined) return;
    this.#inos.set(id, ino);
    this.directories.set(ino, id);
  }
}
