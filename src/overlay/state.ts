/**
 * The overlay in memory: changed objects, and the names that they add to and remove from the base's directories. A mount
 * shows the base's tree with these changes applied.
 *
 * Everything here follows from the changed objects, so a checkpoint stores only them. `apply.ts` changes the state by
 * journal records, in the same way live and in replay.
 */
import type { ChangedObject, ChangeSet } from "../fstree/change-set.ts";
import { type FileId, type FileName, type Ino, ROOT_ID, ROOT_INO } from "../base/ids.ts";
import { corruptState } from "./data/bytes.ts";
import { type BaseName, type DirtyObject, isUnlinked } from "./dirty-object.ts";
import { NOTHING_IN_USE } from "./in-use.ts";
import type { Inodes } from "./inodes.ts";
import type { Link } from "./links.ts";
import { KEPT_UNITS, unitsOf } from "./long-values.ts";
import type { BaseRoot, FollowedObject, PublishedRow } from "./journal/journal-record.ts";
import { NameSets } from "./name-sets.ts";
import type { OlderBase } from "./older-bases.ts";

/** The epoch that is being published. */
export interface InFlight {
  readonly changes: ChangeSet;
  readonly objects: ReadonlyMap<Ino, ChangedObject>;
}

export class OverlayState {
  readonly inodes: Inodes;
  base: BaseRoot;
  /** The epoch that changes go to. */
  epoch = 1;
  #inFlight: InFlight | undefined;
  /** Rows of the epoch in flight, as far as they were reported. */
  readonly publishedRows = new Map<Ino, PublishedRow>();
  readonly followed: FollowedObject[] = [];
  inUse = NOTHING_IN_USE;
  olderBases: readonly OlderBase[] = [];
  covered = new WeakSet<DirtyObject>();
  /** Whether nothing that waits will need the present base once another one follows. */
  isUntouched = false;
  /** Whether the live epoch has changes, and how many objects it changed. */
  changed = false;
  live = 0;
  /** Dirty objects that the tables lack, and objects that they must lose. */
  readonly unsaved = new Set<Ino>();
  /** Objects that the tables have, or may have. */
  readonly stored = new Set<Ino>();
  /** Data files that are no longer referenced, up to an epoch. */
  readonly discarded: { readonly ino: Ino; readonly upTo: number }[] = [];
  /** Counts changes of bytes. In memory only. */
  bytesVersions = 0;
  /** What the long values of dirty objects count as, and those that only the epoch in flight has. */
  #values = 0;
  #sealedValues = 0;

  readonly #objects = new Map<Ino, DirtyObject>();
  readonly #byId = new Map<FileId, Ino>();
  readonly #entries = new Map<Ino, Map<FileName, Ino>>();
  readonly #hidden = new Map<FileId, Map<FileName, Ino>>();
  /** The names of `#entries` and `#hidden` that lead to directories. */
  readonly #subdirs = new NameSets<Ino>();
  readonly #hiddenSubdirs = new NameSets<FileId>();
  /** Objects with a name that leads to another object for now. */
  readonly #behind = new Set<Ino>();
  /** Unlinked objects that were never published, and never will be. */
  readonly #local = new Set<Ino>();

  constructor(inodes: Inodes, base: BaseRoot) {
    this.inodes = inodes;
    this.base = base;
  }

  get inFlight(): InFlight | undefined {
    return this.#inFlight;
  }

  set inFlight(flight: InFlight | undefined) {
    // What is sealed is what the objects have now.
    if (flight?.objects !== this.#inFlight?.objects) this.#sealedValues = 0;
    this.#inFlight = flight;
  }

  /** The dirty object with this number; undefined when it is clean or unknown. */
  object(ino: Ino): DirtyObject | undefined {
    return this.#objects.get(ino);
  }

  /** The dirty object with this number. Throws `state_corrupt` when there is none. */
  dirty(ino: Ino): DirtyObject {
    const object = this.#objects.get(ino);
    if (object === undefined) throw corruptState(`Inode ${ino} of the overlay is not dirty.`);
    return object;
  }

  objects(): Iterable<DirtyObject> {
    return this.#objects.values();
  }

  dirtyWithId(id: FileId): DirtyObject | undefined {
    const ino = this.#byId.get(id);
    return ino === undefined ? undefined : this.#objects.get(ino);
  }

  /** These names, as far as their directories are known here. */
  linksOf(names: readonly BaseName[]): Link[] {
    return names.flatMap(({ parent, name }) => {
      const ino = parent === ROOT_ID ? ROOT_INO : (this.dirtyWithId(parent)?.ino ?? this.inodes.find(parent)?.ino);
      return ino === undefined ? [] : [{ parent: ino, name }];
    });
  }

  /** Whether any dirty object has an id. */
  get hasIds(): boolean {
    return this.#byId.size > 0;
  }

  /** What a name leads to if a dirty object has it. */
  entry(parent: Ino, name: FileName): Ino | undefined {
    return this.#entries.get(parent)?.get(name);
  }

  /** The names in a directory that dirty objects have. */
  entries(parent: Ino): ReadonlyMap<FileName, Ino> | undefined {
    return this.#entries.get(parent);
  }

  /** Whether a base name no longer counts: it belongs to a dirty object, whose names are in `entries`. */
  hides(parent: FileId, name: FileName): boolean {
    return this.#hidden.get(parent)?.has(name) === true;
  }

  /** How many names in a directory belong to changed directories. */
  subdirs(parent: Ino): number {
    return this.#subdirs.count(parent);
  }

  /** How many base names of a directory no longer count because they belonged to directories that changed. */
  hiddenSubdirs(parent: FileId): number {
    return this.#hiddenSubdirs.count(parent);
  }

  /** The id of the changed directory that had the base name. */
  hiddenSubdir(parent: FileId, name: FileName): FileId | undefined {
    const ino = this.#hiddenSubdirs.has(parent, name) ? this.#hidden.get(parent)?.get(name) : undefined;
    return ino === undefined ? undefined : this.#objects.get(ino)?.id;
  }

  /** The base names of a directory that no longer count. */
  hiddenNames(parent: FileId): ReadonlyMap<FileName, Ino> | undefined {
    return this.#hidden.get(parent);
  }

  /** All dirty objects. */
  get count(): number {
    return this.#objects.size;
  }

  /** What memory is bounded by: the number of dirty objects, plus what their kept rows and long values count as. */
  get held(): number {
    return this.#objects.size + this.#values + this.#sealedValues;
  }

  /** Dirty objects that will be published. */
  get publishable(): number {
    return this.#objects.size - this.#local.size;
  }

  /** Whether the bucket has the object, or will have when the epoch in flight is published. */
  isShared({ ino, id }: DirtyObject): boolean {
    return id !== undefined || this.inFlight?.objects.has(ino) === true;
  }

  add(object: DirtyObject): void {
    this.#objects.set(object.ino, object);
    this.#values += valuesOf(object);
    // Only a start adds objects that are in flight.
    this.#noteSealed(object, object.xattrs);
    if (object.epoch === this.epoch) this.live++;
    this.inodes.use(object.ino);
    this.identify(object);
    for (const link of object.links) this.#offerEntry(object, link);
    this.noteUnlinked(object);
  }

  /** Takes the object out of the overlay: the base shows it from now on, or it is gone. */
  drop(object: DirtyObject): void {
    for (const link of object.links) this.#removeEntry(object, link);
    this.unidentify(object);
    if (this.#objects.delete(object.ino)) {
      this.#values -= valuesOf(object);
      if (object.epoch === this.epoch) this.live--;
    }
    this.#local.delete(object.ino);
    // Most objects are published before a checkpoint sees them: it then has nothing to remove.
    if (this.stored.has(object.ino)) this.unsaved.add(object.ino);
    else this.unsaved.delete(object.ino);
  }

  setXattrs(object: DirtyObject, xattrs: DirtyObject["xattrs"]): void {
    if (this.#sealedXattrs(object) === object.xattrs) this.#noteSealed(object, xattrs);
    this.#values -= valuesOf(object);
    object.xattrs = xattrs;
    this.#values += valuesOf(object);
  }

  /** Sets what the base has of the object, apart from its names. */
  setBase(object: DirtyObject, base: DirtyObject["base"]): void {
    this.#values -= valuesOf(object);
    object.base = base;
    this.#values += valuesOf(object);
  }

  /** By how much `held` grows if the object gets these extended attributes. */
  growthBy(object: DirtyObject, xattrs: DirtyObject["xattrs"]): number {
    const isKept = object.base?.xattrs === object.xattrs || this.#sealedXattrs(object) === object.xattrs;
    return unitsOf(xattrs) - (isKept ? 0 : unitsOf(object.xattrs));
  }

  addLink(object: DirtyObject, parent: Ino, name: FileName): void {
    const link = { parent, name };
    // Others may have given it that name, which something else had here until now.
    object.links.add(link);
    this.#addEntry(object, link);
    this.#local.delete(object.ino);
  }

  removeLink(object: DirtyObject, parent: Ino, name: FileName): void {
    const link = { parent, name };
    if (!object.links.delete(link)) throw corruptState(`Inode ${object.ino} of the overlay lacks the name to remove.`);
    this.#removeEntry(object, link);
  }

  relink(object: DirtyObject, links: readonly Link[]): void {
    for (const link of object.links) this.removeLink(object, link.parent, link.name);
    for (const link of links) if (object.links.add(link)) this.#offerEntry(object, link);
    this.unsaved.add(object.ino);
  }

  /** Drops the reports on an epoch that was published. */
  forgetPublished(): void {
    this.publishedRows.clear();
    this.followed.length = 0;
  }

  /** Moves all changed objects from one directory to another. */
  moveEntries(from: Ino, to: Ino): void {
    for (const ino of new Set([...(this.#entries.get(from)?.values() ?? []), ...this.#behind])) {
      const object = this.#objects.get(ino);
      if (object === undefined) continue;
      for (const link of [...object.links].filter(({ parent }) => parent === from)) {
        const moved = { parent: to, name: link.name };
        this.removeLink(object, from, link.name);
        object.links.add(moved);
        this.#offerEntry(object, moved);
        this.unsaved.add(object.ino);
      }
    }
  }

  /** Counts the object as local if it is. To be called after it lost a name or its id. */
  noteUnlinked(object: DirtyObject): void {
    if (isUnlinked(object) && !this.isShared(object)) this.#local.add(object.ino);
  }

  /** Hides the base's names of an object, by its current id and base names. */
  identify(object: DirtyObject): void {
    if (object.id !== undefined) this.#byId.set(object.id, object.ino);
    for (const { parent, name } of object.baseNames) {
      const hidden = this.#hidden.get(parent);
      if (hidden === undefined) this.#hidden.set(parent, new Map([[name, object.ino]]));
      else hidden.set(name, object.ino);
      this.#hiddenSubdirs.put(parent, name, object.type === "directory");
    }
  }

  /** Undoes `identify`, before id or base names change. */
  unidentify(object: DirtyObject): void {
    if (object.id !== undefined && this.#byId.get(object.id) === object.ino) this.#byId.delete(object.id);
    for (const { parent, name } of object.baseNames) {
      const hidden = this.#hidden.get(parent);
      // Another object may have got the name in the base later.
      if (hidden?.get(name) !== object.ino) continue;
      hidden.delete(name);
      if (hidden.size === 0) this.#hidden.delete(parent);
      this.#hiddenSubdirs.put(parent, name, false);
    }
  }

  /** The object changes in the live epoch. */
  touch(object: DirtyObject): void {
    if (object.epoch !== this.epoch) this.live++;
    object.epoch = this.epoch;
    this.changed = true;
    this.unsaved.add(object.ino);
  }

  #sealedXattrs({ ino }: DirtyObject): DirtyObject["xattrs"] | undefined {
    return this.#inFlight?.objects.get(ino)?.record?.xattrs;
  }

  /** The object has these extended attributes from now on. Those of the epoch in flight may be others. */
  #noteSealed(object: DirtyObject, xattrs: DirtyObject["xattrs"]): void {
    const sealed = this.#sealedXattrs(object) ?? xattrs;
    if (sealed !== xattrs && sealed !== object.base?.xattrs) this.#sealedValues += unitsOf(sealed);
  }

  /** A changed object keeps a name that others gave to this one, until it leaves the name or both are merged. */
  #offerEntry(object: DirtyObject, link: Link): void {
    if (this.entry(link.parent, link.name) === undefined) this.#addEntry(object, link);
    else this.#behind.add(object.ino);
  }

  #addEntry(object: DirtyObject, { parent, name }: Link): void {
    const entries = this.#entries.get(parent);
    if (entries === undefined) this.#entries.set(parent, new Map([[name, object.ino]]));
    else entries.set(name, object.ino);
    this.#subdirs.put(parent, name, object.type === "directory");
  }

  #removeEntry(object: DirtyObject, { parent, name }: Link): void {
    const entries = this.#entries.get(parent);
    if (entries?.get(name) !== object.ino) return;
    entries.delete(name);
    if (entries.size === 0) this.#entries.delete(parent);
    this.#subdirs.put(parent, name, false);
    for (const ino of this.#behind) {
      const next = this.#objects.get(ino);
      if (next === undefined) this.#behind.delete(ino);
      else if (next !== object && next.links.has({ parent, name })) return this.#addEntry(next, { parent, name });
    }
  }
}

/** What this object counts as besides itself: its kept row, its long values, and those of its base if they differ. */
function valuesOf({ xattrs, target, base }: DirtyObject): number {
  const inBase = base === undefined || base.xattrs === xattrs ? 0 : unitsOf(base.xattrs);
  return (base === undefined ? 0 : KEPT_UNITS) + inBase + unitsOf(xattrs) + unitsOf(target);
}
