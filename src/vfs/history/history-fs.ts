/**
 * A filesystem with a hidden `.history` in every directory. It is found by name and never listed, so that no program walks
 * into it. Everything in it is read-only. A real entry of that name takes precedence.
 *
 * Other calls pass through, at the cost of one comparison.
 */
import type { Cid, FileId, FileName, Ino } from "../../base/ids.ts";
import type {
  AnsweredRequests,
  AttributeChange,
  Attributes,
  Caller,
  DirectoryEntry,
  EarlierOpens,
  FileSystem,
  Invalidations,
  Listing,
  Readers,
} from "../filesystem.ts";
import { ACCESS_ACL } from "../../format/files/acl.ts";
import { withoutWriting } from "../acl.ts";
import type { Objects } from "../objects.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { StorageSpace } from "../../overlay/disk/storage.ts";
import { refuse } from "../refusal.ts";
import { directoryOf, isList, isPast, listOf, NOT_KEPT, type PastNumbers } from "./numbers.ts";
import { Past, type PastOptions } from "./past.ts";

export const HISTORY = ".history" as FileName;

export interface HistoryOptions extends Pick<
  PastOptions,
  "commits" | "clock" | "log" | "oneOwner" | "patienceMs" | "mostChanges"
> {
  readonly objects: Objects;
  readonly numbers: PastNumbers;
}

export class HistoryFs implements FileSystem, Disposable {
  readonly unlistedNames = [HISTORY];
  readonly answers: AnsweredRequests;
  readonly #live: FileSystem;
  readonly #objects: Objects;
  readonly #numbers: PastNumbers;
  readonly #clock: PastOptions["clock"];
  readonly #past: Past;
  readonly #log: Log;
  /** Whether the last attempt to keep numbers failed. */
  #failsToKeep = false;
  /** When the newest root was first seen here. */
  #changedNs: bigint;

  constructor(live: FileSystem, { objects, ...options }: HistoryOptions) {
    this.answers = live.answers;
    this.#live = live;
    this.#objects = objects;
    this.#numbers = options.numbers;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#changedNs = options.clock.nowNs();
    this.#past = new Past({ ...options, loader: objects.loader, head: () => objects.overlay.state.base.commit });
  }

  /** The filesystem may show another root. */
  moved(): void {
    if (this.#past.moved()) this.#changedNs = this.#clock.nowNs();
  }

  /** Calls `listener` with what a new root changes here. One listener; the last wins. */
  onInvalidate(listener: (changes: Invalidations) => void): void {
    this.#past.onInvalidate(listener);
  }

  [Symbol.dispose](): void {
    this.#numbers[Symbol.dispose]();
  }

  lookup(parent: Ino, name: FileName): Attributes | undefined {
    if (isPast(parent)) return this.#lookupPast(parent, name);
    const found = this.#live.lookup(parent, name);
    return found === undefined && name === HISTORY ? this.#listAttributes(listOf(parent)) : found;
  }

  getAttributes(ino: Ino): Attributes {
    if (!isPast(ino)) return this.#live.getAttributes(ino);
    return isList(ino) ? this.#listAttributes(ino) : this.#past.old.attributes(ino);
  }

  setAttributes(ino: Ino, change: AttributeChange): Attributes {
    this.checkWritable(ino);
    return this.#live.setAttributes(ino, change);
  }

  checkWritable(ino: Ino): void {
    if (isPast(ino)) throw refuse("EROFS");
    this.#live.checkWritable?.(ino);
  }

  makeNode(parent: Ino, name: FileName, mode: number, rdev: number, caller: Caller): Attributes {
    this.#checkNew(parent, name);
    return this.#live.makeNode(parent, name, mode, rdev, caller);
  }

  makeDirectory(parent: Ino, name: FileName, mode: number, caller: Caller): Attributes {
    this.#checkNew(parent, name);
    return this.#live.makeDirectory(parent, name, mode, caller);
  }

  makeSymlink(parent: Ino, name: FileName, target: string, caller: Caller): Attributes {
    this.#checkNew(parent, name);
    return this.#live.makeSymlink(parent, name, target, caller);
  }

  makeUnnamed(parent: Ino, mode: number, caller: Caller): Attributes {
    this.checkWritable(parent);
    return this.#live.makeUnnamed(parent, mode, caller);
  }

  link(ino: Ino, parent: Ino, name: FileName): Attributes {
    this.#checkNew(parent, name);
    // As between two disks: programs copy then.
    if (isPast(ino)) throw refuse("EXDEV");
    return this.#live.link(ino, parent, name);
  }

  unlink(parent: Ino, name: FileName): void {
    this.#checkOld(parent, name);
    this.#live.unlink(parent, name);
  }

  removeDirectory(parent: Ino, name: FileName): void {
    this.#checkOld(parent, name);
    this.#live.removeDirectory(parent, name);
  }

  rename(parent: Ino, name: FileName, newParent: Ino, newName: FileName, flags: number, caller?: Caller): void {
    this.#checkOld(parent, name);
    this.checkWritable(newParent);
    if (newName === HISTORY && this.#isVirtual(newParent, newName)) throw refuse("EEXIST");
    this.#live.rename(parent, name, newParent, newName, flags, caller);
  }

  readSymlink(ino: Ino): string {
    return isPast(ino) ? this.#past.old.readSymlink(oldObject(ino)) : this.#live.readSymlink(ino);
  }

  read(ino: Ino, offset: number, length: number, target: Uint8Array): number {
    if (!isPast(ino)) return this.#live.read(ino, offset, length, target);
    return this.#past.old.read(oldObject(ino), offset, length, target);
  }

  readUncached(ino: Ino, offset: number, target: Uint8Array): number | Promise<number> {
    if (!isPast(ino)) return this.#live.readUncached(ino, offset, target);
    return this.read(ino, offset, target.length, target);
  }

  write(ino: Ino, offset: number, bytes: Uint8Array): void {
    this.checkWritable(ino);
    this.#live.write(ino, offset, bytes);
  }

  allocate(ino: Ino, mode: number, offset: number, length: number): void {
    this.checkWritable(ino);
    this.#live.allocate(ino, mode, offset, length);
  }

  seek(ino: Ino, offset: number, whence: "data" | "hole"): number {
    if (!isPast(ino)) return this.#live.seek(ino, offset, whence);
    return this.#past.old.seek(oldObject(ino), offset, whence);
  }

  copyRange(from: Ino, fromOffset: number, to: Ino, toOffset: number, length: number): number {
    this.checkWritable(to);
    // The kernel then copies by reading and writing.
    if (isPast(from)) throw refuse("EXDEV");
    return this.#live.copyRange(from, fromOffset, to, toOffset, length);
  }

  readDirectory(ino: Ino, cookie: number, withAttributes: boolean, emit: (entry: DirectoryEntry) => boolean): void {
    if (!isPast(ino)) this.#live.readDirectory(ino, cookie, withAttributes, emit);
    else if (!isList(ino)) this.#past.old.readDirectory(ino, cookie, withAttributes, emit);
    else this.#readList(ino, cookie, emit);
  }

  list(ino: Ino, cookie: number, limit: number): Listing {
    if (isPast(ino)) throw refuse("EOPNOTSUPP");
    return this.#live.list(ino, cookie, limit);
  }

  getXattr(ino: Ino, name: string): Uint8Array | undefined {
    if (!isPast(ino)) return this.#live.getXattr(ino, name);
    if (!isList(ino)) return this.#past.old.xattr(ino, name);
    // The mode alone would let in people whom the list keeps out.
    const list = name === ACCESS_ACL ? this.#live.getXattr(directoryOf(ino), name) : undefined;
    return list && withoutWriting(list);
  }

  setXattr(ino: Ino, name: string, value: Uint8Array, flags: number): void {
    this.checkWritable(ino);
    this.#live.setXattr(ino, name, value, flags);
  }

  listXattrs(ino: Ino): string[] {
    if (!isPast(ino)) return this.#live.listXattrs(ino);
    return isList(ino) ? [] : [...this.#past.old.xattrs(ino).keys()];
  }

  removeXattr(ino: Ino, name: string): void {
    this.checkWritable(ino);
    this.#live.removeXattr(ino, name);
  }

  statFs(): StorageSpace {
    return this.#live.statFs();
  }

  persist(): void {
    this.#keepNumbers();
    this.#live.persist();
  }

  throttle(ino: Ino | undefined, bytes?: number): Promise<void> | undefined {
    return ino !== undefined && isPast(ino) ? undefined : this.#live.throttle(ino, bytes);
  }

  async fsync(ino: Ino): Promise<void> {
    if (!isPast(ino)) await this.#live.fsync(ino);
  }

  fsyncNow(ino: Ino): boolean {
    return isPast(ino) || this.#live.fsyncNow(ino);
  }

  closed(ino: Ino): void {
    if (!isPast(ino)) this.#live.closed(ino);
  }

  watchReaders(readers: Readers, earlier?: EarlierOpens): void {
    const held = [...(earlier?.held ?? [])].filter((ino) => !isPast(ino));
    this.#live.watchReaders(readers, earlier && { ...earlier, held });
  }

  holdVersion(ino: Ino): boolean {
    return isPast(ino) || this.#live.holdVersion(ino);
  }

  releaseVersion(ino: Ino): void {
    if (!isPast(ino)) this.#live.releaseVersion(ino);
  }

  watchOrphans(listener: (ino: Ino) => void): void {
    this.#live.watchOrphans(listener);
  }

  forget(ino: Ino): void {
    if (!isPast(ino)) this.#live.forget(ino);
  }

  async load(cids: readonly Cid[], signal?: AbortSignal): Promise<void> {
    const blocks = await this.#past.load(cids, signal);
    if (blocks.length > 0) await this.#live.load(blocks, signal);
  }

  /** Listings of the past never change. */
  knownInodes(): Iterable<Ino> {
    return this.#live.knownInodes();
  }

  pathOf(ino: Ino): string {
    if (!isPast(ino)) return this.#live.pathOf(ino);
    if (isList(ino)) return `${this.#live.pathOf(directoryOf(ino))}/${HISTORY}`;
    const { commit, name } = this.#numbers.stateBy(this.#numbers.stateOf(ino));
    return `${HISTORY}/${name} (inode ${ino} of root ${commit})`;
  }

  /** Changes do not depend on the numbers, so a failure is only logged. The next persist tries again. */
  #keepNumbers(): void {
    try {
      this.#numbers.persist();
      this.#failsToKeep = false;
    } catch (error) {
      if (!this.#failsToKeep) this.#log.warn(NOT_KEPT, { error: describeError(error) });
      this.#failsToKeep = true;
    }
  }

  #lookupPast(parent: Ino, name: FileName): Attributes | undefined {
    if (!isList(parent)) return this.#past.old.lookup(parent, name);
    const id = this.#directoryId(parent);
    return id === undefined ? undefined : this.#past.lookup(parent, id, name);
  }

  #readList(list: Ino, cookie: number, emit: (entry: DirectoryEntry) => boolean): void {
    const directory = directoryOf(list);
    for (const [at, ino] of [list, directory].entries()) {
      const next = at + 1;
      if (cookie >= next) continue;
      const attributes = this.getAttributes(ino);
      if (!emit({ ino, name: ".".repeat(next) as FileName, mode: attributes.mode, next, attributes })) return;
    }
    const id = this.#directoryId(list);
    if (id === undefined) return;
    const isThere = (name: FileName) => this.#live.lookup(directory, name) !== undefined;
    this.#past.readDirectory(list, id, cookie <= 2 ? 0 : cookie, isThere, emit);
  }

  /** Undefined: the directory is not published yet and has no past. */
  #directoryId(list: Ino): FileId | undefined {
    return this.#objects.directoryId(directoryOf(list));
  }

  /** Who may enter the directory may enter its past. */
  #listAttributes(list: Ino): Attributes {
    const attributes = this.#live.getAttributes(directoryOf(list));
    const time = { atimeNs: this.#changedNs, mtimeNs: this.#changedNs, ctimeNs: this.#changedNs };
    // One link: the number of directories in it is not known.
    return { ...attributes, ...time, ino: list, mode: attributes.mode & ~WRITABLE, nlink: 1 };
  }

  #isVirtual(parent: Ino, name: FileName): boolean {
    return name === HISTORY && this.#live.lookup(parent, name) === undefined;
  }

  #checkNew(parent: Ino, name: FileName): void {
    this.checkWritable(parent);
    if (name === HISTORY) throw refuse("EEXIST");
  }

  #checkOld(parent: Ino, name: FileName): void {
    if (isPast(parent) || this.#isVirtual(parent, name)) throw refuse("EROFS");
  }
}

/** Refuses a `.history` itself. */
function oldObject(ino: Ino): Ino {
  if (isList(ino)) throw refuse("EISDIR");
  return ino;
}

/** Bits that are cleared: write, sticky and set-id. */
const WRITABLE = 0o7222;
