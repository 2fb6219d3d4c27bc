/**
 * Objects unchanged here, as the base has them: found by name or by inode number, and cached.
 *
 * An inode row is only a hint at the object's place. If the object is not there, its own rows say where it is now.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import { type Cid, type FileId, type FileName, type Ino, ROOT_ID, ROOT_INO } from "../base/ids.ts";
import { MAX_LINKS } from "../base/limits.ts";
import { countBackrefs, peekBackrefs, peekDentry, peekSelf } from "../fstree/fs-reader.ts";
import { type Dentry, dentryId, dentryType } from "../format/files/rows.ts";
import type { BaseName } from "../overlay/dirty-object.ts";
import type { Overlay } from "../overlay/overlay.ts";
import type { InodeRow } from "../overlay/disk/storage.ts";
import { cleanFile, type CleanObject } from "./clean-object.ts";
import type { HeldVersions } from "./held-versions.ts";
import { ownRecord } from "./own-record.ts";
import type { NodeStore } from "../tree/node-store.ts";

const SUBDIRS_KEPT = 256;

export class CleanInodes {
  readonly #overlay: Overlay;
  readonly #nodes: NodeStore;
  readonly #objects: BoundedMap<Ino, CleanObject>;
  readonly #names: BoundedMap<string, Ino>;
  readonly #held: HeldVersions;
  /** For changed directories: needed whenever one of them is shown. */
  #subdirs: { readonly tree: Cid | undefined; readonly of: BoundedMap<FileId, { subdirs: number | undefined }> } = {
    tree: undefined,
    of: new BoundedMap(SUBDIRS_KEPT),
  };

  constructor(overlay: Overlay, nodes: NodeStore, capacity: number, held: HeldVersions) {
    this.#held = held;
    this.#overlay = overlay;
    this.#nodes = nodes;
    this.#objects = new BoundedMap(capacity);
    this.#names = new BoundedMap(capacity);
  }

  /** What the base's name leads to, unless that is a dirty object (which has names of its own). Throws BlockMiss. */
  lookup(parent: Ino, parentId: FileId, name: FileName): Ino | undefined {
    const known = this.#names.get(nameKey(parent, name));
    if (known !== undefined) return known;
    const dentry = peekDentry(this.#nodes, this.#overlay.state.base.tree, parentId, name);
    return dentry === undefined ? undefined : this.found(parent, parentId, name, dentry);
  }

  /** The inode of a dentry that was read; undefined if its object has other names here. */
  found(parent: Ino, parentId: FileId, name: FileName, dentry: Dentry): Ino | undefined {
    const key = nameKey(parent, name);
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const id = dentryId(parentId, name, dentry);
    const { state } = this.#overlay;
    if (state.dirtyWithId(id) !== undefined) return undefined;
    const place = { parent: parentId, name };
    if (this.#held.isElsewhere(id, place)) return undefined;
    const given = state.inodes.numberOf(id, place);
    const ino = given?.ino ?? state.inodes.next;
    const moved = dentry.kind === "record" && given?.isThere === false;
    if (given === undefined || moved) this.#overlay.assign({ ino, id, type: dentryType(dentry), ...place });
    this.#names.set(key, ino);
    if (dentry.kind === "record" && this.#objects.get(ino) === undefined)
      this.#objects.set(ino, cleanFile(ino, id, dentry.record, place));
    return ino;
  }

  /** The object of an inode; undefined if the base no longer has it. Throws BlockMiss. */
  get(ino: Ino): CleanObject | undefined {
    const held = this.#held.of(ino);
    if (held?.isOld !== true) return this.#get(ino);
    // Its names may have changed.
    const now = held.isWhole ? undefined : this.#get(ino);
    return now === undefined ? held.object : { ...now, record: held.object.record };
  }

  #get(ino: Ino): CleanObject | undefined {
    const known = this.#objects.get(ino);
    if (known !== undefined) return known;
    const row = ino === ROOT_INO ? ROOT_ROW : this.#overlay.state.inodes.row(ino);
    const object = row === undefined ? undefined : this.#read(row, this.#overlay.state.base.tree);
    if (object !== undefined) this.#objects.set(ino, object);
    return object;
  }

  /** The object as another tree has it; undefined if that lacks it. Throws BlockMiss. */
  inTree(ino: Ino, tree: Cid): CleanObject | undefined {
    const row = this.#overlay.state.inodes.row(ino);
    return row && this.#read(row, tree);
  }

  /** Whether the number still stands for the object. */
  owns({ ino, id }: CleanObject): boolean {
    return ino === ROOT_INO || this.#overlay.state.inodes.row(ino)?.id === id;
  }

  /** All names of a file or directory in the base. Throws BlockMiss. */
  namesOf(object: CleanObject): readonly BaseName[] {
    const held = this.#held.of(object.ino);
    if (held?.isOld === true && held.object === object) return held.names;
    if (object.names > 1) return peekBackrefs(this.#nodes, this.#overlay.state.base.tree, object.id, MAX_LINKS);
    return object.place === undefined ? [] : [object.place];
  }

  /** The id of a directory, even a removed one; undefined if the inode is unknown or not a directory. */
  directoryId(ino: Ino): FileId | undefined {
    if (ino === ROOT_INO) return ROOT_ID;
    const row = this.#overlay.state.inodes.row(ino);
    return row?.type === "directory" ? row.id : undefined;
  }

  /** The inode of a directory that another object's row names as its parent. */
  directoryIno(id: FileId): Ino {
    if (id === ROOT_ID) return ROOT_INO;
    const { state } = this.#overlay;
    const known = state.dirtyWithId(id)?.ino ?? state.inodes.find(id)?.ino;
    if (known !== undefined) return known;
    const ino = state.inodes.next;
    // Directories are found by their id, so their row needs no place.
    this.#overlay.assign({ ino, id, type: "directory", parent: ROOT_ID, name: "" as FileName });
    return ino;
  }

  /** The number of directories in a directory of the base; undefined if the base no longer has it. Throws BlockMiss. */
  subdirs(id: FileId): number | undefined {
    const { tree } = this.#overlay.state.base;
    if (this.#subdirs.tree !== tree) this.#subdirs = { tree, of: new BoundedMap(SUBDIRS_KEPT) };
    const { of } = this.#subdirs;
    const known = of.get(id);
    if (known !== undefined) return known.subdirs;
    const self = peekSelf(this.#nodes, tree, id);
    const found = { subdirs: self?.kind === "directory" ? self.subdirs : undefined };
    of.set(id, found);
    return found.subdirs;
  }

  /** The object is dirty now: the overlay has its names. */
  forget(ino: Ino, links: Iterable<{ readonly parent: Ino; readonly name: FileName }>): void {
    this.#objects.delete(ino);
    for (const { parent, name } of links) this.#names.delete(nameKey(parent, name));
  }

  forgetName(parent: Ino, name: FileName): void {
    this.#names.delete(nameKey(parent, name));
  }

  /** Records a just published object, so that it need not be read back. */
  seed(object: CleanObject, links: Iterable<{ readonly parent: Ino; readonly name: FileName }>): void {
    this.#objects.set(object.ino, object);
    for (const { parent, name } of links) this.#names.set(nameKey(parent, name), object.ino);
  }

  /** The object, as far as it is known without reading. */
  known(ino: Ino): CleanObject | undefined {
    const held = this.#held.of(ino);
    return held?.isOld === true ? held.object : this.#objects.get(ino);
  }

  clear(): void {
    this.#objects.clear();
    this.#names.clear();
  }

  #read({ ino, id, type, parent, name }: InodeRow, tree: Cid): CleanObject | undefined {
    if (type !== "directory") {
      const dentry = peekDentry(this.#nodes, tree, parent, name);
      if (dentry?.kind === "record" && dentryId(parent, name, dentry) === id)
        return cleanFile(ino, id, dentry.record, { parent, name });
    }
    const self = peekSelf(this.#nodes, tree, id);
    if (self?.kind === "directory") {
      const { record, subdirs, place } = self;
      return { ino, id, record: ownRecord(record), names: 1, subdirs, place, atimeNs: record.mtimeNs };
    }
    const few = peekBackrefs(this.#nodes, tree, id, 2);
    const [only] = few;
    if (self !== undefined) {
      const names = few.length < 2 ? few.length : countBackrefs(this.#nodes, tree, id, MAX_LINKS);
      return cleanFile(ino, id, self.record, only, names);
    }
    const dentry = only === undefined ? undefined : peekDentry(this.#nodes, tree, only.parent, only.name);
    return dentry?.kind === "record" ? cleanFile(ino, id, dentry.record, only) : undefined;
  }
}

const ROOT_ROW: InodeRow = { ino: ROOT_INO, id: ROOT_ID, type: "directory", parent: ROOT_ID, name: "" as FileName };

function nameKey(parent: Ino, name: FileName): string {
  return `${parent}/${name}`;
}
