/**
 * Copies objects of a bucket to the local disk with modes, times and links. Writes each file beside its place and renames
 * it, so that it is complete or absent; replaces files and links, but never directories. Everything is written beneath the
 * folder that was opened when the copy began: a link swapped in for a directory leads nowhere.
 */
import { SynclineError } from "../../base/errors.ts";
import type { FileId, FileName } from "../../base/ids.ts";
import { escapeForPrint } from "../../base/names.ts";
import { failedWith } from "../../base/system-errors.ts";
import { liesInItself, listDirectory, objectOf, type TreeObject } from "../../fstree/fs-reader.ts";
import type { FileRecord } from "../../format/files/record.ts";
import {
  readAhead,
  setAttributes,
  temporaryName,
  writeIncoming,
  type IncomingContext,
  type Ready,
} from "../../sync/apply/incoming.ts";
import { isOfOne, ofOne } from "../../sync/apply/of-one.ts";
import { tryLink } from "../../sync/apply/try-link.ts";
import { type DiskPath, NOT_HELD, type SyncDisk } from "../../sync/disk/disk.ts";
import { pathText } from "../../sync/disk/paths.ts";
import { unlockDirectory } from "../../sync/disk/unlocking.ts";
import { type BucketReader, COPY_AHEAD_BYTES } from "./bucket-reader.ts";
import { LeftOut } from "./left-out.ts";
import { PlacedNames } from "./placed-names.ts";
import type { Runtime } from "../runtime.ts";

export interface CopyOutOptions {
  readonly reader: Pick<BucketReader, "bucket" | "nodes" | "tree" | "content">;
  /** The folder to copy into. */
  readonly disk: SyncDisk;
  readonly runtime: Pick<Runtime, "random" | "ifInterrupted">;
  /** Whether setuid and setgid bits are copied. */
  readonly special: boolean;
  /** Called with numbers of files placed and bytes written. */
  readonly moved: (files: number, bytes: number) => void;
}

export class CopyOut {
  /** Files and links made. */
  files = 0;
  /** Their sizes, holes included. */
  bytes = 0;
  /** Fifos, sockets and devices: they are particular to their machine. */
  skipped = 0;
  /** Objects whose owner could not be set, although root copies. */
  unowned = 0;
  /** Hard links that became files of their own: the disk has none. */
  unlinked = 0;
  readonly left = new LeftOut();
  readonly #options: CopyOutOptions;
  readonly #incoming: IncomingContext;
  /** The directories being copied, from the top down. */
  readonly #above = new Set<FileId>();
  /** Where a hard-linked file's first name went. */
  readonly #linked = new Map<FileId, DiskPath>();
  /** Temporary names that may exist. */
  readonly #temporary = new Set<DiskPath>();

  constructor(options: CopyOutOptions) {
    const { reader, disk, runtime, special, moved } = options;
    this.#options = options;
    this.#incoming = {
      disk,
      content: reader.content,
      block: (cid) => reader.bucket.blocks.get(cid),
      attention: { modeMask: special ? 0o7777 : 0o1777, owners: process.getuid?.() === 0 },
      random: runtime.random,
      wrote: (bytes) => moved(0, bytes),
      aheadBytes: COPY_AHEAD_BYTES,
      isDurable: false,
      leavesXattrs: true,
    };
  }

  /**
   * Copies an object; a directory with everything in it. Throws `path_exists` if a non-directory is in a directory's way.
   */
  async copy(object: TreeObject, name: FileName): Promise<void> {
    const { disk, runtime } = this.#options;
    await disk.open();
    using _interrupted = runtime.ifInterrupted(() => this.#removeNow());
    try {
      const names = new PlacedNames(disk, []);
      if (object.record.type === "directory") await this.#directory(object, names, [name]);
      else await this.#group(names, [], [{ child: object, name }]);
    } finally {
      disk.close();
    }
  }

  /** Throws `format_invalid` for a cycle of directories. */
  async #directory(object: TreeObject, above: PlacedNames, path: DiskPath): Promise<void> {
    if (this.#above.has(object.id)) throw liesInItself();
    if (!(await within(path, () => this.#makeDirectory(above, path)))) return;
    this.#above.add(object.id);
    const names = new PlacedNames(this.#options.disk, path);
    for await (const group of this.#groups(object)) {
      await within(path, () => this.#group(names, path, group));
      for (const { child, name } of group)
        if (child.record.type === "directory") await this.#directory(child, names, path.concat(name));
    }
    this.#above.delete(object.id);
    // Last: the mode may forbid adding entries, and each entry changes the directory's time.
    await within(path, () => this.#isHeld(path, () => setAttributes(this.#incoming, path, object.record)));
    if (this.#incoming.attention.owners)
      this.#countOwner(object.record, await within(path, () => this.#options.disk.look(path)));
  }

  /** False: it is left out, with all that is in it. */
  #makeDirectory(names: PlacedNames, path: DiskPath): Promise<boolean> {
    const { disk } = this.#options;
    return this.#isHeld(path, async () => {
      if (await this.#collides(names, path)) return false;
      const there = await disk.look(path);
      if (there === undefined) await disk.makeDirectory(path);
      else if (there.type !== "directory") throw inTheWay(path, "of a directory");
      else await unlockDirectory(disk, path, there);
      await this.#note(names, path);
      return true;
    });
  }

  /** A directory's entries in groups. While one is copied, the next one's contents are fetched in a request or two. */
  async *#groups(directory: TreeObject): AsyncGenerator<Entry[]> {
    const { nodes, tree } = this.#options.reader;
    let [before, group, bytes]: [Entry[], Entry[], number] = [[], [], 0];
    for await (const { name, dentry } of listDirectory(nodes, tree, directory.id)) {
      const child = await objectOf(nodes, tree, { parent: directory.id, name }, dentry);
      group.push({ child, name });
      bytes += Math.min(child.record.size, AHEAD_FILE_BYTES);
      if (bytes < AHEAD_BYTES && group.length < AHEAD_ENTRIES) continue;
      this.#readAhead(group);
      if (before.length > 0) yield before;
      [before, group, bytes] = [group, [], 0];
    }
    this.#readAhead(group);
    for (const last of [before, group]) if (last.length > 0) yield last;
  }

  #readAhead(entries: readonly Entry[]): void {
    const records = entries.map(({ child }) => child.record);
    // Writing reports the error.
    readAhead(this.#options.reader.content, records).catch(() => {});
  }

  /** Copies files and links of one directory. */
  async #group(names: PlacedNames, directory: DiskPath, entries: readonly Entry[]): Promise<void> {
    const fresh: Entry[] = [];
    const again: Entry[] = [];
    const ids = new Set<FileId>();
    for (const entry of entries) {
      const { id, record } = entry.child;
      if (record.type === "directory") continue;
      if (record.type !== "file" && record.type !== "symlink") this.skipped++;
      else if (this.#linked.has(id) || ids.has(id)) again.push(entry);
      else {
        fresh.push(entry);
        ids.add(id);
      }
    }
    await this.#writeAll(names, directory, fresh);
    for (const entry of again)
      await this.#isHeld(directory.concat(entry.name), () => this.#link(names, directory, entry));
  }

  /** Leaves out those that cannot be copied. */
  async #writeAll(names: PlacedNames, directory: DiskPath, entries: readonly Entry[]): Promise<void> {
    try {
      return await this.#write(names, directory, entries);
    } catch (error) {
      if (!isOfOne(error)) throw error;
    }
    for (const entry of entries) {
      try {
        await this.#write(names, directory, [entry]);
      } catch (error) {
        const why = ofOne(error, entry.child.record);
        if (why === undefined) throw error;
        this.left.add(why, directory.concat(entry.name), error);
      }
    }
  }

  async #write(names: PlacedNames, directory: DiskPath, entries: readonly Entry[]): Promise<void> {
    const begun: DiskPath[] = [];
    const temporary = (stem: string) => {
      const path = directory.concat(this.#part(stem));
      begun.push(path);
      this.#temporary.add(path);
      return path;
    };
    try {
      const records = entries.map(({ child }) => child.record);
      const ready = await writeIncoming({ ...this.#incoming, temporary }, records);
      for (const index of await this.#place(names, directory, entries, ready)) {
        const entry = entries[index];
        if (entry !== undefined) this.#placed(directory, entry, ready[index]);
      }
    } finally {
      await this.#remove(begun);
    }
  }

  /** Answers the indices of those that are in their places: not of those that are left out. */
  async #place(
    names: PlacedNames,
    directory: DiskPath,
    entries: readonly Entry[],
    ready: readonly Ready[],
  ): Promise<readonly number[]> {
    const { disk } = this.#options;
    const places = ready.map(({ path, stat }, index) => {
      const name = entries[index]?.name ?? ("" as FileName);
      return { index, from: path, name, to: directory.concat(name), stat };
    });
    const named = places.map(({ from, to }) => ({ name: from.at(-1) as FileName, to }));
    // Stops at the first name that is taken.
    const free = (await disk.placeAll?.(directory, named))?.length ?? 0;
    const placed: number[] = [];
    for (const [at, { index, from, name, to, stat }] of places.entries()) {
      if (at >= free && (await this.#collides(names, to))) continue;
      if (at >= free && !(await this.#isHeld(to, () => this.#replace(from, to)))) continue;
      this.#temporary.delete(from);
      await names.note(name, stat);
      placed.push(index);
    }
    return placed;
  }

  #placed(directory: DiskPath, { child, name }: Entry, ready: Ready | undefined): void {
    const { id, names, record } = child;
    if (names.length > 1) this.#linked.set(id, directory.concat(name));
    this.#countOwner(record, ready?.stat);
    this.files++;
    if (record.type === "file") this.bytes += record.size;
    this.#options.moved(1, 0);
  }

  /** Adds a name to an existing file. */
  async #link(names: PlacedNames, directory: DiskPath, entry: Entry): Promise<void> {
    const first = this.#linked.get(entry.child.id);
    if (first === undefined) return this.#writeAll(names, directory, [entry]);
    const [path, to] = [directory.concat(this.#part()), directory.concat(entry.name)];
    if (await this.#collides(names, to)) return;
    this.#temporary.add(path);
    try {
      if (await tryLink(this.#options.disk, first, path)) {
        await this.#replace(path, to);
        return await this.#note(names, to);
      }
    } finally {
      // rename(2) keeps both names if they already link to one file.
      await this.#remove([path]);
    }
    this.unlinked++;
    await this.#writeAll(names, directory, [entry]);
  }

  #part(stem = temporaryName(this.#options.runtime.random)): FileName {
    return `.${stem}.part` as FileName;
  }

  async #note(names: PlacedNames, path: DiskPath): Promise<void> {
    const [there, name] = [await this.#options.disk.look(path), path.at(-1)];
    if (there !== undefined && name !== undefined) await names.note(name, there);
  }

  /** Whether this copy has put something there under a name that the disk takes for this one. */
  async #collides(names: PlacedNames, path: DiskPath): Promise<boolean> {
    if (!(await names.has(path.at(-1) as FileName))) return false;
    this.left.add("collides", path);
    return true;
  }

  /** Works on one path. False: the disk cannot hold it, or `work` says that it is left out. */
  async #isHeld(path: DiskPath, work: () => Promise<boolean | void>): Promise<boolean> {
    try {
      return (await work()) !== false;
    } catch (error) {
      if (!failedWith(error, ...NOT_HELD, "EINVAL")) throw error;
      this.left.add("not held", path, error);
      return false;
    }
  }

  async #replace(from: DiskPath, to: DiskPath): Promise<void> {
    try {
      await this.#options.disk.rename(from, to, "replace");
    } catch (error) {
      if (!failedWith(error, "EISDIR", "ENOTEMPTY")) throw error;
      throw inTheWay(to, "of a file");
    }
  }

  async #remove(paths: readonly DiskPath[]): Promise<void> {
    for (const path of paths) if (this.#temporary.delete(path)) await this.#options.disk.unlink(path).catch(() => {});
  }

  #removeNow(): void {
    for (const path of this.#temporary) {
      try {
        this.#options.disk.unlinkNow?.(path);
      } catch {
        // It was renamed into place, or never made.
      }
    }
  }

  /** Counts a file if its owner was not set: root in a container may lack the right, and some disks have no owners. */
  #countOwner({ uid, gid }: FileRecord, stat: { readonly uid: number; readonly gid: number } | undefined): void {
    if (!this.#incoming.attention.owners || stat === undefined) return;
    if (stat.uid !== uid || stat.gid !== gid) this.unowned++;
  }
}

/** Links in the way are never followed: a bucket's contents must not lead outside the target. */
function inTheWay(path: DiskPath, what: string): SynclineError {
  return new SynclineError("path_exists", `${escapeForPrint(pathText(path))} is in the way ${what}.`, {
    hint: "Move it, or choose another target.",
  });
}

/** Runs `work` in a directory that existed just before. Throws `precondition_failed` if it no longer is a directory. */
async function within<Result>(path: DiskPath, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    if (!failedWith(cause, "ELOOP", "ENOTDIR", "ENOENT", "EXDEV")) throw cause;
    throw new SynclineError(
      "precondition_failed",
      `Something replaced ${escapeForPrint(pathText(path))} or a folder above it during the copy.`,
      { hint: "Run the command again when no other program changes the target.", cause },
    );
  }
}

/** How much of a directory's files is read ahead, in total and of each. */
const AHEAD_BYTES = 4 * 1024 * 1024;
const AHEAD_FILE_BYTES = 256 * 1024;
const AHEAD_ENTRIES = 512;

interface Entry {
  readonly child: TreeObject;
  readonly name: FileName;
}
