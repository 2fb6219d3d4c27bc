/**
 * Files that others replace or remove while programs here read them. As on a local disk, such a program goes on reading the
 * version that it opened: the inode number stands for that version from then on, as a file of the overlay without a name,
 * and the file gets another number. A file that only became longer keeps its number, so that programs can follow a log; a
 * locked file does, since its locks belong to the number.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import { hasCode, SynclineError } from "../base/errors.ts";
import { type Cid, type FileId, type Ino, ROOT_INO } from "../base/ids.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import { peekContent } from "../content/read.ts";
import { sharedStart } from "../content/shared-start.ts";
import { idsOf, type NewBase } from "../fstree/change-set.ts";
import { whenLoaded } from "../fstree/fs-reader.ts";
import { sameContent } from "../fstree/merge/objects.ts";
import type { FileRecord } from "../format/files/record.ts";
import { type BaseName, isUnlinked, recordOf } from "../overlay/dirty-object.ts";
import type { Link } from "../overlay/links.ts";
import type { Overlay } from "../overlay/overlay.ts";
import type { CleanInodes } from "./clean-inodes.ts";
import type { CleanObject } from "./clean-object.ts";
import type { Readers } from "./filesystem.ts";
import type { HeldVersions } from "./held-versions.ts";
import type { Loader } from "./loader.ts";

interface ObjectAccess {
  readonly overlay: Overlay;
  readonly clean: CleanInodes;
  readonly held: HeldVersions;
  readonly loader: Loader;
  readonly onOrphan: (ino: Ino) => void;
}

type ReadFile = Pick<CleanObject, "ino" | "id" | "record" | "place">;

/** A file that programs read, as they have opened it. */
interface ReplacedFile {
  readonly object: ReadFile;
  readonly names: readonly Link[];
  /** A name of the file in the new base. Undefined: others removed it. */
  readonly place: BaseName | undefined;
}

/**
 * If others only appended, at most the last chunk of the earlier version differs, which is shorter than this. A file that
 * grows into another class of chunk sizes is cut anew: it then counts as another version.
 */
const MOST_COMPARED = 2 * 1024 * 1024;
/** Answers that are remembered: the bytes that they need may not all fit into memory. */
const COMPARISONS = 16_384;

const NONE: ReadonlySet<Ino> = new Set();

export class ReplacedFiles {
  #readers: Readers = { has: () => false, all: () => [] };
  /** Programs may have files with lower numbers open to write since before this process: `#readers` does not know. */
  #leastIno: Ino = ROOT_INO;
  readonly #objects: ObjectAccess;
  /** As of the last `seen`. */
  #locked: ReadonlySet<Ino> | undefined;
  /** Whether one content begins with another. */
  readonly #compared = new BoundedMap<string, boolean>(COMPARISONS);

  constructor(objects: ObjectAccess) {
    this.#objects = objects;
  }

  /** As FileSystem.watchReaders. `isPartial`: programs may have other files open, too, since before this process. */
  watch(readers: Readers, isPartial: boolean): void {
    this.#readers = readers;
    if (isPartial) this.#leastIno = this.#objects.overlay.state.inodes.next;
  }

  /** Loads what `seen` reads. Never rejects: if blocks of a file cannot be had, its readers keep their version. */
  async prepare(base: NewBase): Promise<void> {
    const { loader } = this.#objects;
    const looks = Array.from(this.#changed(base), (ino) => whenLoaded(loader, () => this.#replaced(ino, base.tree)));
    await Promise.allSettled(looks);
  }

  /** The open files that this base replaces or removes. Call before the overlay moves to it. */
  seen(base: NewBase): ReplacedFile[] {
    this.#locked = undefined;
    return [...this.#changed(base)].flatMap((ino) => this.seenOf(ino, base.tree));
  }

  /** As `seen`, for one file. */
  seenOf(ino: Ino, tree: Cid): ReplacedFile[] {
    try {
      const file = this.#replaced(ino, tree);
      return file === undefined ? [] : [file];
    } catch (error) {
      if (!(error instanceof BlockMiss)) throw error;
      const { overlay, clean } = this.#objects;
      const object = this.#changedHere(ino) ?? clean.known(ino);
      if (object?.place === undefined || object.record.type !== "file" || this.#isLocked(ino)) return [];
      return [{ object, names: overlay.state.linksOf([object.place]), place: object.place }];
    }
  }

  /** Call with what `seen` returned, once the overlay is on the new base. Returns the names that lead elsewhere now. */
  leave(files: readonly ReplacedFile[]): Link[] {
    const { overlay, clean, held, onOrphan } = this.#objects;
    const { state } = overlay;
    const left = files.flatMap(({ object: { ino, id, record }, names, place }) => {
      // With the epoch that was published, the number stands for something else.
      if (state.object(ino) !== undefined || state.inodes.row(ino)?.id !== id) return [];
      if (held.of(ino)?.isWhole === true) return [];
      const next = place && { ino: state.inodes.next, id, type: record.type, ...place };
      try {
        overlay.execute([{ kind: "replaced", ino, record, next }], { urgent: true });
      } catch (error) {
        if (hasCode(error, "disk_full")) return [];
        throw error;
      }
      clean.forget(ino, []);
      onOrphan(ino);
      return names;
    });
    if (files.length > 0) overlay.persist();
    return left;
  }

  /** The open files that others changed. */
  #changed({ changes }: NewBase): Iterable<Ino> {
    if (changes === undefined) return [...this.#readers.all()].filter((ino) => this.isRead(ino));
    const { inodes } = this.#objects.overlay.state;
    const numberOf = (id: FileId) => inodes.find(id)?.ino;
    const changed = new Set(changes.flatMap(idsOf).map(numberOf));
    return [...changed].filter((ino) => ino !== undefined && this.isRead(ino)) as Ino[];
  }

  /** Whether programs have the file open, and only to read. */
  isRead(ino: Ino): boolean {
    return ino >= this.#leastIno && this.#readers.has(ino);
  }

  /** Undefined: programs may see the file as the new base has it. Throws BlockMiss. */
  #replaced(ino: Ino, tree: Cid): ReplacedFile | undefined {
    const { overlay, clean, held } = this.#objects;
    const { state } = overlay;
    if (held.inUse.has(ino)) return undefined;
    const dirty = state.object(ino);
    const shown = dirty === undefined ? clean.get(ino) : undefined;
    const object = shown ?? this.#changedHere(ino);
    if (object?.record.type !== "file") return undefined;
    const now = clean.inTree(ino, tree);
    if (now !== undefined && (this.#goesOn(object.record, now.record) || this.#isLocked(ino))) return undefined;
    const names = shown === undefined ? [...(dirty?.links ?? [])] : state.linksOf(clean.namesOf(shown));
    return { object, names, place: now && (now.place ?? object.place) };
  }

  #isLocked(ino: Ino): boolean {
    this.#locked ??= this.#readers.locked?.() ?? NONE;
    return this.#locked.has(ino);
  }

  /** A file of which only names and attributes were changed here. */
  #changedHere(ino: Ino): ReadFile | undefined {
    const dirty = this.#objects.overlay.state.object(ino);
    if (dirty?.id === undefined || dirty.extents !== undefined || isUnlinked(dirty)) return undefined;
    return { ino, id: dirty.id, record: recordOf(dirty), place: dirty.baseNames[0] };
  }

  /** Whether `now` has the same bytes, or these and more. Throws BlockMiss. */
  #goesOn(before: FileRecord, now: FileRecord): boolean {
    if (now.size === before.size && sameContent(before.content, now.content)) return true;
    if (now.size <= before.size) return false;
    const key = [before, now].map(({ size, content }) => `${size} ${"cid" in content ? content.cid : ""}`).join();
    const known = this.#compared.get(key);
    if (known !== undefined) return known;
    const begins = this.#beginsWith(now, before);
    if ("cid" in before.content && "cid" in now.content) this.#compared.set(key, begins);
    return begins;
  }

  #beginsWith(now: FileRecord, before: FileRecord): boolean {
    const { loader } = this.#objects;
    try {
      const shared = loader.readContent(() => sharedStart(loader.content, before.content, now.content));
      if (before.size - shared > MOST_COMPARED) return false;
      return this.#bytesOf(before, shared, before.size).equals(this.#bytesOf(now, shared, before.size));
    } catch (error) {
      // Contents that cannot be read are other contents.
      if (error instanceof SynclineError) return false;
      throw error;
    }
  }

  #bytesOf({ content, size }: FileRecord, from: number, to: number): Buffer {
    const { loader } = this.#objects;
    const bytes = Buffer.alloc(to - from);
    loader.readContent(() => peekContent(loader.content, content, size, from, bytes.length, bytes));
    return bytes;
  }
}
