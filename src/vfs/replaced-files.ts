/**
 * Files that others replace or remove while programs here read them. As on a local disk, such a program goes on reading the
 * version that it opened: the inode number stands for that version from then on, as a file of the overlay without a name,
 * and the file gets another number. A file that only became longer keeps its number, so that programs can follow a log.
 */
import { hasCode } from "../base/errors.ts";
import type { Cid, FileId, Ino } from "../base/ids.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import { peekContent } from "../content/read.ts";
import { idsOf, type NewBase } from "../fstree/change-set.ts";
import { whenLoaded } from "../fstree/fs-reader.ts";
import { sameContent } from "../fstree/merge/objects.ts";
import type { FileRecord } from "../format/files/record.ts";
import type { BaseName } from "../overlay/dirty-object.ts";
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

/** A file that programs read, as they have opened it. */
interface ReplacedFile {
  readonly object: CleanObject;
  readonly names: readonly BaseName[];
  /** A name of the file in the new base. Undefined: others removed it. */
  readonly place: BaseName | undefined;
}

/** How much of a file's end is compared, to tell whether others only appended to it. */
const END_BYTES = 64 * 1024;

export class ReplacedFiles {
  /** What programs read. */
  readers: Readers = { has: () => false, all: () => [] };
  readonly #objects: ObjectAccess;

  constructor(objects: ObjectAccess) {
    this.#objects = objects;
  }

  /** Loads what `seen` reads. Never rejects: if blocks of a file cannot be had, its readers get the new version. */
  async prepare(base: NewBase): Promise<void> {
    const { loader } = this.#objects;
    const looks = Array.from(this.#changed(base), (ino) => whenLoaded(loader, () => this.#replaced(ino, base.tree)));
    await Promise.allSettled(looks);
  }

  /** The open files that this base replaces or removes. Call before the overlay moves to it. */
  seen(base: NewBase): ReplacedFile[] {
    return [...this.#changed(base)].flatMap((ino) => this.seenOf(ino, base.tree));
  }

  /** As `seen`, for one file. */
  seenOf(ino: Ino, tree: Cid): ReplacedFile[] {
    try {
      const file = this.#replaced(ino, tree);
      return file === undefined ? [] : [file];
    } catch (error) {
      if (error instanceof BlockMiss) return [];
      throw error;
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
      return state.linksOf(names);
    });
    if (files.length > 0) overlay.persist();
    return left;
  }

  /** The open files that others changed. */
  #changed({ changes }: NewBase): Iterable<Ino> {
    if (changes === undefined) return this.readers.all();
    const { inodes } = this.#objects.overlay.state;
    const numberOf = (id: FileId) => inodes.find(id)?.ino;
    const changed = new Set(changes.flatMap(idsOf).map(numberOf));
    return [...changed].filter((ino) => ino !== undefined && this.readers.has(ino)) as Ino[];
  }

  /** Undefined: programs may see the file as the new base has it. Throws BlockMiss. */
  #replaced(ino: Ino, tree: Cid): ReplacedFile | undefined {
    const { overlay, clean, held } = this.#objects;
    // What programs may write to is held, or changed here already.
    if (overlay.state.object(ino) !== undefined || held.inUse.has(ino)) return undefined;
    const object = clean.get(ino);
    if (object?.record.type !== "file") return undefined;
    const now = clean.inTree(ino, tree);
    if (now !== undefined && this.#goesOn(object.record, now.record)) return undefined;
    return { object, names: clean.namesOf(object), place: now && (now.place ?? object.place) };
  }

  /** Whether `now` has the same bytes, or these and more. Throws BlockMiss. */
  #goesOn(before: FileRecord, now: FileRecord): boolean {
    if (now.size === before.size && sameContent(before.content, now.content)) return true;
    return now.size > before.size && this.#endOf(before, before.size).equals(this.#endOf(now, before.size));
  }

  #endOf({ content, size }: FileRecord, end: number): Buffer {
    const { loader } = this.#objects;
    const bytes = Buffer.alloc(Math.min(END_BYTES, end));
    loader.readContent(() => peekContent(loader.content, content, size, end - bytes.length, bytes.length, bytes));
    return bytes;
  }
}
