/** The inode numbers of objects while the epoch in flight is settled, and new numbers for objects that have none. */
import { type FileId, type FileName, type Ino, ROOT_ID, ROOT_INO } from "../base/ids.ts";
import type { FileType } from "../format/files/record.ts";
import type { BaseName, DirtyObject } from "./dirty-object.ts";
import type { OverlayState } from "./state.ts";
import type { InodeRow } from "./disk/storage.ts";

export class InodeNumbers {
  readonly #state: OverlayState;
  readonly #inFlight: ReadonlyMap<FileId, Ino>;
  readonly #added = new Map<FileId, InodeRow>();
  readonly #left = new Set<FileId>();

  /** `ids`: the ids that objects of the epoch in flight get. */
  constructor(state: OverlayState, ids: ReadonlyMap<Ino, FileId>) {
    this.#state = state;
    this.#inFlight = new Map(Array.from(ids, ([ino, id]) => [id, ino]));
  }

  /** The number of the object with this id, if it is in the epoch in flight. */
  inFlight(id: FileId): Ino | undefined {
    return this.#inFlight.get(id);
  }

  /** Looks up objects of the epoch in flight by their new ids, the others by the ids that they had. */
  of(id: FileId): Ino | undefined {
    if (id === ROOT_ID) return ROOT_INO;
    if (this.#left.has(id)) return this.#added.get(id)?.ino;
    const known = this.#inFlight.get(id) ?? this.#state.dirtyWithId(id)?.ino ?? this.#state.inodes.find(id)?.ino;
    return known ?? this.#added.get(id)?.ino;
  }

  /** The number of the object with this id stands for another object from now on. */
  leave(id: FileId): void {
    this.#left.add(id);
  }

  /** As `of`, but assigns a missing number. Directories are found by their id: they need no place. */
  given(id: FileId, type: FileType = "directory", place: BaseName = NOWHERE): Ino {
    const known = this.of(id);
    if (known !== undefined) return known;
    const ino = (this.#state.inodes.next + this.#added.size) as Ino;
    this.#added.set(id, { ino, id, type, ...place });
    return ino;
  }

  /** Rows of objects that had no number. */
  get added(): Iterable<InodeRow> {
    return this.#added.values();
  }

  /** Objects that stay changed when the epoch is settled. */
  *live(): Generator<DirtyObject> {
    const { inFlight } = this.#state;
    for (const object of this.#state.objects()) {
      if (inFlight?.objects.has(object.ino) !== true || object.epoch > inFlight.changes.epoch) yield object;
    }
  }
}

const NOWHERE: BaseName = { parent: ROOT_ID, name: "" as FileName };
