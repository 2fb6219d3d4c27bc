/**
 * Inodes, clean or dirty, and the path of every change: read what is needed, then execute records.
 *
 * Everything that can throw BlockMiss or refuse comes before `execute`: a call that fails has changed nothing.
 */
import type { Clock } from "../base/clock.ts";
import { hasCode } from "../base/errors.ts";
import { type Cid, type FileId, type FileName, type Ino, ROOT_INO } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import { peekDataBytes } from "../content/seek.ts";
import { xattrsOf } from "../format/blocks/linked-value.ts";
import type { FileRecord, FileType, Xattrs } from "../format/files/record.ts";
import type { Beginning } from "../overlay/beginnings.ts";
import { contentsInUse, type ContentsInUse } from "../overlay/contents-in-use.ts";
import type { JournalRecord } from "../overlay/journal/journal-record.ts";
import { type DirtyObject, isEarlierVersion, isUnlinked } from "../overlay/dirty-object.ts";
import type { StorageSpace } from "../overlay/disk/storage.ts";
import type { Overlay } from "../overlay/overlay.ts";
import { type ContentName, nameOfContent } from "./content-names.ts";
import { CleanInodes } from "./clean-inodes.ts";
import type { CleanObject } from "./clean-object.ts";
import { DirtySignal, type DirtyReason } from "./dirty-signal.ts";
import type { Attributes, OthersWatch } from "./filesystem.ts";
import { HeldUnits } from "./held-units.ts";
import { HeldVersions } from "./held-versions.ts";
import type { Loader } from "./loader.ts";
import { LostFamilies } from "./lost-families.ts";
import { OthersChanges } from "./others-changes.ts";
import { OwnNames } from "./own-names.ts";
import { PublishState } from "./publish-state.ts";
import { refuse } from "./refusal.ts";
import { ReplacedFiles } from "./replaced-files.ts";
import { Subdirectories } from "./subdirectories.ts";

/** An inode: in the overlay, or as the base has it. */
export type Inode =
  | { readonly dirty: DirtyObject; readonly clean: undefined }
  | { readonly dirty: undefined; readonly clean: CleanObject };

/** A large file being rewritten in order. Plain data. */
export interface BegunFile extends Beginning {
  /** The base's chunk list for it. */
  readonly base: Cid;
  readonly baseSize: number;
}

export class Objects {
  readonly overlay: Overlay;
  readonly clean: CleanInodes;
  readonly loader: Loader;
  readonly clock: Clock;
  readonly dirty: DirtySignal;
  readonly subdirectories: Subdirectories;
  readonly publishState: PublishState;
  readonly others = new OthersChanges();
  readonly held: HeldVersions;
  readonly heldUnits = new HeldUnits(this);
  readonly lostFamilies = new LostFamilies(this);
  readonly ownNames: OwnNames;
  readonly replaced = new ReplacedFiles(this);
  /** Called for each inode that has no name (any more). */
  onOrphan: (ino: Ino) => void = () => {};
  /** Called for each inode without local changes that no door needs any more. */
  onForgotten: (ino: Ino) => void = () => {};
  /** Called for files that may be chunked while they are written. */
  onBegun: (file: BegunFile) => void = () => {};
  /** Called for each name that now leads elsewhere: a local object has left it, or is back. */
  onUncovered: (parent: Ino, name: FileName) => void = () => {};

  /** Tells from now on what others change in the bucket. */
  readonly watchOthers = (): OthersWatch => this.others.watch(this);

  /** The space to show instead of the disk's. */
  spaceWithin: (disk: StorageSpace) => StorageSpace = (disk) => disk;

  constructor(overlay: Overlay, loader: Loader, clock: Clock, cleanInodes: number) {
    this.overlay = overlay;
    this.loader = loader;
    this.clock = clock;
    this.dirty = new DirtySignal(clock);
    overlay.room.onWanted = () => this.dirty.tell("urgent");
    this.held = new HeldVersions(overlay.state);
    this.publishState = new PublishState(overlay, this.held);
    this.clean = new CleanInodes(overlay, loader.nodes, cleanInodes, this.held);
    this.ownNames = new OwnNames(this);
    this.subdirectories = new Subdirectories(overlay.state, loader.nodes);
  }

  /** Refuses ESTALE for a removed inode. Throws BlockMiss. */
  inode(ino: Ino): Inode {
    const dirty = this.overlay.state.object(ino);
    if (dirty !== undefined) return { dirty, clean: undefined };
    const clean = this.clean.get(ino);
    if (clean === undefined) throw refuse("ESTALE");
    return { dirty: undefined, clean };
  }

  /** The inode's id in the bucket; undefined if it was created here. */
  idOf(ino: Ino): FileId | undefined {
    const { state } = this.overlay;
    return state.object(ino)?.id ?? state.inodes.row(ino)?.id;
  }

  type(ino: Ino): FileType {
    return this.record(ino).type;
  }

  /** The inode's fields. Its content is valid only for clean inodes, and for dirty ones without extents. */
  record(ino: Ino): FileRecord {
    const { dirty, clean } = this.inode(ino);
    return dirty ?? clean.record;
  }

  attributes(ino: Ino): Attributes {
    const { dirty, clean } = this.inode(ino);
    return dirty === undefined ? this.#cleanAttributes(clean) : this.dirtyAttributes(dirty);
  }

  /** Throws BlockMiss, unless `links` says how many names a directory has. */
  dirtyAttributes(object: DirtyObject, links?: number): Attributes {
    const { ino, type, mode, uid, gid, rdev, size, atimeNs, mtimeNs, ctimeNs, birthNs } = object;
    const isDirectory = type === "directory";
    return {
      ino,
      mode: TYPE_BITS[type] | mode,
      nlink: isDirectory ? (links ?? this.#directoryLinks(object)) : object.links.size,
      uid,
      gid,
      rdev,
      size: isDirectory ? DIRECTORY_BYTES : size,
      blocks: isDirectory ? DIRECTORY_BYTES / 512 : Math.ceil(this.#storedBytes(object) / 512),
      atimeNs,
      mtimeNs,
      ctimeNs,
      birthNs,
    };
  }

  /** What a name leads to. Refuses ENOTDIR and, for an unknown directory, ESTALE. Throws BlockMiss. */
  child(parent: Ino, name: FileName): Ino | undefined {
    const id = this.directoryId(parent);
    const own = this.ownNames.at(parent, id, name);
    if (own !== undefined) return own === "nothing" ? undefined : own;
    return id === undefined ? undefined : this.clean.lookup(parent, id, name);
  }

  /** The directory's id in the base; undefined if it was created here. */
  directoryId(ino: Ino): FileId | undefined {
    const dirty = this.overlay.state.object(ino);
    if (dirty !== undefined) {
      if (dirty.type !== "directory") throw refuse("ENOTDIR");
      return dirty.id;
    }
    const id = this.clean.directoryId(ino);
    if (id === undefined) throw refuse(this.overlay.state.inodes.row(ino) === undefined ? "ESTALE" : "ENOTDIR");
    return id;
  }

  pathOf(ino: Ino): string {
    const names: string[] = [];
    const seen = new Set<Ino>();
    for (let at = ino; at !== ROOT_INO;) {
      const { dirty, clean } = this.inode(at);
      const name = dirty === undefined ? clean.place?.name : dirty.links.first?.name;
      const parent = this.parentOf(at);
      if (name === undefined || parent === undefined || seen.has(at)) return `(inode ${ino})/${names.join("/")}`;
      names.unshift(nameToText(name));
      seen.add(at);
      at = parent;
    }
    return `/${names.join("/")}`;
  }

  /** The directory that holds this directory. */
  parentOf(ino: Ino): Ino | undefined {
    const { dirty, clean } = this.inode(ino);
    if (dirty !== undefined) return dirty.links.first?.parent;
    return clean.place === undefined ? undefined : this.clean.directoryIno(clean.place.parent);
  }

  /** Adds the record that makes the inode dirty, if it is clean. Refuses ESTALE. Throws BlockMiss. */
  keep(ino: Ino, records: JournalRecord[]): void {
    if (this.#isEarlierVersion(ino)) throw refuse("ESTALE");
    if (this.overlay.state.object(ino) !== undefined) return;
    if (records.some((record) => record.kind === "keep" && record.object.ino === ino)) return;
    const clean = this.clean.get(ino);
    if (clean === undefined || !this.clean.owns(clean)) throw refuse("ESTALE");
    const baseNames = this.clean.namesOf(clean);
    const parents = baseNames.map(({ parent }) => this.clean.directoryIno(parent));
    records.push({ kind: "keep", object: { ino, id: clean.id, record: clean.record, baseNames, parents } });
  }

  /**
   * Refuses ESTALE for a version that others replaced: the kernel then looks its name up again, which leads to the new one.
   * Also for a file of which a program may have seen a version that is not known here.
   */
  checkWritable(ino: Ino): void {
    if (this.held.stale.has(ino) || this.#isEarlierVersion(ino)) throw refuse("ESTALE");
  }

  #isEarlierVersion(ino: Ino): boolean {
    const dirty = this.overlay.state.object(ino);
    return dirty !== undefined && isEarlierVersion(dirty);
  }

  /** The dirty object, after its `keep` record. */
  changed(ino: Ino): DirtyObject {
    return this.overlay.state.dirty(ino);
  }

  /**
   * Executes records. Refuses ENOSPC, and then has changed nothing. `urgent` records free space: they may use the last
   * reserve. `between` runs after space is reserved and before the change; `reason` is reported to the agent after both.
   * Throws BlockMiss.
   */
  execute(
    some: readonly JournalRecord[],
    options: { urgent?: boolean; between?: () => void; reason?: () => DirtyReason } = {},
  ): void {
    const records = this.heldUnits.whole(some);
    try {
      this.overlay.execute(records, options);
    } catch (error) {
      if (hasCode(error, "disk_full")) throw refuse("ENOSPC");
      if (hasCode(error, "limit_exceeded")) throw refuse("EFBIG");
      throw error;
    }
    this.heldUnits.changed(records);
    for (const record of records) {
      if (record.kind !== "keep") continue;
      const object = this.changed(record.object.ino);
      object.atimeNs = this.clean.known(object.ino)?.atimeNs ?? object.atimeNs;
      this.clean.forget(object.ino, object.links);
      for (const [index, { name }] of record.object.baseNames.entries()) {
        const parent = record.object.parents[index];
        if (parent !== undefined) this.clean.forgetName(parent, name);
      }
      // If others had removed it, its names exist again.
      if (this.held.drop(object.ino)?.isOld === true)
        for (const { parent, name } of object.links) this.onUncovered(parent, name);
    }
    this.dirty.tell(this.overlay.isFull ? "urgent" : (options.reason?.() ?? "change"));
  }

  /** Inode numbers that programs use, although the base may no longer have the objects. */
  *heldInodes(): Generator<Ino> {
    yield* this.held.inUse;
    yield* this.heldUnits.inodes();
  }

  /** What must stay readable although the base may lack it. */
  contentsInUse(): ContentsInUse {
    return contentsInUse(this.overlay.state, this.held.contents());
  }

  contentName(ino: Ino): ContentName {
    const { dirty, clean } = this.inode(ino);
    if (dirty === undefined) return { name: nameOfContent(clean.record.content), version: 0 };
    const isBase = dirty.extents === undefined;
    return { name: isBase ? nameOfContent(dirty.content) : dirty.bytesName, version: dirty.bytesVersion };
  }

  xattrs(ino: Ino): Xattrs {
    return xattrsOf(this.record(ino), this.loader.peekLinked);
  }

  #cleanAttributes({ ino, id, record, names, subdirs, atimeNs }: CleanObject): Attributes {
    const nlink = record.type === "directory" ? 2 + this.subdirectories.count(ino, id, subdirs) : names;
    return recordAttributes(this.loader, { ino, record, nlink, atimeNs });
  }

  #directoryLinks(object: DirtyObject): number {
    if (isUnlinked(object)) return 0;
    const inBase = object.id === undefined ? undefined : this.clean.subdirs(object.id);
    return 2 + this.subdirectories.count(object.ino, inBase === undefined ? undefined : object.id, inBase ?? 0);
  }

  #storedBytes({ type, extents, content, contentSize }: DirtyObject): number {
    if (type !== "file") return 0;
    const inBase = peekDataBytes(this.loader.content, content, contentSize) ?? contentSize;
    return extents?.storedBytes(inBase) ?? inBase;
  }
}

/** The attributes of an object as a tree has it. Throws BlockMiss. */
export function recordAttributes(
  { content: source }: Pick<Loader, "content">,
  { ino, record, nlink, atimeNs }: Pick<Attributes, "ino" | "nlink" | "atimeNs"> & { readonly record: FileRecord },
): Attributes {
  const { type, mode, uid, gid, rdev, size, content, mtimeNs, ctimeNs, birthNs } = record;
  const isDirectory = type === "directory";
  const stored = type === "file" ? (peekDataBytes(source, content, size) ?? size) : 0;
  return {
    ino,
    mode: TYPE_BITS[type] | mode,
    nlink,
    uid,
    gid,
    rdev,
    size: isDirectory ? DIRECTORY_BYTES : size,
    blocks: isDirectory ? DIRECTORY_BYTES / 512 : Math.ceil(stored / 512),
    atimeNs,
    mtimeNs,
    ctimeNs,
    birthNs,
  };
}

/** The reported size of a directory, as on ext4. */
const DIRECTORY_BYTES = 4096;

export const TYPE_BITS: Readonly<Record<FileType, number>> = {
  fifo: 0o010000,
  char: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
};
