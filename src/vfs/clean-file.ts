/** A file in a listing that is unchanged here, as its name's row describes it. */
import type { Cid, FileName, Ino } from "../base/ids.ts";
import { xattrsOf } from "../format/blocks/linked-value.ts";
import type { FileRecord, Xattrs } from "../format/files/record.ts";
import { nameOfContent } from "./content-names.ts";
import type { ListedAttributes } from "./filesystem.ts";
import { TYPE_BITS, type Objects } from "./objects.ts";
import { refuse } from "./refusal.ts";

export class CleanFile implements ListedAttributes {
  readonly mode: number;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly #objects: Objects;
  readonly #parent: Ino;
  readonly #name: FileName;
  readonly #record: FileRecord;

  constructor(objects: Objects, parent: Ino, name: FileName, record: FileRecord) {
    this.mode = TYPE_BITS[record.type] | record.mode;
    this.size = record.size;
    this.mtimeNs = record.mtimeNs;
    this.ctimeNs = record.ctimeNs;
    this.#objects = objects;
    this.#parent = parent;
    this.#name = name;
    this.#record = record;
  }

  get contentName(): Cid {
    return nameOfContent(this.#record.content);
  }

  /** Read without making the file an inode, since a caller may ask for very many files. */
  get xattrs(): Xattrs {
    return xattrsOf(this.#record, this.#objects.loader.peekLinked);
  }

  /** By the current name: others may have published since. */
  get ino(): Ino {
    const ino = this.#objects.child(this.#parent, this.#name);
    if (ino === undefined) throw refuse("ESTALE");
    return ino;
  }
}
